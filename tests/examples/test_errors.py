"""Every error of layerkit, raised in the users example and answered over HTTP."""

import inspect
from collections.abc import AsyncIterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

import layerkit
from examples.users.app import create_app
from examples.users.core.models import Base
from examples.users.core.settings import AppSettings
from examples.users.services.users import UserService
from examples.users.wiring import make_factory
from layerkit import (
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
    ServiceFactory,
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
from layerkit.repository import Home
from layerkit.sql import Database
from tests.examples.serving import serving
from tests.support.problems import check_answer

pytestmark = pytest.mark.unmeasured

INTERNAL = "Internal server error"
ADA = {"email": "ada@example.org", "name": "Ada", "password": "correct horse 7"}
SOON = timedelta(seconds=2.5)

RAISED: list[tuple[AppException, int, str]] = [
    (AppException("boom", 418, {"tea": "pot"}), 418, "boom"),
    (ValidationError("wrong", fields=["name"]), 422, "wrong"),
    (UnauthorizedError(), 401, "Unauthorized"),
    (ForbiddenError(), 403, "Forbidden"),
    (NotFoundError(entity="User", entity_id=7), 404, "no User with id 7"),
    (ConflictError("in the way", constraint="uq_hunter2"), 409, "in the way"),
    (AlreadyExistsError(fields=["email"]), 409, "email already exists"),
    (StaleDataError(), 409, "The data was changed by another; read it again"),
    (BusinessRuleError("closed"), 409, "closed"),
    (PreconditionFailedError(), 412, "Precondition failed"),
    (RateLimitedError(retry_after=SOON), 429, "Too many requests"),
    (NotSupportedError(), 501, "Not supported"),
    (UnavailableError(retry_after=SOON), 503, "Service unavailable"),
    (TimeoutExceededError(), 504, "Timeout exceeded"),
    (UsageError("hunter2"), 500, INTERNAL),
    (UnitOfWorkError("hunter2"), 500, INTERNAL),
    (WiringError("hunter2", problems=["hunter2"]), 500, INTERNAL),
    (SettingsError("hunter2", variables=["HUNTER2"]), 500, INTERNAL),
    (
        MissingExtraError("layerkit.redis", needs="hunter2", extra="redis"),
        500,
        INTERNAL,
    ),
]


class FailingUsers:
    """Stands for the service, and raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def get_entity(self, user_id: int) -> None:
        assert user_id
        raise self.error


@pytest.fixture
def settings(tmp_path: Path) -> AppSettings:
    """The settings of an application on a file of SQLite."""
    url = f"sqlite:///{tmp_path.as_posix()}/users.db"
    return AppSettings(DATABASE_URL=url, SECRET_KEY="k" * 32)


@pytest.fixture
def factory(settings: AppSettings) -> ServiceFactory:
    """The factory of the application."""
    return make_factory(settings)


@pytest.fixture
def app(settings: AppSettings, factory: ServiceFactory) -> FastAPI:
    """The application, not yet started."""
    return create_app(settings, factory)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of the running application."""
    async with serving(app) as client:
        yield client


def test_every_error_class_is_raised_here() -> None:
    exported = [getattr(layerkit, name) for name in layerkit.__all__]
    classes = {
        value
        for value in exported
        if inspect.isclass(value) and issubclass(value, AppException)
    }

    assert {type(error) for error, _, _ in RAISED} == classes


@pytest.mark.parametrize(
    ("error", "status", "detail"), RAISED, ids=lambda value: type(value).__name__
)
async def test_each_error_of_a_service_is_answered_as_a_problem(
    client: AsyncClient,
    factory: ServiceFactory,
    error: AppException,
    status: int,
    detail: str,
) -> None:
    with factory.override({UserService: FailingUsers(error)}):
        answer = await client.get("/users/7")

    problem = check_answer(answer)
    assert answer.status_code == status
    assert problem["code"] == error.code
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["detail"] == detail
    assert problem["retryable"] is error.retryable
    assert problem.get("context", {}) == (error.detail if error.public else {})
    assert answer.headers.get("retry-after") == ("3" if error.retry_after else None)
    assert "hunter2" not in answer.text.lower()


@pytest.mark.defect("F17")
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("hunter2"),
        KeyError("hunter2"),
        TimeoutError("hunter2"),
        ExceptionGroup("hunter2", [ValueError("hunter2")]),
    ],
    ids=repr,
)
async def test_an_unknown_error_of_a_service_is_a_plain_500(
    client: AsyncClient, factory: ServiceFactory, error: Exception
) -> None:
    with factory.override({UserService: FailingUsers(error)}):
        answer = await client.get("/users/7")

    problem = check_answer(answer)
    assert (problem["status"], problem["code"]) == (500, "INTERNAL_ERROR")
    assert problem["detail"] == INTERNAL
    assert "hunter2" not in answer.text


# As they come about by themselves


async def test_what_clients_do_wrong_is_answered_as_a_problem(
    client: AsyncClient,
) -> None:
    await client.post("/users", json=ADA)
    garbage = {"content": b"{", "headers": {"content-type": "application/json"}}
    requests: list[tuple[str, str, dict[str, Any], int, str]] = [
        ("POST", "/users", {"json": ADA}, 409, "ALREADY_EXISTS"),
        ("POST", "/users", {"json": ADA | {"name": 1}}, 422, "VALIDATION_ERROR"),
        ("POST", "/users", {"json": ADA | {"password": "x"}}, 422, "VALIDATION_ERROR"),
        ("POST", "/users", garbage, 422, "VALIDATION_ERROR"),
        ("GET", "/users/99", {}, 404, "NOT_FOUND"),
        ("GET", "/users/none", {}, 422, "VALIDATION_ERROR"),
        ("GET", "/users?sort=password_hash", {}, 422, "VALIDATION_ERROR"),
        ("PATCH", "/users/99", {"json": {"name": "B"}}, 404, "NOT_FOUND"),
        ("DELETE", "/users/99", {}, 404, "NOT_FOUND"),
        ("PUT", "/users/1", {}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/nowhere", {}, 404, "NOT_FOUND"),
    ]

    for method, path, sent, status, code in requests:
        answer = await client.request(method, path, **sent)

        problem = check_answer(answer)
        assert (answer.status_code, problem["code"]) == (status, code), path


async def test_registration_that_is_closed_is_answered_as_a_problem(
    client: AsyncClient, settings: AppSettings
) -> None:
    settings.FEATURE_REGISTRATION = False

    problem = check_answer(await client.post("/users", json=ADA))

    assert (problem["status"], problem["code"]) == (403, "FORBIDDEN")


async def test_a_database_that_is_gone_is_answered_as_unavailable(
    client: AsyncClient, factory: ServiceFactory, tmp_path: Path
) -> None:
    gone = f"sqlite:///{tmp_path.as_posix()}/hunter2/users.db"

    async with Database(gone) as database:
        with factory.override({Home: database}):
            answer = await client.get("/users/1")

    problem = check_answer(answer)
    assert (problem["status"], problem["code"]) == (503, "UNAVAILABLE")
    assert problem["retryable"] is True
    assert "hunter2" not in answer.text


async def test_a_table_that_is_missing_is_a_plain_500(
    client: AsyncClient, factory: ServiceFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with factory.scope() as scope:
        database = await scope.get(Home)
    assert isinstance(database, Database)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)

    answer = await client.post("/users", json=ADA | {"email": "hunter2@example.org"})

    problem = check_answer(answer)
    assert (problem["status"], problem["detail"]) == (500, INTERNAL)
    assert "create_all" in caplog.text
    assert "hunter2" not in caplog.text
