"""Readiness: 200 only while requests can be served."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from layerkit.core.errors import UnavailableError
from layerkit.factory import ServiceFactory
from layerkit.fastapi import install
from tests.fastapi.conftest import Serve


class Database:
    """Answer pings as well as the test says."""

    is_well = True

    async def ping(self) -> None:
        if not self.is_well:
            raise UnavailableError


def pinged(database: Database) -> ServiceFactory:
    factory = ServiceFactory()
    factory.value(database)
    return factory


async def get(app: Any, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


@pytest.mark.parametrize("factory", [None, ServiceFactory(), pinged(Database())])
async def test_an_application_is_ready_between_start_and_end(
    factory: ServiceFactory | None,
) -> None:
    app = FastAPI()
    install(app, factory)

    before = await get(app, "/ready")
    async with app.router.lifespan_context(app):
        during = await get(app, "/ready")
    after = await get(app, "/ready")

    assert (before.status_code, before.json()) == (503, {"status": "unavailable"})
    assert (during.status_code, during.json()["status"]) == (200, "ok")
    assert during.headers["cache-control"] == "no-store"
    assert after.status_code == 503


async def test_a_failing_ping_makes_it_unready_but_not_dead(serve: Serve) -> None:
    app, database = FastAPI(), Database()
    install(app, pinged(database))

    async with serve(app) as client:
        well = await client.get("/ready")
        database.is_well = False
        unwell = await client.get("/ready")
        alive = await client.get("/health")

    assert well.json()["status"] == "ok"
    assert well.json()["checks"]["Database"]["ok"] is True
    assert (unwell.status_code, unwell.json()["status"]) == (503, "unavailable")
    assert unwell.json()["checks"]["Database"]["code"] == "UNAVAILABLE"
    assert alive.status_code == 200


async def test_it_is_not_ready_while_the_lifespan_starts_and_ends() -> None:
    seen: list[int] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        seen.append((await get(app, "/ready")).status_code)
        yield
        seen.append((await get(app, "/ready")).status_code)

    app = FastAPI(lifespan=lifespan)
    install(app, ServiceFactory())

    async with app.router.lifespan_context(app):
        pass

    assert seen == [503, 503]


async def test_the_paths_can_be_chosen_or_left_out(serve: Serve) -> None:
    app, without = FastAPI(), FastAPI()
    install(app, health="/live", ready="/up")
    install(without, health=None, ready=None)

    async with serve(app) as client:
        chosen = [(await client.get(path)).status_code for path in ("/live", "/up")]
        document = (await client.get("/openapi.json")).json()
    async with serve(without) as client:
        left = [(await client.get(path)).status_code for path in ("/health", "/ready")]

    assert chosen == [200, 200]
    assert document["paths"] == {}
    assert left == [404, 404]


async def test_a_mount_of_everything_does_not_hide_them(serve: Serve) -> None:
    app = FastAPI()
    app.mount("/", Starlette())
    install(app)

    async with serve(app) as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/ready")).status_code == 200


async def test_routes_of_the_application_at_these_paths_stay(serve: Serve) -> None:
    app, router = FastAPI(), APIRouter()

    @app.get("/health")
    async def health() -> str:
        return "own"

    @router.get("/ready")
    async def ready() -> str:
        return "own"

    app.include_router(router)
    install(app)

    async with serve(app) as client:
        assert (await client.get("/health")).json() == "own"
        assert (await client.get("/ready")).json() == "own"


async def test_a_mounted_application_that_nobody_starts_is_not_ready() -> None:
    inner = FastAPI()
    install(inner, ServiceFactory())

    answer = await get(Starlette(routes=[Mount("/sub", inner)]), "/sub/ready")

    assert answer.status_code == 503
