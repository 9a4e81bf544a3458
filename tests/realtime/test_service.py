"""RealtimeService: events become live messages."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from typing_extensions import override

from layerkit.events import Event, InMemoryEventBus, Payload
from layerkit.realtime import ConnectionManager, RealtimeService
from layerkit.unit_of_work import plain_unit_of_work

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Socket:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def accept(self) -> None:
        pass

    async def send_text(self, data: str) -> None:
        self.messages.append(json.loads(data))

    async def close(self) -> None:
        pass


class UserCreated(Payload, event_type="user.created"):
    id: int


class DataUpdated(Payload, event_type="data.updated"):
    client_id: str | None = None
    rows: int = 0


class Site:
    """Ada and Bob are connected, and the service is on."""

    def __init__(self) -> None:
        self.manager = ConnectionManager()
        self.bus = InMemoryEventBus()
        self.ada, self.bob = Socket(), Socket()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    async with site.manager:
        await site.manager.connect(site.ada, "ada")
        await site.manager.connect(site.bob, "bob")
        yield site


async def test_new_user_is_announced_to_everyone(site: Site) -> None:
    RealtimeService(site.manager, site.bus)

    await site.bus.publish(
        Event(event_type="user.created", data={"id": 7}, timestamp=NOON)
    )

    expected = {
        "type": "user_created",
        "data": {"id": 7},
        "timestamp": "2026-03-01T12:00:00+00:00",
    }
    assert site.ada.messages == site.bob.messages == [expected]


async def test_changed_data_is_sent_to_the_client_it_names(site: Site) -> None:
    RealtimeService(site.manager, site.bus)
    data = {"client_id": "ada", "rows": 3}

    await site.bus.publish(Event(event_type="data.updated", data=data, timestamp=NOON))

    assert site.ada.messages == [
        {"type": "data_updated", "data": data, "timestamp": "2026-03-01T12:00:00+00:00"}
    ]
    assert site.bob.messages == []


@pytest.mark.parametrize("data", [{"rows": 3}, {"client_id": None}, "plain", None])
async def test_changed_data_that_names_no_client_is_sent_to_everyone(
    site: Site, data: object
) -> None:
    RealtimeService(site.manager, site.bus)

    await site.bus.publish(Event(event_type="data.updated", data=data))

    assert [message["data"] for message in site.ada.messages] == [data]
    assert [message["data"] for message in site.bob.messages] == [data]


async def test_changed_data_of_a_client_who_has_gone_is_sent_to_nobody(
    site: Site,
) -> None:
    RealtimeService(site.manager, site.bus)

    await site.bus.publish(Event(event_type="data.updated", data={"client_id": "eve"}))

    assert site.ada.messages == site.bob.messages == []


async def test_payloads_are_sent_as_their_fields(site: Site) -> None:
    RealtimeService(site.manager, site.bus)

    await site.bus.publish(UserCreated(id=7), DataUpdated(client_id="bob", rows=3))

    assert [message["data"] for message in site.ada.messages] == [{"id": 7}]
    assert [message["data"] for message in site.bob.messages] == [
        {"id": 7},
        {"client_id": "bob", "rows": 3},
    ]


async def test_other_events_are_not_sent(site: Site) -> None:
    RealtimeService(site.manager, site.bus)

    await site.bus.publish(Event(event_type="user.deleted", data={}))

    assert site.ada.messages == []


async def test_subclass_changes_what_is_sent_and_on_what(site: Site) -> None:
    class Shop(RealtimeService):
        @override
        def _setup_event_handlers(self) -> None:
            super()._setup_event_handlers()
            self.event_bus.subscribe("order.placed", self._handle_order_placed)

        @override
        async def _handle_user_created(self, event: Event[object]) -> None:
            await self.connection_manager.broadcast({"type": "welcome"})

        async def _handle_order_placed(self, event: Event) -> None:
            await self.connection_manager.send_personal_message(
                {"type": "order"}, event.data["by"]
            )

    Shop(site.manager, site.bus)

    await site.bus.publish(
        Event(event_type="user.created", data={}),
        Event(event_type="order.placed", data={"by": "bob"}),
    )

    assert site.ada.messages == [{"type": "welcome"}]
    assert site.bob.messages == [{"type": "welcome"}, {"type": "order"}]


async def test_emitted_event_is_sent_after_the_commit(site: Site) -> None:
    RealtimeService(site.manager, site.bus)

    async with plain_unit_of_work(events=site.bus) as unit:
        unit.emit(UserCreated(id=7))
        assert site.ada.messages == []

    assert len(site.ada.messages) == 1
