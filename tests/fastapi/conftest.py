"""Applications served in the test's own loop, their lifespan included."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, create_engine

from tests.fastapi.seats import Base
from tests.support.databases import fresh_database

Serve: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def _serve(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.fixture
def serve() -> Serve:
    """Return what opens an application and yields a client to it."""
    return _serve


@pytest.fixture(params=["pysqlite", "psycopg"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine of a synchronous application, with the table of the seats."""
    if request.param == "pysqlite":
        made = create_engine(f"sqlite:///{tmp_path / 'seats.db'}")
        Base.metadata.create_all(made)
        yield made
        made.dispose()
        return
    with fresh_database(request.getfixturevalue("postgres_server")) as url:
        made = create_engine(url.replace("+asyncpg", "+psycopg"), pool_size=10)
        Base.metadata.create_all(made)
        yield made
        made.dispose()


class Socket:
    """The client's end of a websocket to an ASGI application."""

    def __init__(self, app: Any, path: str, headers: dict[str, str]) -> None:
        raw = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": path,
            "headers": raw,
            "subprotocols": [],
        }
        scope |= {"query_string": b"", "server": ("test", 80), "scheme": "ws"}
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._serve = app(scope, self._to_app.get, self._from_app.put)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._serve)
        await self._to_app.put({"type": "websocket.connect"})
        self.handshake = await self.receive()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._to_app.put({"type": "websocket.disconnect", "code": 1000})
        await self._task

    async def send(self, text: str) -> None:
        await self._to_app.put({"type": "websocket.receive", "text": text})

    async def receive(self) -> dict[str, Any]:
        return await self._from_app.get()

    @property
    def is_silent(self) -> bool:
        """True where the application has sent nothing that was not received."""
        return self._from_app.empty()


Connect: TypeAlias = Callable[..., Socket]


@pytest.fixture
def connect() -> Connect:
    """Return what opens a websocket: the application, the path, headers."""
    return lambda app, path, **headers: Socket(
        app, path, {name.replace("_", "-"): value for name, value in headers.items()}
    )
