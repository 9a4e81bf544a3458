"""The textbook's events, cache, notifications and websockets, to the letter."""

import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from layerkit import (
    CacheInterface,
    ConnectionManager,
    Event,
    InMemoryEventBus,
    NotificationInterface,
    RealtimeService,
)
from layerkit.testing import MockCache, MockNotification


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.default) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]


EMPTY = inspect.Parameter.empty


def test_the_cache_has_three_verbs() -> None:
    assert CacheInterface.__abstractmethods__ == {"get", "set", "delete"}
    assert parameters(CacheInterface.get) == [("self", EMPTY), ("key", EMPTY)]
    assert parameters(CacheInterface.delete) == [("self", EMPTY), ("key", EMPTY)]
    assert parameters(CacheInterface.set) == [
        ("self", EMPTY), ("key", EMPTY), ("value", EMPTY), ("expire", 3600),
    ]  # fmt: skip


async def test_the_mock_cache_shows_its_content() -> None:
    cache = MockCache()

    assert await cache.set("user:1", {"name": "Ada"}) is True
    assert cache.data == {"user:1": {"name": "Ada"}}
    assert await cache.get("user:1") == {"name": "Ada"}
    assert await cache.delete("user:1") is True
    assert await cache.delete("user:1") is False
    assert await cache.get("user:1") is None


async def test_a_notification_is_sent_to_a_recipient() -> None:
    assert NotificationInterface.__abstractmethods__ == {"send_notification"}
    mail = MockNotification()

    assert await mail.send_notification("ada@example.org", "Hi", "welcome") is True


async def test_an_event_bus_calls_sync_and_async_handlers() -> None:
    bus = InMemoryEventBus()
    seen: list[str] = []

    async def handle(event: Event[dict[str, Any]]) -> None:
        seen.append(f"async {event.data['id']}")

    def broken(event: Event[dict[str, Any]]) -> None:
        raise RuntimeError(event.event_type)

    bus.subscribe("user.created", broken)
    bus.subscribe("user.created", handle)
    bus.subscribe("user.created", lambda event: seen.append(f"sync {event.data['id']}"))
    event = Event(event_type="user.created", data={"id": 7}, source="users")
    await bus.publish(event)

    assert sorted(seen) == ["async 7", "sync 7"]
    assert event.id != Event(event_type="x", data={}).id
    assert event.timestamp.utcoffset() is not None


class Socket:
    """Have what a websocket needs: accept, send_text, close."""

    def __init__(self) -> None:
        self.accepted = False
        self.closed = False
        self.sent: list[str] = []

    async def accept(self) -> None:
        self.accepted = True

    async def send_text(self, data: str) -> None:
        self.sent.append(data)

    async def close(self) -> None:
        self.closed = True


async def test_messages_reach_one_client_or_everyone_exactly_as_given() -> None:
    ada, ada_too, bob = Socket(), Socket(), Socket()
    async with ConnectionManager() as manager:
        await manager.connect(ada, "ada")
        await manager.connect(ada_too, "ada")
        await manager.connect(bob, "bob")
        assert ada.accepted
        assert set(manager.active_connections) == {"ada", "bob"}
        assert list(manager.active_connections["ada"]) == [ada, ada_too]

        await manager.send_personal_message({"n": 1}, "ada")
        await manager.broadcast({"n": "ä"})
        manager.disconnect(ada_too, "ada")
        await manager.send_personal_message({"n": 3}, "ada")

    assert [json.loads(text) for text in ada.sent] == [{"n": 1}, {"n": "ä"}, {"n": 3}]
    assert [json.loads(text) for text in bob.sent] == [{"n": "ä"}]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            Event(event_type="user.created", data={"id": 1}),
            {"ada": "user_created", "bob": "user_created"},
        ),
        (
            Event(event_type="data.updated", data={"client_id": "bob", "x": 1}),
            {"bob": "data_updated"},
        ),
        (
            Event(event_type="data.updated", data={"x": 1}),
            {"ada": "data_updated", "bob": "data_updated"},
        ),
    ],
)
async def test_events_go_out_to_websockets(
    event: Event[dict[str, Any]], expected: dict[str, str]
) -> None:
    sockets = {"ada": Socket(), "bob": Socket()}
    bus = InMemoryEventBus()
    async with ConnectionManager() as manager:
        RealtimeService(manager, bus)
        for name, socket in sockets.items():
            await manager.connect(socket, name)

        await bus.publish(event)

    received = {n: json.loads(s.sent[0]) for n, s in sockets.items() if s.sent}
    assert {name: message["type"] for name, message in received.items()} == expected
    for message in received.values():
        assert message == {
            "type": message["type"],
            "data": event.data,
            "timestamp": event.timestamp.isoformat(),
        }


def test_every_verb_of_the_manager_is_as_in_the_textbook() -> None:
    verbs: dict[str, tuple[bool, Callable[..., Awaitable[Any] | None]]] = {
        "connect": (True, ConnectionManager.connect),
        "disconnect": (False, ConnectionManager.disconnect),
        "send_personal_message": (True, ConnectionManager.send_personal_message),
        "broadcast": (True, ConnectionManager.broadcast),
        "close": (True, ConnectionManager.close),
    }
    for is_async, verb in verbs.values():
        assert inspect.iscoroutinefunction(verb) is is_async
