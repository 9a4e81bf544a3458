"""Running an application: for a client in the same process, and on a real port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Start *app*, yield a client of it that needs no network, and stop it."""
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Serve *app* on a free port, and yield the host and the port."""
    config = uvicorn.Config(app, port=0, log_config=None)
    config.load()
    server = uvicorn.Server(config)
    # What `serve` does, without its loop: this returns once the port is open.
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        await server.shutdown()
