"""Clients of an application on a port, and a look at its database as it answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import create_engine, func, select
from sqlalchemy import table as named

from tests.examples.serving import listening


@asynccontextmanager
async def calling(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Serve *app* by Uvicorn, and yield a client of it."""
    async with (
        listening(app) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        yield client


def count(url: str, table: str) -> int:
    """Return how many rows of *table* another connection sees."""
    engine = create_engine(url.replace("+aiosqlite", "").replace("asyncpg", "psycopg"))
    with engine.connect() as connection:
        rows = select(func.count()).select_from(named(table))
        found = connection.scalar(rows)
    engine.dispose()
    return int(found or 0)


class Watched:
    """Call *look* at the moment at which an answer of *app* begins to be sent.

    Attributes:
        seen: The status of each answer, and what *look* has returned.
    """

    def __init__(self, app: FastAPI, look: Callable[[], object]) -> None:
        self.app, self.look = app, look
        self.seen: list[tuple[int, object]] = []

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[httpx.AsyncClient]:
        """Yield a client of the application."""
        transport = httpx.ASGITransport(self)
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            yield client

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            if message["type"] == "http.response.start":
                found = await asyncio.to_thread(self.look)
                self.seen.append((message["status"], found))
            await send(message)

        await self.app(scope, receive, note)
