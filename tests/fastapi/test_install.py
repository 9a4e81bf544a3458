"""install: lifespan, health, correlation ids, and an application that exists."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from layerkit.core import ConflictError, UsageError, correlation_id
from layerkit.factory import ServiceFactory
from layerkit.fastapi import CatchAllMiddleware, CorrelationMiddleware, Inject, install
from tests.fastapi.conftest import Serve


class Engine:
    def __init__(self) -> None:
        self.is_open = True


async def test_the_factory_opens_around_the_applications_own_lifespan() -> None:
    log: list[str] = []

    async def open_engine() -> AsyncIterator[Engine]:
        log.append("engine opens")
        yield Engine()
        log.append("engine closes")

    factory = ServiceFactory().singleton(open_engine)

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[dict[str, Engine]]:
        log.append("application starts")
        yield {"engine": await factory.get(Engine)}
        log.append("application ends")

    app = FastAPI(lifespan=own)
    install(app, factory)

    async with app.router.lifespan_context(app) as state:
        assert isinstance(state["engine"], Engine)  # type: ignore[index] # typed as None

    assert log == [
        "engine opens",
        "application starts",
        "application ends",
        "engine closes",
    ]


async def test_an_application_can_be_started_again(serve: Serve) -> None:
    app = FastAPI()
    install(app, ServiceFactory().singleton(Engine))

    @app.get("/")
    async def read(engine: Inject[Engine]) -> bool:
        return engine.is_open

    for _ in range(2):
        async with serve(app) as client:
            assert (await client.get("/")).json() is True


def test_install_is_called_once() -> None:
    app = FastAPI()
    install(app)

    with pytest.raises(UsageError, match="before: once will do"):
        install(app)


async def test_install_is_refused_once_the_application_serves(serve: Serve) -> None:
    app = FastAPI()
    async with serve(app) as client:
        await client.get("/")

    with pytest.raises(UsageError, match="serving already"):
        install(app)


# Health


async def test_health_answers_while_the_application_serves(serve: Serve) -> None:
    app, plain = FastAPI(), FastAPI()
    install(app, ServiceFactory())
    install(plain, health="/up")

    async with serve(app) as client:
        answer = await client.get("/health")
        paths = (await client.get("/openapi.json")).json()["paths"]
    async with serve(plain) as client:
        up = await client.get("/up")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert up.status_code == 200
    assert paths == {}


async def test_health_is_unavailable_while_the_factory_is_closed() -> None:
    app = FastAPI()
    install(app, ServiceFactory())
    transport = httpx.ASGITransport(app=app)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/health")

    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})


async def test_health_can_be_left_out(serve: Serve) -> None:
    app = FastAPI()
    install(app, health=None)

    async with serve(app) as client:
        assert (await client.get("/health")).status_code == 404


# Correlation ids


@pytest.fixture
def echo() -> FastAPI:
    app = FastAPI()
    install(app, request_id_header="X-Trace")

    @app.get("/")
    async def read() -> str | None:
        return correlation_id.get()

    return app


async def test_the_callers_correlation_id_is_used_and_returned(
    serve: Serve, echo: FastAPI
) -> None:
    async with serve(echo) as client:
        answer = await client.get("/", headers={"X-Trace": "a1-b2.c3"})

    assert answer.json() == answer.headers["x-trace"] == "a1-b2.c3"
    assert correlation_id.get() is None


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é".encode(), "<a>"])
async def test_a_malformed_correlation_id_is_replaced(
    serve: Serve, echo: FastAPI, given: str | bytes
) -> None:
    raw = given if isinstance(given, bytes) else given.encode()
    async with serve(echo) as client:
        answer = await client.get("/", headers={b"X-Trace": raw})

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-trace"])
    assert answer.json() == answer.headers["x-trace"]


async def test_requests_without_a_correlation_id_get_new_ones(
    serve: Serve, echo: FastAPI
) -> None:
    async with serve(echo) as client:
        first, second = await client.get("/"), await client.get("/")

    assert first.json() != second.json()


# Without a factory, and without FastAPI


class Session:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.commit_error: Exception | None = None


@pytest.mark.defect("F1")
@pytest.mark.parametrize(
    ("error", "status"), [(None, 201), (ConflictError("late"), 409), (OSError(), 500)]
)
async def test_an_existing_session_dependency_commits_before_the_answer(
    serve: Serve, error: Exception | None, status: int
) -> None:
    async def get_session() -> AsyncIterator[Session]:
        session = Session()
        yield session
        if session.commit_error is not None:
            raise session.commit_error

    app = FastAPI()
    install(app)

    @app.post("/users", status_code=201)
    async def create_user(
        session: Session = Depends(get_session, scope="function"),  # noqa: B008 - FastAPI's way
    ) -> str:
        session.commit_error = error
        return "made"

    async with serve(app) as client:
        answer = await client.post("/users")

    assert answer.status_code == status


async def test_the_lifespan_passes_through_the_middleware() -> None:
    app = FastAPI()
    install(app, ServiceFactory())
    to_app = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    from_app: list[str] = []

    async def receive() -> Any:
        return next(to_app)

    async def send(message: Any) -> None:
        from_app.append(message["type"])

    await app({"type": "lifespan"}, receive, send)

    assert from_app == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_middleware_serves_plain_starlette() -> None:
    async def boom(_: Request) -> PlainTextResponse:
        raise RuntimeError("hunter2")

    app: Any = Starlette(
        routes=[Route("/", boom)],
        middleware=[Middleware(CorrelationMiddleware), Middleware(CatchAllMiddleware)],
    )
    transport = httpx.ASGITransport(app=app)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/", headers={"X-Request-ID": "abc"})

    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "abc"
    assert "hunter2" not in answer.text
