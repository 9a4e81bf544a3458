"""install alone, in an application that has all of its own already."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from layerkit.core import ConflictError, NotFoundError, WiringError, correlation_id
from layerkit.factory import ServiceFactory
from layerkit.fastapi import Inject, install
from tests.fastapi.conftest import Serve

FRESH = re.compile("[0-9a-f]{32}")


class TeapotError(Exception):
    """An error of the application, with a handler of its own."""


def existing(*, installed: str, log: list[str]) -> FastAPI:
    """Return an application with routes, handlers, middleware and a lifespan."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, int]]:
        log.append("started")
        yield {"answer": 42}
        log.append("ended")

    app = FastAPI(lifespan=lifespan)
    if installed == "first":
        install(app)

    @app.middleware("http")
    async def note(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers["X-Noted"] = str(correlation_id.get())
        return response

    @app.exception_handler(TeapotError)
    async def teapot(_: Request, __: Exception) -> Response:
        return PlainTextResponse("teapot", 418)

    @app.get("/fine")
    async def fine(request: Request) -> Any:
        return request.state.answer

    @app.get("/raises/{name}")
    async def raises(name: str) -> None:
        raise {
            "teapot": TeapotError(),
            "http": HTTPException(404, "nobody"),
            "ours": ConflictError("taken"),
            "unknown": RuntimeError("hunter2"),
        }[name]

    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    if installed == "last":
        install(app)
    return app


@pytest.mark.parametrize("installed", ["first", "last"])
async def test_all_that_an_application_has_goes_on_working(installed: str) -> None:
    log: list[str] = []
    app = existing(installed=installed, log=log)

    async with app.router.lifespan_context(app) as state:
        assert state == {"answer": 42}
        assert log == ["started"]

    assert log == ["started", "ended"]


@pytest.mark.defect("F18")
@pytest.mark.parametrize("installed", ["first", "last"])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/raises/teapot", 418),
        ("/raises/http", 404),
        ("/raises/ours", 409),
        ("/raises/unknown", 500),
        ("/nowhere", 404),
    ],
)
async def test_every_error_passes_through_the_applications_own_middleware(
    serve: Serve, installed: str, path: str, status: int
) -> None:
    async with serve(existing(installed=installed, log=[])) as client:
        headers = {"Origin": "http://page", "X-Request-ID": "abc"}
        answer = await client.get(path, headers=headers)

    assert answer.status_code == status
    assert answer.headers["x-request-id"] == answer.headers["x-noted"] == "abc"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "hunter2" not in answer.text


class Refusing:
    """Middleware of the application that fails before anything of ours is reached."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raise RuntimeError("hunter2")
        await self.app(scope, receive, send)


@pytest.mark.defect("F18")
@pytest.mark.parametrize("installed", ["first", "last"])
async def test_an_error_in_middleware_carries_the_correlation_id(
    serve: Serve, installed: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = existing(installed=installed, log=[])
    app.add_middleware(Refusing)

    async with serve(app) as client:
        answer = await client.get("/fine", headers={"X-Request-ID": "abc"})

    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc"
    assert "hunter2" not in answer.text
    assert "hunter2" in caplog.text


async def test_a_refused_preflight_carries_the_correlation_id(serve: Serve) -> None:
    app = FastAPI()
    install(app)
    app.add_middleware(CORSMiddleware, allow_origins=["http://page"])

    async with serve(app) as client:
        answer = await client.options(
            "/",
            headers={
                "Origin": "http://other",
                "Access-Control-Request-Method": "GET",
                "X-Request-ID": "abc",
            },
        )

    assert answer.status_code == 400
    assert answer.headers["x-request-id"] == "abc"


@pytest.mark.parametrize(
    "lines",
    [
        [b"abc", b"def"],
        [b"abc", b"abc"],
        [b"abc, def"],
        [b"a\x00b"],
        [b"a\x1b[31m"],
        [b"a\nb"],
        [b"caf\xc3\xa9"],
        [b"\xff"],
        [b"x" * 129],
        [b"x" * 65_536],
        [b""],
    ],
)
async def test_a_malformed_or_repeated_correlation_id_is_replaced(
    lines: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install(app)
    sent: list[Any] = []

    @app.get("/")
    async def read() -> None:
        raise NotFoundError(f"seen {correlation_id.get()}")

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/"}
    scope |= {"query_string": b"", "server": ("test", 80)}
    scope["headers"] = [(b"x-request-id", line) for line in lines]
    await app(scope, receive, send)

    identity = dict(sent[0]["headers"])[b"x-request-id"].decode()
    assert FRESH.fullmatch(identity)
    assert f"seen {identity}" in caplog.text


@pytest.mark.parametrize("given", ["abc", None])
async def test_a_mounted_application_answers_in_the_same_form_with_the_same_id(
    serve: Serve, given: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    app, mounted = FastAPI(), FastAPI()

    @mounted.get("/")
    async def read() -> None:
        raise NotFoundError(f"seen {correlation_id.get()}")

    install(mounted, health=None, ready=None)
    app.mount("/sub", mounted)
    install(app, ServiceFactory())

    async with serve(app) as client:
        headers = {} if given is None else {"X-Request-ID": given}
        answer = await client.get("/sub/", headers=headers)

    identity = answer.headers["x-request-id"]
    assert given in {identity, None}
    assert (answer.status_code, answer.json()["request_id"]) == (404, identity)
    assert f"seen {identity}" in caplog.text


async def test_an_answer_without_headers_gets_the_correlation_id(serve: Serve) -> None:
    async def raw(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    app = FastAPI()
    install(app)
    app.mount("/raw", raw)

    async with serve(app) as client:
        answer = await client.get("/raw/", headers={"X-Request-ID": "abc"})

    assert (answer.status_code, answer.headers["x-request-id"]) == (204, "abc")


async def test_an_id_that_the_application_sends_itself_gives_way(serve: Serve) -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    async def read(response: Response) -> None:
        response.headers["X-Request-ID"] = "mine"

    async with serve(app) as client:
        answer = await client.get("/", headers={"X-Request-ID": "abc"})

    assert answer.headers.get_list("x-request-id") == ["abc"]


# Errors in what answers errors


@pytest.mark.parametrize("raised", [KeyError("hunter2"), ConflictError("later")])
@pytest.mark.parametrize("key", [TeapotError, 404])
async def test_an_error_in_a_handler_of_the_application_is_answered(
    serve: Serve, key: Any, raised: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install(app)

    @app.exception_handler(key)
    async def fails(_: Request, __: Exception) -> Response:
        raise raised

    @app.get("/")
    async def read() -> None:
        raise TeapotError if key is TeapotError else HTTPException(404)

    async with serve(app) as client:
        answer = await client.get("/", headers={"X-Request-ID": "abc"})

    expected = 409 if isinstance(raised, ConflictError) else 500
    assert answer.status_code == answer.json()["status"] == expected
    assert answer.headers["x-request-id"] == "abc"
    assert "hunter2" not in answer.text
    assert str(raised) in caplog.text


async def test_an_error_in_the_catch_all_of_the_application_is_answered_plainly(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install(app)

    @app.exception_handler(Exception)
    async def fails(_: Request, __: Exception) -> Response:
        raise KeyError("hunter2")

    @app.get("/")
    async def read() -> None:
        raise RuntimeError("first")

    async with serve(app) as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "hunter2" not in answer.text
    assert {"first", "hunter2"} <= set(re.findall("first|hunter2", caplog.text))


async def test_a_redirect_that_is_raised_is_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    async def read() -> None:
        raise HTTPException(307, headers={"Location": "/new"})

    async with serve(app) as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.headers["location"]) == (307, "/new")
    assert [r for r in caplog.records if r.name == "layerkit.fastapi"] == []


# Routes that come late


class Absent:
    pass


async def needs_absent(absent: Inject[Absent]) -> None: ...


async def test_a_route_that_the_lifespan_adds_is_checked() -> None:
    log: list[str] = []

    @asynccontextmanager
    async def lifespan(started: FastAPI) -> AsyncIterator[None]:
        started.get("/late")(needs_absent)
        try:
            yield
        finally:
            log.append("ended")

    app = FastAPI(lifespan=lifespan)
    factory = ServiceFactory()
    install(app, factory)

    with pytest.raises(WiringError, match=r"GET /late needs Absent \(parameter absent"):
        await app.router.lifespan_context(app).__aenter__()

    assert log == ["ended"]
    assert not factory.is_open


async def test_a_route_that_is_added_while_serving_fails_by_itself_and_says_why(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install(app, ServiceFactory())

    @app.get("/fine")
    async def fine() -> str:
        return "fine"

    async with serve(app) as client:
        app.get("/late")(needs_absent)
        late = await client.get("/late")
        other = await client.get("/fine")

    assert (late.status_code, late.json()["detail"]) == (500, "Internal server error")
    assert "Absent was asked for: nothing provides it" in caplog.text
    assert other.status_code == 200
    assert logging.ERROR in {record.levelno for record in caplog.records}
