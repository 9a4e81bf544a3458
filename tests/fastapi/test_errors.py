"""What a client sees of an error, over HTTP."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import pytest
from fastapi import Body, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, Field, SecretStr, field_validator
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from layerkit.core import (
    AppException,
    ConflictError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
    UsageError,
)
from layerkit.fastapi import app_exception_handler, install
from tests.fastapi.conftest import Serve

PROBLEM = "application/problem+json"


def application(error: Exception, **options: Any) -> FastAPI:
    app = FastAPI()
    install(app, validation="problem", **options)

    @app.get("/users/7")
    async def read() -> None:
        raise error

    return app


# The textbook's handler


async def test_the_handler_answers_the_textbooks_envelope(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    app.add_exception_handler(AppException, app_exception_handler)

    @app.get("/users/{user_id}")
    async def read(user_id: int) -> None:
        raise NotFoundError(entity="User", entity_id=user_id)

    async with serve(app) as client:
        answer = await client.get("/users/7")

    body = answer.json()
    assert answer.status_code == 404
    assert set(body) == {"error", "detail", "timestamp", "path"}
    assert body["error"] == "no User with id 7"
    assert body["detail"] == {"entity": "User", "id": 7}
    assert body["path"] == "/users/7"
    sent = datetime.fromisoformat(body["timestamp"])
    assert sent.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - sent) < timedelta(minutes=1)
    [record] = [r for r in caplog.records if r.name == "layerkit.fastapi"]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "GET /users/7: 404 no User with id 7 {'entity': 'User', 'id': 7}"
    )


async def test_the_handler_hides_what_is_no_app_exception(serve: Serve) -> None:
    app = application(ValueError("dsn=secret"), renderer=app_exception_handler)

    async with serve(app) as client:
        answer = await client.get("/users/7")

    assert answer.status_code == 500
    assert answer.json()["error"] == "Internal server error"
    assert "secret" not in answer.text


# problem+json


async def test_an_error_is_answered_as_a_problem(serve: Serve) -> None:
    async with serve(application(ConflictError("taken", fields=("email",)))) as client:
        answer = await client.get("/users/7", headers={"X-Request-ID": "abc"})

    assert answer.status_code == 409
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "taken",
        "code": "CONFLICT",
        "retryable": False,
        "context": {"fields": ["email"]},
        "instance": "/users/7",
        "request_id": "abc",
    }


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (UnavailableError(retry_after=timedelta(seconds=1.2)), "retry-after", "2"),
        (UnauthorizedError(), "www-authenticate", "Bearer"),
        (
            HTTPException(401, headers={"WWW-Authenticate": "Basic"}),
            *("www-authenticate", "Basic"),
        ),
        (HTTPException(405, headers={"Allow": "PUT"}), "allow", "PUT"),
    ],
)
async def test_an_error_brings_its_headers(
    serve: Serve, error: Exception, header: str, value: str
) -> None:
    async with serve(application(error)) as client:
        answer = await client.get("/users/7")

    assert answer.headers[header] == value


async def test_an_http_exception_is_answered_in_the_same_form(serve: Serve) -> None:
    async with serve(application(HTTPException(405, "use PUT"))) as client:
        answer = await client.get("/users/7")
        unknown = await client.get("/nowhere")

    assert answer.json()["code"] == "METHOD_NOT_ALLOWED"
    assert answer.json()["detail"] == "use PUT"
    assert unknown.json()["title"] == "Not Found"
    assert unknown.headers["content-type"] == PROBLEM


async def test_an_http_exception_may_carry_facts_and_an_unknown_status(
    serve: Serve,
) -> None:
    async with serve(application(HTTPException(499, {"left": 3}))) as client:
        answer = await client.get("/users/7")

    assert answer.status_code == 499
    assert answer.json()["title"] == "Error"
    assert answer.json()["context"] == {"detail": {"left": 3}}


async def test_a_mistake_in_code_shows_a_fixed_text(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(application(UsageError("no field 'secrt' in users"))) as client:
        answer = await client.get("/users/7")

    assert answer.status_code == 500
    assert "secrt" not in answer.text
    assert "no field 'secrt' in users" in caplog.text


@pytest.mark.defect("F17")
async def test_an_unknown_error_shows_a_fixed_text_and_is_logged_whole(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    error = RuntimeError("postgresql://app:hunter2@db")

    async with serve(application(error)) as client:
        answer = await client.get("/users/7")

    assert answer.json()["detail"] == "Internal server error"
    assert "hunter2" not in answer.text
    [record] = [r for r in caplog.records if r.name == "layerkit.fastapi"]
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert record.exc_info[1].__cause__ is error


@pytest.mark.defect("F18")
@pytest.mark.parametrize("error", [RuntimeError("boom"), NotFoundError("x")])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_error_answers_carry_cors_and_correlation_headers(
    serve: Serve, error: Exception, when: str
) -> None:
    app = FastAPI()
    if when == "before":
        app.add_middleware(CORSMiddleware, allow_origins=["*"])
    install(app)
    if when == "after":
        app.add_middleware(CORSMiddleware, allow_origins=["*"])

    @app.get("/")
    async def read() -> None:
        raise error

    async with serve(app) as client:
        headers = {"Origin": "http://page", "X-Request-ID": "abc"}
        answer = await client.get("/", headers=headers)

    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-request-id"] == "abc"


async def test_an_error_after_the_answer_has_begun_cuts_it_off(serve: Serve) -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    async def read() -> StreamingResponse:
        async def lines() -> Any:
            yield "one"
            raise RuntimeError("boom")

        return StreamingResponse(lines())

    received: list[Any] = []

    async def send(message: Any) -> None:
        received.append(message["type"])

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
    }
    scope |= {"query_string": b"", "server": ("test", 80)}
    async with serve(app):
        with pytest.raises(RuntimeError, match="boom"):
            await app(scope, receive, send)

    assert received == ["http.response.start", "http.response.body"]


# What an application brings along


@pytest.mark.parametrize(
    "kind", [HTTPException, StarletteHTTPException], ids=["fastapi", "starlette"]
)
async def test_handlers_of_the_application_stay(
    serve: Serve, kind: type[Exception]
) -> None:
    app = FastAPI()

    @app.exception_handler(kind)
    async def own(_: Request, __: Exception) -> Response:
        return PlainTextResponse("own", 418)

    install(app)

    @app.get("/")
    async def read() -> None:
        raise HTTPException(404)

    async with serve(app) as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.text) == (418, "own")


def own_sync(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"own {error}", 500)


async def own_async(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"own {error}", 500)


@pytest.mark.parametrize("key", [Exception, 500])
@pytest.mark.parametrize("handler", [own_sync, own_async])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_catch_all_of_the_application_answers_in_ours(
    serve: Serve, key: Any, handler: Callable[..., Any], when: str
) -> None:
    app = FastAPI()
    if when == "before":
        app.add_exception_handler(key, handler)
    install(app)
    if when == "after":
        app.add_exception_handler(key, handler)

    @app.get("/users/7")
    async def read() -> None:
        raise RuntimeError("boom")

    async with serve(app) as client:
        answer = await client.get("/users/7")

    assert answer.text == "own boom"
    assert answer.headers["x-request-id"]


async def test_a_renderer_of_the_users_own_gets_every_error(serve: Serve) -> None:
    async def render(_: Request, error: AppException) -> Response:
        return JSONResponse({"oops": error.code}, error.status_code)

    app = application(RuntimeError("boom"), renderer=render)

    async with serve(app) as client:
        unknown = await client.get("/users/7")
        missing = await client.get("/nowhere")

    assert unknown.json() == {"oops": "INTERNAL_ERROR"}
    assert missing.json()["oops"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), NotFoundError("x")])
async def test_a_failing_renderer_is_answered_plainly_and_logged(
    serve: Serve, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def render(_: Request, __: AppException) -> Response:
        raise LookupError("hunter2")

    async with serve(application(error, renderer=render)) as client:
        answer = await client.get("/users/7")

    assert answer.status_code == 500
    assert answer.json()["code"] == "INTERNAL_ERROR"
    assert "hunter2" not in answer.text
    assert "the error renderer failed" in caplog.text


async def test_an_error_in_the_applications_own_middleware_is_a_problem_too(
    serve: Serve,
) -> None:
    class Broken:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                raise RuntimeError("hunter2")
            await self.app(scope, receive, send)

    app = application(RuntimeError("boom"))
    app.add_middleware(Broken)

    async with serve(app) as client:
        answer = await client.get("/users/7")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert "hunter2" not in answer.text


# Input that is not valid


class Cat(BaseModel):
    kind: Literal["cat"]
    age: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[int]


class Form(BaseModel):
    pet: Cat | Dog | None = None
    tagged: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    by_day: dict[int, int] = {}
    password: SecretStr = SecretStr("")
    nick: Annotated[str, Field(alias="nick/name", max_length=3)] = ""
    token: str = ""

    @field_validator("token")
    @classmethod
    def check_token(cls, value: str) -> str:
        if value:
            raise ValueError(f"bad token {value}")
        return value


async def errors_of(serve: Serve, body: Any, url: str = "/") -> list[dict[str, str]]:
    app = FastAPI()
    install(app, validation="problem")

    @app.post("/")
    async def create(
        form: Form,
        limit: Annotated[int, Query(le=10)] = 1,
        x_level: Annotated[int, Header()] = 1,
    ) -> None: ...

    @app.post("/two")
    async def two(
        left: Annotated[int, Body()], right: Annotated[int, Body()]
    ) -> None: ...

    async with serve(app) as client:
        content = body if isinstance(body, bytes) else None
        json = None if content else body
        headers = {"x-level": "high"} if "level" in url else {}
        if content:
            headers["content-type"] = "application/json"
        answer = await client.post(url, json=json, content=content, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM
    assert "hunter2" not in answer.text
    found: list[dict[str, str]] = answer.json()["context"]["errors"]
    return found


@pytest.mark.defect("F19")
@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (
            {"pet": {"kind": "cat", "age": "x"}},
            {"#/pet/age", "#/pet/kind", "#/pet/tricks"},
        ),
        ({"tagged": {"kind": "cat", "age": "x"}}, {"#/tagged/age"}),
        ({"tagged": {"kind": "dog", "tricks": [1, "x"]}}, {"#/tagged/tricks/1"}),
        ({"tagged": {"kind": "dog"}}, {"#/tagged/tricks"}),
        ({"tagged": {"kind": "hunter2"}}, {"#/tagged"}),
        ({"by_day": {"x": 1}}, {"#/by_day/x"}),
        ({"by_day": {"1": "x"}}, {"#/by_day/1"}),
        ({"nick/name": "hunter2"}, {"#/nick~1name"}),
        ([], {"#"}),
        (b"{hunter2", {"#"}),
    ],
)
async def test_pointers_follow_the_input(
    serve: Serve, body: Any, pointers: set[str]
) -> None:
    found = await errors_of(serve, body)

    assert {error["pointer"] for error in found} == pointers
    assert all(error["code"] and error["detail"] for error in found)


async def test_parameters_are_named_by_their_place(serve: Serve) -> None:
    found = await errors_of(serve, {}, "/?limit=11&level")

    places = {(error["in"], error["name"], error["code"]) for error in found}
    assert places == {
        ("query", "limit", "less_than_equal"),
        ("header", "x-level", "int_parsing"),
    }


async def test_a_missing_member_of_an_embedded_body_is_pointed_at(serve: Serve) -> None:
    found = await errors_of(serve, {"left": 1}, "/two")

    assert found == [
        {"pointer": "#/right", "code": "missing", "detail": "Field required"}
    ]


@pytest.mark.defect("F16")
@pytest.mark.parametrize(
    "body",
    [
        {"password": {"x": "hunter2"}},
        {"password": "hunter2", "by_day": 3},
        {"token": "hunter2"},
        {"tagged": {"kind": "hunter2"}},
        {"by_day": {"hunter2": 1}},
    ],
)
async def test_input_is_never_echoed(serve: Serve, body: Any) -> None:
    app = FastAPI()
    install(app, validation="problem")

    @app.post("/")
    async def create(form: Form) -> None: ...

    async with serve(app) as client:
        answer = await client.post("/", json=body)

    assert answer.status_code == 422
    assert "hunter2" not in answer.text.replace("#/by_day/hunter2", "")
