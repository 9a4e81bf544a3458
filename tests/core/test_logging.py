"""Loggers with a correlation id, and records as JSON."""

import asyncio
import json
import logging
import pickle
from collections import UserDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr
from typing_extensions import override

from layerkit.core import JSONFormatter, correlation_id, get_logger
from layerkit.core.logging import name_of


@pytest.fixture
def identity() -> Iterator[str]:
    token = correlation_id.set("abc")
    yield "abc"
    correlation_id.reset(token)


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    text = JSONFormatter().format(record)
    assert "\n" not in text
    line: dict[str, Any] = json.loads(text)
    return line


def record_of(message: str = "hello %s", **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("shop.orders")
    return logger.makeRecord(
        logger.name, logging.INFO, "x.py", 1, message, ("Ada",), None, extra=extra
    )


def test_records_are_stamped_with_the_correlation_id(
    caplog: pytest.LogCaptureFixture, identity: str
) -> None:
    get_logger("shop.orders").warning("late")

    [record] = caplog.records
    assert record.correlation_id == identity  # type: ignore[attr-defined] # set by the filter


def test_a_logger_is_the_standard_one_and_gets_no_handler() -> None:
    logger = get_logger("shop.untouched")
    before = list(logger.filters)

    assert get_logger("shop.untouched") is logger is logging.getLogger("shop.untouched")
    assert logger.filters == before
    assert logger.handlers == []
    assert logger.level == logging.NOTSET


def test_a_record_is_one_line_of_json() -> None:
    line = line_of(record_of(order_id=7, amount=1.5))

    stamp = line.pop("timestamp")
    assert line == {
        "level": "INFO",
        "logger": "shop.orders",
        "message": "hello Ada",
        "order_id": 7,
        "amount": 1.5,
    }
    assert stamp.endswith("+00:00")


def test_a_record_of_a_foreign_logger_gets_the_correlation_id_too(
    identity: str,
) -> None:
    assert line_of(record_of())["correlation_id"] == identity


def test_a_traceback_is_part_of_the_line() -> None:
    record = record_of()
    record.exc_info = (ValueError, ValueError("boom"), None)

    assert "ValueError: boom" in line_of(record)["exception"]


@pytest.mark.parametrize(
    "name",
    [
        *("password", "db_password", "SECRET_KEY", "token", "Authorization", "api_key"),
        *("apiKey", "API-KEY", "x-api-key", "accessToken", "set-cookie", "auth"),
        *("DbPass", "passphrase", "PRIVATE KEY", "sentry_dsn", "credentials"),
    ],
)
def test_an_extra_that_is_named_like_a_secret_is_masked(name: str) -> None:
    assert line_of(record_of(**{name: "hunter2"}))[name] == "***"


def test_secrets_inside_of_extras_are_masked() -> None:
    extra: dict[str, Any] = {
        "user": {"name": "ada", "password": "hunter2"},
        "all": [{"token": "hunter2"}],
    }

    line = line_of(record_of(**extra))

    assert line["user"] == {"name": "ada", "password": "***"}
    assert line["all"] == [{"token": "***"}]


def test_extras_that_json_does_not_know_are_written_as_text() -> None:
    line = line_of(record_of(path=logging, keyed={1: "x"}))

    assert "logging" in line["path"]
    assert line["keyed"] == {"1": "x"}


@pytest.mark.parametrize(
    "name", ["key", "monkey", "author", "primary_key", "passenger", "keyboard"]
)
def test_an_extra_that_only_resembles_a_secret_is_shown(name: str) -> None:
    assert line_of(record_of(**{name: "plain"}))[name] == "plain"


@dataclass
class Login:
    name: str
    password: str


class Card(BaseModel):
    owner: str
    api_key: str
    pin: SecretStr


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Login("ada", "hunter2"), {"name": "ada", "password": "***"}),
        (
            Card(owner="ada", api_key="hunter2", pin=SecretStr("hunter2")),
            {"owner": "ada", "api_key": "***", "pin": "***"},
        ),
        (SecretBytes(b"hunter2"), "***"),
        ({SecretStr("hunter2"): 1}, {"**********": 1}),
        (({"a": [{"Token": "hunter2"}]},), [{"a": [{"Token": "***"}]}]),
        (MappingProxyType({"secret": "hunter2"}), {"secret": "***"}),
        (UserDict({"secret": "hunter2"}), {"secret": "***"}),
        ("postgresql://app:hunter2@db/app", "postgresql://app:***@db/app"),
        ("mysql://app:hunt er2@p@ss@db", "mysql://app:***@db"),
        ("redis at redis://:hunter2@r/0 is up", "redis at redis://:***@r/0 is up"),
        ("host=db password=hunter2 user=app", "host=db password=*** user=app"),
        ("https://x.org/?api_key=hunter2&a=1", "https://x.org/?api_key=***&a=1"),
        ("Login(name='ada', password='hun ter2')", "Login(name='ada', password=***)"),
        ("{'token': 'hunter2', \"secret\": 12}", "{'token': ***, \"secret\": ***}"),
        ("Authorization: Bearer hunter2.x-y", "Authorization: Bearer ***"),
        ("nothing to hide: token expired", "nothing to hide: token expired"),
    ],
)
def test_secrets_are_masked_wherever_they_are_distinguished_from_other_words(
    value: object, shown: object
) -> None:
    assert line_of(record_of(value=value))["value"] == shown


def test_secrets_are_masked_in_message_traceback_and_stack() -> None:
    record = record_of("connecting to redis://:hunter2@%s")
    record.exc_info = (ValueError, ValueError("postgresql://a:hunter2@db"), None)
    record.stack_info = "password='hunter2'"

    line = line_of(record)

    assert line["message"] == "connecting to redis://:***@Ada"
    assert "postgresql://a:***@db" in line["exception"]
    assert line["stack"] == "password=***"
    assert "hunter2" not in str(line)


def test_what_libraries_quote_of_rejected_data_is_masked() -> None:
    class Age(BaseModel):
        age: int

    record = record_of()
    try:
        Age.model_validate({"age": "hunter2"})
    except ValueError as error:
        error.add_note("[SQL: INSERT]\n[parameters: ('hunter2', ['hunter2'])]")
        error.add_note("DETAIL:  Key (email)=(hunter2) already exists.")
        record.exc_info = (type(error), error, None)

    exception = line_of(record)["exception"]

    assert "hunter2" not in exception
    assert "[SQL: INSERT]" in exception


def test_a_traceback_that_another_process_has_written_is_part_of_the_line() -> None:
    record = record_of()
    record.exc_text = "ValueError: redis://:hunter2@r"

    assert line_of(record)["exception"] == "ValueError: redis://:***@r"


def test_an_extra_never_takes_the_place_of_a_member() -> None:
    record = record_of(level="x", logger="y", timestamp="z", exception="e", stack="s")

    line = line_of(record)

    assert (line["level"], line["logger"]) == ("INFO", "shop.orders")
    assert (line["level_"], line["stack_"]) == ("x", "s")


class Broken:
    """What can't even be shown."""

    @override
    def __str__(self) -> str:
        raise LookupError


class Lazy(dict[str, str]):
    """A mapping that can't be read."""

    @override
    def keys(self) -> Any:
        raise LookupError

    @override
    def __iter__(self) -> Iterator[str]:
        raise LookupError


@dataclass
class Detached:
    """A row that is read when its database is gone."""

    name: str

    @override
    def __getattribute__(self, name: str) -> Any:
        if name == "name":
            raise LookupError
        return super().__getattribute__(name)


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        pytest.param(10**5000, hex(10**5000), id="huge"),
        (datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01 00:00:00+00:00"),
        (b"x", "b'x'"),
        ("\ud800", "\\ud800"),
        (frozenset({1}), [1]),
        ({None: 1, ("a",): 2}, {"None": 1, "('a',)": 2}),
        (Broken(), "<Broken>"),
        (Login, f"<class '{__name__}.Login'>"),
        ("one\u2028two\x85three", "one\u2028two\x85three"),
    ],
)
def test_a_value_of_any_type_is_written(value: object, shown: object) -> None:
    assert line_of(record_of(value=value))["value"] == shown


@pytest.mark.parametrize("value", [endless(), Lazy(a="x"), Detached("x")])
def test_a_value_that_can_not_be_walked_is_written_as_text(value: object) -> None:
    assert line_of(record_of(value=value))["value"]


def test_a_line_has_no_break_of_any_kind() -> None:
    text = JSONFormatter().format(record_of("a\u2028b\u2029c\x85d\r\ne\x0bf %s"))

    assert text.splitlines() == [text]


@pytest.mark.parametrize("message", ["%d", "%s %s", "%(name)s", Broken()])
def test_a_message_that_its_arguments_do_not_fit_is_written_all_the_same(
    message: Any,
) -> None:
    assert "do not fit" in line_of(record_of(message))["message"]


def test_a_long_text_is_written_before_the_time_of_a_test_is_up() -> None:
    text = "token://:" * 4_000 + "\"'=" * 4_000 + "[parameters: " * 1_000

    assert len(line_of(record_of(text=text))["text"]) > 30_000


def test_a_record_that_was_sent_to_another_process_is_written() -> None:
    record = pickle.loads(pickle.dumps(record_of(order_id=7)))  # noqa: S301 - our own

    assert line_of(record)["order_id"] == 7


# The correlation id in tasks and threads


async def test_tasks_and_threads_keep_the_correlation_id_that_they_began_with(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = get_logger("shop.orders")
    started = asyncio.Event()

    async def work() -> None:
        await started.wait()
        logger.warning("task")
        await asyncio.to_thread(logger.warning, "thread")

    token = correlation_id.set("first")
    task = asyncio.create_task(work())
    correlation_id.reset(token)
    second = correlation_id.set("second")
    started.set()
    await task
    correlation_id.reset(second)

    stamps = [(r.getMessage(), vars(r)["correlation_id"]) for r in caplog.records]
    assert stamps == [("task", "first"), ("thread", "first")]


async def test_a_task_that_sets_an_id_does_not_change_that_of_its_parent() -> None:
    async def work() -> None:
        correlation_id.set("inner")

    token = correlation_id.set("outer")
    await asyncio.create_task(work())

    assert correlation_id.get() == "outer"
    correlation_id.reset(token)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (json.dumps, "json.dumps"),
        (partial(partial(json.dumps, "hunter2"), "hunter2"), "json.dumps"),
        (JSONFormatter().format, "layerkit.core.logging.JSONFormatter.format"),
    ],
)
def test_a_function_is_named_without_its_arguments(
    function: Callable[..., object], name: str
) -> None:
    assert name_of(function) == name


def test_a_callable_object_is_named_by_its_class() -> None:
    class Callback:
        def __call__(self) -> None: ...

    assert name_of(Callback()).endswith(".Callback")
