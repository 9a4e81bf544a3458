"""Websockets: shared objects injected, a scope per message, errors as close codes."""

import logging
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketException

from layerkit.core import NotFoundError, UnavailableError, WiringError
from layerkit.factory import ServiceFactory
from layerkit.fastapi import Inject, install
from tests.fastapi.conftest import Connect, Serve


class Session:
    pass


class Greeting:
    text = "hello"


class Sessions:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def open(self) -> AsyncIterator[Session]:
        self.log.append("begin")
        yield Session()
        self.log.append("commit")


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def app(sessions: Sessions) -> FastAPI:
    app = FastAPI()
    install(app, ServiceFactory().singleton(Greeting).scoped(sessions.open))
    return app


async def test_shared_objects_are_injected_and_each_message_has_a_scope(
    app: FastAPI, sessions: Sessions, serve: Serve, connect: Connect
) -> None:
    @app.websocket("/live")
    async def live(
        websocket: WebSocket,
        greeting: Inject[Greeting],
        factory: Inject[ServiceFactory],
    ) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            async with factory.scope() as scope:
                await scope.get(Session)
            await websocket.send_text(greeting.text)

    async with serve(app), connect(app, "/live") as socket:
        for _ in range(2):
            await socket.send("hi")
            assert (await socket.receive())["text"] == "hello"

    assert sessions.log == ["begin", "commit"] * 2


async def test_a_websocket_that_injects_what_is_scoped_fails_the_start(
    app: FastAPI,
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket, session: Inject[Session]) -> None: ...

    with pytest.raises(WiringError) as caught:
        await app.router.lifespan_context(app).__aenter__()

    assert caught.value.message == (
        "websocket /live needs Session, which is scoped: only values and singletons "
        "can be had there; inject ServiceFactory and open a `factory.scope()`"
    )


@pytest.mark.parametrize(
    ("error", "closing"),
    [
        (NotFoundError("no room"), (1008, "NOT_FOUND")),
        (HTTPException(403), (1008, "FORBIDDEN")),
        (UnavailableError(), (1011, "UNAVAILABLE")),
        (RuntimeError("hunter2"), (1011, "INTERNAL_ERROR")),
        (WebSocketException(4001, "own"), (4001, "own")),
    ],
)
async def test_an_error_closes_the_websocket_with_its_code(
    app: FastAPI,
    serve: Serve,
    connect: Connect,
    error: Exception,
    closing: tuple[int, str],
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        raise error

    async with serve(app), connect(app, "/live") as socket:
        closed = await socket.receive()

    assert closed["type"] == "websocket.close"
    assert (closed["code"], closed["reason"]) == closing


async def test_an_error_before_the_handshake_refuses_it(
    app: FastAPI, serve: Serve, connect: Connect
) -> None:
    @app.websocket("/live")
    async def live(_: WebSocket) -> None:
        raise NotFoundError("no room")

    async with serve(app), connect(app, "/live") as socket:
        assert socket.handshake["type"] == "websocket.close"


@pytest.mark.defect("F17")
async def test_an_unknown_error_is_logged_and_not_shown(
    app: FastAPI, serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/live")
    async def live(_: WebSocket) -> None:
        raise RuntimeError("hunter2")

    async with serve(app), connect(app, "/live") as socket:
        refused = socket.handshake

    assert (refused["code"], refused["reason"]) == (1011, "INTERNAL_ERROR")
    assert "hunter2" in caplog.text


async def test_an_unknown_error_after_the_close_closes_nothing_twice(
    app: FastAPI, serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000)
        raise RuntimeError("hunter2")

    async with serve(app), connect(app, "/live") as socket:
        closed = await socket.receive()

    assert closed["code"] == 4000
    assert socket.is_silent
    assert "hunter2" in caplog.text


async def test_a_client_that_leaves_is_no_error(
    app: FastAPI, serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    async with serve(app), connect(app, "/live") as socket:
        pass

    assert socket.is_silent
    assert [r for r in caplog.records if r.levelno > logging.DEBUG] == []


@pytest.mark.defect("F16")
async def test_invalid_input_is_not_echoed(
    app: FastAPI, serve: Serve, connect: Connect
) -> None:
    @app.websocket("/rooms/{room}")
    async def live(websocket: WebSocket, room: int) -> None: ...

    async with serve(app), connect(app, "/rooms/hunter2") as socket:
        refused = socket.handshake

    assert (refused["code"], refused["reason"]) == (1008, "VALIDATION_ERROR")


async def test_an_error_after_the_client_has_gone_closes_nothing(
    app: FastAPI, serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()
        raise NotFoundError("no room")

    async with serve(app), connect(app, "/live"):
        pass

    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "websocket /live: 404 no room {}"
    ]


async def test_the_handshake_carries_the_correlation_id(
    app: FastAPI, serve: Serve, connect: Connect
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()

    async with serve(app), connect(app, "/live", x_request_id="abc") as socket:
        assert dict(socket.handshake["headers"])[b"x-request-id"] == b"abc"
