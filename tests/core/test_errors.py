"""The exception hierarchy: statuses, codes, rendering, pickling."""

import inspect
import pickle
import re
from datetime import timedelta
from uuid import UUID

import pytest

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
    assert problem["title"] == error.title
    assert problem["code"] == error.code
    assert problem["retryable"] is error.retryable
    assert problem["detail"] == (error.message if error.public else error.title)
    assert problem.get("context", {}) == (error.detail if error.public else {})


@pytest.mark.parametrize("error", [UsageError("field 'x'"), WiringError("A needs B")])
def test_a_mistake_in_code_is_not_shown_to_clients(error: UsageError) -> None:
    shown = str(error.to_dict()) + str(error.to_problem())

    assert error.message not in shown
    assert "Internal server error" in shown


@pytest.mark.parametrize(
    ("entity_id", "shown"),
    [
        (7, 7),
        ("a", "a"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ((1, UUID(int=1)), [1, "00000000-0000-0000-0000-000000000001"]),
    ],
)
def test_not_found_says_what_was_looked_for(entity_id: object, shown: object) -> None:
    class User: ...

    error = NotFoundError(entity=User, entity_id=entity_id)

    assert error.message == f"no User with id {shown}"
    assert error.detail == {"entity": "User", "id": shown}
    assert (error.entity, error.entity_id) == ("User", entity_id)


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
