"""InMemoryEventBus: at once, inside publish."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from layerkit.core.errors import UsageError
from layerkit.events import Event, InMemoryEventBus, Payload
from layerkit.unit_of_work import current_unit, plain_unit_of_work


class Ping(Payload, event_type="ping"):
    count: int


@pytest.fixture
def bus() -> InMemoryEventBus:
    return InMemoryEventBus()


def tick() -> Event:
    return Event(event_type="tick", data={})


async def test_publish_returns_once_all_handlers_have_run(
    bus: InMemoryEventBus,
) -> None:
    done: list[str] = []

    async def slowly(_event: Event[Any]) -> None:
        await asyncio.sleep(0)
        done.append("async")

    bus.subscribe("tick", slowly)
    bus.subscribe("tick", lambda _event: done.append("sync"))

    await bus.publish(tick())

    assert done == ["async", "sync"]


async def test_events_of_one_publish_keep_their_order(bus: InMemoryEventBus) -> None:
    counts: list[int] = []

    async def note(event: Event[Ping]) -> None:
        counts.append(event.data.count)

    bus.subscribe(Ping, note)

    await bus.publish(*(Ping(count=count) for count in range(5)))

    assert counts == [0, 1, 2, 3, 4]


@pytest.mark.defect("E14")
async def test_publishing_from_a_handler_never_deadlocks(bus: InMemoryEventBus) -> None:
    counts: list[int] = []

    async def count_down(event: Event[Ping]) -> None:
        counts.append(event.data.count)
        if event.data.count:
            await bus.publish(Ping(count=event.data.count - 1))

    bus.subscribe(Ping, count_down)

    async with asyncio.timeout(5):
        await asyncio.gather(*(bus.publish(Ping(count=50)) for _ in range(20)))

    assert len(counts) == 20 * 51


@pytest.mark.defect("E18")
def test_one_bus_serves_one_event_loop_after_the_other(bus: InMemoryEventBus) -> None:
    handled: list[asyncio.AbstractEventLoop] = []

    async def note(_event: Event[Any]) -> None:
        handled.append(asyncio.get_running_loop())

    bus.subscribe("tick", note)
    bus.subscribe("tick", lambda _event: None)

    asyncio.run(bus.publish(tick()))
    asyncio.run(bus.publish(tick()))

    assert len(handled) == 2
    assert handled[0] is not handled[1]


@pytest.mark.defect("E18")
async def test_two_buses_share_nothing() -> None:
    first, second = InMemoryEventBus(), InMemoryEventBus()
    seen: list[str] = []
    first.subscribe("tick", lambda _event: seen.append("first"))
    second.subscribe("tick", lambda _event: seen.append("second"))

    await second.publish(tick())

    assert seen == ["second"]


@pytest.mark.defect("E29")
async def test_bus_keeps_nothing_of_what_it_published(bus: InMemoryEventBus) -> None:
    bus.subscribe("ping", lambda _event: None)
    ping = Ping(count=1)
    alive = weakref.ref(ping)

    await bus.publish(ping)

    del ping
    gc.collect()
    assert alive() is None


@pytest.mark.defect("E19")
async def test_emitted_event_is_handled_after_the_commit_outside_of_the_unit(
    bus: InMemoryEventBus,
) -> None:
    seen: list[object] = []
    bus.subscribe(Ping, lambda event: seen.append((event.data.count, current_unit())))

    async with plain_unit_of_work(events=bus) as unit:
        unit.emit(Ping(count=1))
        unit.emit(Event(event_type="ping", data={"count": 2}))
        assert seen == []

    assert seen == [(1, None), (2, None)]


@pytest.mark.defect("E19")
async def test_emitted_event_is_dropped_with_its_unit(bus: InMemoryEventBus) -> None:
    seen: list[object] = []
    bus.subscribe(Ping, seen.append)

    async def emit_and_fail() -> None:
        async with plain_unit_of_work(events=bus) as unit:
            unit.emit(Ping(count=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await emit_and_fail()

    assert seen == []


async def test_emitting_something_else_is_refused_at_once(
    bus: InMemoryEventBus,
) -> None:
    async with plain_unit_of_work(events=bus) as unit:
        with pytest.raises(UsageError, match="an Event or a Payload, got dict"):
            unit.emit({"event_type": "ping"})


async def test_handler_published_to_inside_a_unit_takes_part_in_it(
    bus: InMemoryEventBus,
) -> None:
    seen: list[object] = []

    async def note(_event: Event[Any]) -> None:
        seen.append(current_unit())

    bus.subscribe("tick", note)

    async with plain_unit_of_work() as unit:
        await bus.publish(tick())

    assert seen == [unit]
