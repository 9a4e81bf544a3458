"""What only a real server shows: what was sent when, and how a line is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from layerkit.core import ConflictError, NotFoundError
from layerkit.factory import Scope, ServiceFactory
from layerkit.fastapi import ETag, Inject, install


class Session:
    """Hold its commit until the test lets it go, or fail it."""

    def __init__(self) -> None:
        self.is_committing = asyncio.Event()
        self.may_commit = asyncio.Event()
        self.error: Exception | None = None
        self.log: list[str] = []


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def app(session: Session) -> FastAPI:
    async def open_session() -> AsyncIterator[Session]:
        session.log.append("begin")
        yield session
        session.log.append("commit")
        session.is_committing.set()
        await session.may_commit.wait()
        if session.error is not None:
            raise session.error

    app = FastAPI()
    install(app, ServiceFactory().scoped(open_session))
    return app


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Serve *app* on a free port, and yield host and port."""
    config = uvicorn.Config(app, port=0, log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        await server.shutdown()


@pytest.mark.defect("F1")
async def test_nothing_is_sent_before_the_commit(
    app: FastAPI, session: Session
) -> None:
    @app.post("/", status_code=201)
    async def create(session: Inject[Session]) -> str:
        session.log.append("work")
        return "made"

    async with listening(app) as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        answer = asyncio.create_task(reader.read(12))
        await session.is_committing.wait()
        early, _ = await asyncio.wait({answer}, timeout=0.1)
        session.may_commit.set()
        text = await answer + await reader.read()
        writer.close()
        await writer.wait_closed()

    assert early == set()
    assert text.startswith(b"HTTP/1.1 201")
    assert session.log == ["begin", "work", "commit"]


@pytest.mark.defect("F1")
async def test_a_failing_commit_answers_an_error(
    app: FastAPI, session: Session
) -> None:
    session.may_commit.set()
    session.error = ConflictError("late")

    @app.post("/", status_code=201)
    async def create(_: Inject[Session]) -> str:
        return "made"

    async with listening(app) as address, httpx.AsyncClient() as client:
        answer = await client.post(f"http://{address}/")

    assert (answer.status_code, answer.json()["detail"]) == (409, "late")


async def test_streams_and_background_tasks_get_a_scope_of_their_own(
    app: FastAPI, session: Session
) -> None:
    session.may_commit.set()

    async def later(factory: ServiceFactory, name: str) -> None:
        async with factory.scope() as scope:
            (await scope.get(Session)).log.append(name)

    @app.get("/")
    async def read(
        factory: Inject[ServiceFactory], tasks: BackgroundTasks
    ) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            await later(factory, "stream")
            yield "line"

        tasks.add_task(later, factory, "task")
        return StreamingResponse(lines())

    async with listening(app) as address, httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/")

    assert answer.text == "line"
    assert session.log == ["begin", "stream", "commit", "begin", "task", "commit"]


async def test_a_stream_from_a_closed_scope_is_cut_off_and_the_log_says_why(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/")
    async def read(factory: Inject[ServiceFactory]) -> StreamingResponse:
        async def lines(scope: Scope) -> AsyncIterator[str]:
            yield "line"
            yield (await scope.get(Session)).log[0]

        async with factory.scope() as scope:
            return StreamingResponse(lines(scope))

    async with listening(app) as address, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://{address}/")

    assert "Session was asked for outside an open scope" in caplog.text


async def test_a_stream_that_fails_is_cut_off(app: FastAPI) -> None:
    @app.get("/")
    async def read() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "line"
            raise RuntimeError("boom")

        return StreamingResponse(lines())

    async with listening(app) as address, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://{address}/")


async def test_304_is_a_whole_answer(app: FastAPI) -> None:
    @app.get("/")
    async def read(etag: ETag) -> str:
        etag.send(7)
        return "ada"

    async with listening(app) as address, httpx.AsyncClient() as client:
        headers = {"If-None-Match": '"7"'}
        answers = [
            await client.get(f"http://{address}/", headers=headers) for _ in range(2)
        ]

    assert [(a.status_code, a.content) for a in answers] == [(304, b"")] * 2


# Websockets


async def test_a_websocket_has_a_scope_for_each_message(
    app: FastAPI, session: Session
) -> None:
    session.may_commit.set()

    @app.websocket("/live")
    async def live(websocket: WebSocket, factory: Inject[ServiceFactory]) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            async with factory.scope() as scope:
                (await scope.get(Session)).log.append(text)
            await websocket.send_text("done")

    async with listening(app) as address, connect(f"ws://{address}/live") as socket:
        for text in ("one", "two"):
            await socket.send(text)
            assert await socket.recv() == "done"

    assert session.log == ["begin", "one", "commit", "begin", "two", "commit"]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (NotFoundError("no room"), 1008, "NOT_FOUND"),
        (RuntimeError("hunter2"), 1011, "INTERNAL_ERROR"),
    ],
)
async def test_an_error_closes_a_websocket_with_a_code(
    app: FastAPI, error: Exception, code: int, reason: str
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        raise error

    async with listening(app) as address, connect(f"ws://{address}/live") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


async def test_a_refused_handshake_carries_the_correlation_id(app: FastAPI) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("full", 503))

    async with listening(app) as address:
        with pytest.raises(InvalidStatus) as refused:
            headers = {"X-Request-ID": "abc"}
            url = f"ws://{address}/live"
            await connect(url, additional_headers=headers, proxy=None)

    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["x-request-id"] == "abc"


@pytest.mark.defect("F16")
async def test_invalid_input_of_a_websocket_refuses_it_without_an_echo(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/live")
    async def live(websocket: WebSocket, number: int) -> None: ...

    async with listening(app) as address:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/live?number=hunter2")

    assert refused.value.response.status_code == 403
    assert "422" in caplog.text
    assert "Traceback" not in caplog.text
