"""Loggers with a correlation id, and records as JSON."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from layerkit.core import JSONFormatter, correlation_id, get_logger


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
    logger = get_logger("shop.orders")
    before = list(logger.filters)

    assert get_logger("shop.orders") is logger is logging.getLogger("shop.orders")
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
    ["password", "db_password", "SECRET_KEY", "token", "Authorization", "api_key"],
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
