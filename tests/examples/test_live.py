"""The users example over real websockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from layerkit import ConnectionManager, ServiceFactory
from tests.examples.serving import listening

pytestmark = pytest.mark.unmeasured

ADA = {"email": "ada@example.org", "name": "Ada", "password": "correct horse 7"}
GRACE = ADA | {"email": "grace@example.org", "name": "Grace"}


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """Host and port of the served application."""
    async with listening(app) as address:
        yield address


@pytest.fixture
async def http(address: str) -> AsyncIterator[AsyncClient]:
    """A client of the served application."""
    async with AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
        yield http


def open_socket(address: str, client_id: str, origin: str | None = None) -> connect:
    page = None if origin is None else Origin(origin)
    return connect(f"ws://{address}/ws/{client_id}", origin=page, proxy=None)


async def message(socket: ClientConnection) -> dict[str, Any]:
    received: dict[str, Any] = json.loads(await socket.recv())
    return received


async def test_registration_is_sent_to_every_client(
    address: str, http: AsyncClient
) -> None:
    async with (
        open_socket(address, "one", "https://app.example.org") as one,
        open_socket(address, "two") as two,
    ):
        user = (await http.post("/users", json=ADA)).json()
        messages = [await message(one), await message(two)]

    for told in messages:
        assert (told["type"], told["data"]) == ("user_created", {"id": user["id"]})
        assert told["timestamp"].endswith("+00:00")


async def test_refused_registration_is_sent_to_nobody(
    address: str, http: AsyncClient
) -> None:
    await http.post("/users", json=ADA)

    async with open_socket(address, "one") as socket:
        refused = await http.post("/users", json=ADA)
        grace = await http.post("/users", json=GRACE)
        told = await message(socket)

    assert refused.status_code == 409
    assert told["data"] == {"id": grace.json()["id"]}


async def test_page_of_another_origin_may_not_connect(address: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await open_socket(address, "eve", "https://evil.example")

    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize("said", ["text", b"bytes"])
async def test_client_that_talks_is_not_heard_and_forgotten_when_it_goes(
    address: str,
    factory: ServiceFactory,
    said: str | bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connections = await factory.get(ConnectionManager)

    async with open_socket(address, "one") as socket:
        connected = list(connections.active_connections)
        await socket.send(said)
    async with asyncio.timeout(10):
        while connections.active_connections:  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0)

    assert connected == ["one"]
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_restarted_application_publishes_once(app: FastAPI) -> None:
    async with listening(app):
        pass

    async with listening(app) as address, open_socket(address, "one") as socket:
        async with AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
            await http.post("/users", json=ADA)
            grace = await http.post("/users", json=GRACE)
        told = [await message(socket), await message(socket)]

    assert told[1]["data"] == {"id": grace.json()["id"]}


async def test_stopping_the_application_closes_the_websockets(app: FastAPI) -> None:
    async with listening(app) as address:
        socket = await open_socket(address, "one")

    with pytest.raises(ConnectionClosed):
        await socket.recv()
