"""The in-memory form: hooks and events without a transaction."""

import asyncio

import pytest

from layerkit.core.errors import NotSupportedError, UnitOfWorkError
from layerkit.events import Event
from layerkit.testing import MockEventBus
from layerkit.unit_of_work import current_unit, plain_unit_of_work


async def test_hooks_run_on_success() -> None:
    ran: list[str] = []

    async with plain_unit_of_work() as unit:
        unit.after_commit(lambda: ran.append("hook"))
        assert ran == []

    assert ran == ["hook"]


async def test_hooks_and_events_are_dropped_on_an_error() -> None:
    bus = MockEventBus()
    ran: list[str] = []

    async def fail() -> None:
        async with plain_unit_of_work(events=bus) as unit:
            unit.after_commit(lambda: ran.append("hook"))
            unit.emit(Event(event_type="tick", data={}))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert ran == []
    bus.assert_nothing_published()


async def test_events_are_published_on_success() -> None:
    bus = MockEventBus()

    async with plain_unit_of_work(events=bus) as unit:
        unit.emit(Event(event_type="tick", data={}))

    bus.assert_published("tick")


async def test_inner_unit_joins_the_outer() -> None:
    ran: list[str] = []

    async with plain_unit_of_work() as outer:
        async with plain_unit_of_work() as inner:
            inner.after_commit(lambda: ran.append("hook"))
        assert inner.transaction is outer.transaction
        assert ran == []

    assert ran == ["hook"]


async def test_savepoint_is_not_supported() -> None:
    async with plain_unit_of_work() as unit:
        with pytest.raises(NotSupportedError, match="give the service a repository"):
            await unit.savepoint().__aenter__()


async def test_second_task_is_refused_as_in_any_unit() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def inner_block() -> None:
        async with plain_unit_of_work():
            entered.set()
            await leave.wait()

    async with plain_unit_of_work():
        task = asyncio.create_task(inner_block())
        await entered.wait()
        with pytest.raises(UnitOfWorkError, match="another task"):
            await plain_unit_of_work().__aenter__()
        leave.set()
        await task

    assert current_unit() is None
