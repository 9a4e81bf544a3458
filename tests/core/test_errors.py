"""The exception hierarchy: statuses, codes, rendering, pickling."""

import enum
import inspect
import json
import math
import pickle
import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from layerkit import core
from layerkit.core import (
    AlreadyExistsError,
    AppException,
    BusinessRuleError,
    ConflictError,
    ForbiddenError,
    MissingExtraError,
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    RateLimitedError,
    SettingsError,
    StaleDataError,
    TimeoutExceededError,
    UnauthorizedError,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
    WiringError,
)
from layerkit.core.errors import ConflictKind
from tests.support.problems import check_problem


class Color(enum.Enum):
    RED = "red"


EVERY_ERROR = [
    AppException("boom", 418, {"tea": "pot"}),
    ValidationError("wrong", {"hint": 1}, fields=["email"]),
    UnauthorizedError(),
    ForbiddenError(),
    NotFoundError(entity="User", entity_id=7),
    ConflictError("taken", kind="unique", constraint="uq_email", fields=["email"]),
    AlreadyExistsError(fields=["email"]),
    StaleDataError(),
    BusinessRuleError("closed"),
    PreconditionFailedError(),
    RateLimitedError(retry_after=timedelta(seconds=3)),
    NotSupportedError(),
    UnavailableError("down"),
    TimeoutExceededError(),
    UsageError("wrong call"),
    UnitOfWorkError("closed"),
    WiringError("missing", problems=["a", "b"]),
    SettingsError("missing", variables=["SECRET_KEY"]),
    MissingExtraError("layerkit.redis", needs="redis", extra="redis"),
]
STATUSES = [418, 422, 401, 403, 404, 409, 409, 409, 409, 412, 429, 501, 503, 504]
STATUSES += [500] * 5

each_error = pytest.mark.parametrize(
    "error", EVERY_ERROR, ids=lambda e: type(e).__name__
)


def test_every_error_of_the_package_is_listed_here() -> None:
    classes = {
        value
        for value in vars(core).values()
        if inspect.isclass(value) and issubclass(value, Exception)
    }

    assert {type(error) for error in EVERY_ERROR} == classes


def test_each_error_has_its_status() -> None:
    assert [error.status_code for error in EVERY_ERROR] == STATUSES


def test_codes_are_unique_and_stable_words() -> None:
    codes = [type(error).code for error in EVERY_ERROR]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code) for code in codes)


def test_the_root_takes_message_status_and_detail() -> None:
    plain, full = AppException("boom"), AppException("boom", 418, {"a": 1})

    assert (plain.message, plain.status_code, plain.detail) == ("boom", 500, {})
    assert (full.message, full.status_code, full.detail) == ("boom", 418, {"a": 1})
    assert str(full) == "boom"


def test_the_textbooks_signatures_hold() -> None:
    assert ValidationError("wrong", {"a": 1}).detail == {"a": 1}
    assert NotFoundError().message == "Resource not found"
    assert UnauthorizedError().message == "Unauthorized"
    assert ConflictError("taken").detail == {}


def test_detail_is_a_copy() -> None:
    detail = {"a": 1}
    error = AppException("boom", detail=detail)

    detail["a"] = 2
    error.to_dict()["detail"]["a"] = 3

    assert error.detail == {"a": 1}


@each_error
def test_each_error_survives_pickling_with_all_it_carries(error: AppException) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert copy.args == error.args
    assert str(copy) == str(error)
    assert getattr(copy, "name", None) == getattr(error, "name", None)


@each_error
def test_each_error_renders_as_the_textbooks_envelope(error: AppException) -> None:
    rendered = error.to_dict()

    assert set(rendered) == {"error", "detail"}
    assert rendered["error"] == (error.message if error.public else error.title)
    assert rendered["detail"] == (error.detail if error.public else {})


@each_error
def test_each_error_renders_as_a_problem(error: AppException) -> None:
    problem = error.to_problem()

    assert problem["type"] == "about:blank"
    assert problem["status"] == error.status_code
    assert problem["title"] == HTTPStatus(error.status_code).phrase  # 4.2.1
    assert problem["code"] == error.code
    assert problem["retryable"] is error.retryable
    assert problem["detail"] == (error.message if error.public else error.title)
    assert problem.get("context", {}) == (error.detail if error.public else {})


@each_error
def test_each_problem_is_valid_by_rfc_9457(error: AppException) -> None:
    problem = check_problem(error.to_problem(base_uri="https://example.org/errors#"))

    assert problem["type"] == f"https://example.org/errors#{error.code}"
    assert problem["title"] == error.title


def test_a_status_that_is_not_registered_has_a_title() -> None:
    assert AppException("no", 499).to_problem()["title"] == "Error"


def test_facts_of_any_type_are_made_ready_for_json() -> None:
    facts = {
        "when": datetime(2030, 1, 1, tzinfo=UTC),
        "price": Decimal("1.50"),
        "share": math.nan,
        "key": SecretStr("hunter2"),
        "bad": "\ud800",
        "kinds": {Color.RED},
        1: b"x",
    }
    error = AppException("lone \ud800", 400, facts)  # type: ignore[arg-type] # a key that is no text

    problem = check_problem(error.to_problem())

    assert problem["context"] == error.to_dict()["detail"]
    assert problem["context"] == {
        "when": "2030-01-01 00:00:00+00:00",
        "price": "1.50",
        "share": "nan",
        "key": "***",
        "bad": "\\ud800",
        "kinds": ["red"],
        "1": "b'x'",
    }
    json.dumps(problem, ensure_ascii=False).encode()


@pytest.mark.parametrize("error", [UsageError("field 'x'"), WiringError("A needs B")])
def test_a_mistake_in_code_is_not_shown_to_clients(error: UsageError) -> None:
    shown = str(error.to_dict()) + str(error.to_problem())

    assert error.message not in shown
    assert "Internal server error" in shown


@pytest.mark.parametrize(
    ("entity_id", "shown"),
    [(7, 7), ("a", "a"), (UUID(int=1), "00000000-0000-0000-0000-000000000001"), (0, 0)],
)
def test_not_found_says_what_was_looked_for(entity_id: object, shown: object) -> None:
    class User: ...

    error = NotFoundError(entity=User, entity_id=entity_id)

    assert error.message == f"no User with id {shown}"
    assert error.detail == {"entity": "User", "id": shown}
    assert (error.entity, error.entity_id) == ("User", entity_id)


def test_not_found_says_all_parts_of_a_composite_identity() -> None:
    error = NotFoundError(entity="Seat", entity_id=(1, UUID(int=1)))

    assert error.message == "no Seat with id 1, 00000000-0000-0000-0000-000000000001"
    assert error.detail["id"] == [1, "00000000-0000-0000-0000-000000000001"]


def test_not_found_keeps_a_message_of_its_own() -> None:
    error = NotFoundError("gone", entity="User", entity_id=1)

    assert error.message == "gone"


def test_a_conflict_shows_its_fields_and_never_its_constraint() -> None:
    error = ConflictError("taken", kind="unique", constraint="uq", fields=["a", "b"])

    assert error.detail == {"kind": "unique", "fields": ["a", "b"]}
    assert "uq" not in str(error.to_problem())


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        ("serialization", True),
        ("deadlock", True),
        ("unique", False),
        ("foreign_key", False),
        (None, False),
    ],
)
def test_a_lost_race_is_retryable(kind: ConflictKind | None, retryable: bool) -> None:
    assert ConflictError("x", kind=kind).retryable is retryable


def test_already_exists_names_the_fields() -> None:
    assert AlreadyExistsError(fields=("a", "b")).message == "a, b already exists"
    assert AlreadyExistsError().message == "Already exists"
    assert AlreadyExistsError("E-mail taken").message == "E-mail taken"
    assert isinstance(AlreadyExistsError(), ConflictError)


def test_what_may_be_repeated_says_when() -> None:
    wait = timedelta(seconds=3)

    assert RateLimitedError(retry_after=wait).retry_after == wait
    assert UnavailableError().retry_after is None
    assert UnavailableError().retryable
    assert not TimeoutExceededError().retryable


def test_a_missing_extra_is_an_import_error_with_the_pip_line() -> None:
    error = MissingExtraError("layerkit.redis", needs="redis", extra="redis")

    assert isinstance(error, ModuleNotFoundError)
    assert error.name == "redis"
    assert error.message == (
        "layerkit.redis needs 'redis': pip install 'layerkit[redis]'"
    )


def test_a_class_of_the_users_own_pickles_with_its_arguments() -> None:
    error = Refused("coffee", strength=3)

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert (copy.drink, copy.strength, copy.status_code) == ("coffee", 3, 418)


class Refused(AppException):
    """An error whose constructor takes something else than a message."""

    def __init__(self, drink: str, *, strength: int) -> None:
        super().__init__(f"no {drink}", 418)
        self.drink, self.strength = drink, strength


# Codes


@pytest.mark.parametrize("code", ["NOT_FOUND", "INTERNAL_ERROR", "MISSING_EXTRA"])
def test_a_code_that_another_class_has_is_refused_and_both_are_named(code: str) -> None:
    with pytest.raises(UsageError) as caught:
        type("Mine", (ConflictError,), {"code": code, "__module__": "shop.errors"})

    owner = next(type(e) for e in [*EVERY_ERROR] if type(e).code == code)
    assert "shop.errors.Mine" in str(caught.value)
    assert f"layerkit.core.errors.{owner.__name__}" in str(caught.value)
    assert repr(code) in str(caught.value)


@pytest.mark.parametrize(
    "code", ["", "outOfStock", "OUT-OF-STOCK", "_OUT", "OUT_", "1UP", "A" * 64, None, 7]
)
def test_a_code_that_is_no_stable_word_is_refused(code: object) -> None:
    with pytest.raises(UsageError, match="UPPER_SNAKE"):
        type("Mine", (AppException,), {"code": code})


def test_a_class_without_a_code_shares_that_of_its_parent() -> None:
    class EmailTakenError(AlreadyExistsError): ...

    class SpeltError(AlreadyExistsError):
        code = "ALREADY_EXISTS"  # what it has anyway

    assert EmailTakenError().to_problem()["code"] == "ALREADY_EXISTS"
    assert SpeltError.code == "ALREADY_EXISTS"


def test_a_class_may_be_defined_again() -> None:
    def define(module: str, name: str = "Gone") -> None:
        type(name, (NotFoundError,), {"code": "SHOP_GONE", "__module__": module})

    define("shop.errors")
    define("shop.errors")

    with pytest.raises(UsageError, match=r"shop\.errors\.Gone"):
        define("shop.others")
    with pytest.raises(UsageError, match=r"shop\.errors\.Gone"):
        define("shop.errors", "Missing")


def test_a_module_may_be_a_script_and_imported_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("twice", "twice_again"):
        module = ModuleType(name)
        module.__file__ = "shop/twice.py"
        monkeypatch.setitem(sys.modules, name, module)

        type("Lost", (NotFoundError,), {"code": "TWICE_LOST", "__module__": name})


def test_classes_inside_of_functions_give_way_to_one_another() -> None:
    class First(AppException):
        code = "COMES_AND_GOES"

    class Second(AppException):
        code = "COMES_AND_GOES"

    assert First.code == Second.code


# Templates and translation


class OutOfStockError(BusinessRuleError):
    """An error with a template."""

    code = "SHORT_OF_STOCK"
    title = "Out of stock"
    template = "only {left} of {item} are left for {sizes}"

    def __init__(self, item: str, left: int, sizes: tuple[str, ...] = ("M",)) -> None:
        self.item, self.left, self.sizes = item, left, sizes
        self.supplier = "hunter2"
        super().__init__(self.text())


GERMAN = {"SHORT_OF_STOCK": "nur noch {left} von {item}"}


def german(code: str, params: dict[str, Any], locale: str) -> str | None:
    if locale != "de" or code not in GERMAN:
        return None
    return GERMAN[code].format(**params)


def test_a_template_makes_the_message() -> None:
    error = OutOfStockError("shoes", 0, ("M", "L"))

    assert error.message == "only 0 of shoes are left for M, L"
    assert error.params == {"left": 0, "item": "shoes", "sizes": ["M", "L"]}
    assert pickle.loads(pickle.dumps(error)).params == error.params  # noqa: S301 - our own


def test_a_template_with_a_value_unset_falls_back_to_the_title() -> None:
    error = OutOfStockError("", 1, ())

    assert error.message == "Out of stock"
    assert error.params == {"left": 1}


def test_a_message_by_hand_has_no_params() -> None:
    assert AppException("boom", 400, {"a": 1}).params == {}
    assert StaleDataError().params == {}
    assert AlreadyExistsError(fields=["email"]).params == {"fields": ["email"]}
    assert NotFoundError().params == {}


def test_a_translator_gets_code_and_params_and_nothing_else() -> None:
    error = OutOfStockError("shoes", 2)

    german_problem = error.to_problem(translate=german, locale="de")
    french_problem = error.to_problem(translate=german, locale="fr")

    assert german_problem["detail"] == "nur noch 2 von shoes"
    assert german_problem["code"] == "SHORT_OF_STOCK"
    assert error.to_dict(translate=german, locale="de")["error"] == (
        "nur noch 2 von shoes"
    )
    assert french_problem["detail"] == error.message
    assert "hunter2" not in str(error.params)


def test_a_translator_that_fails_is_logged_and_the_message_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(code: str, params: dict[str, Any], locale: str) -> str:
        return code.format(params["nothing"], locale)

    problem = NotFoundError("gone").to_problem(translate=broken, locale="de")

    assert problem["detail"] == "gone"
    assert "NOT_FOUND could not be translated to 'de'" in caplog.text


def test_a_translator_learns_nothing_of_a_mistake_in_code() -> None:
    seen: list[object] = []

    def spy(code: str, params: dict[str, Any], _: str) -> None:
        seen.extend((code, params))

    problem = WiringError("A needs B").to_problem(translate=spy)

    assert seen == ["WIRING_ERROR", {}]
    assert problem["detail"] == "Internal server error"


@pytest.mark.parametrize("template", ["{", "{0}", "{}", "{a.b}", "{a!r}", "{a:>9}"])
def test_a_template_with_more_than_names_in_its_braces_is_refused(
    template: str,
) -> None:
    with pytest.raises(UsageError, match=r"Mine\.template can't be used"):
        type("Mine", (AppException,), {"template": template})
