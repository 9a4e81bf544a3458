"""A whole unit of work is run again where that may help, and only there."""

from datetime import timedelta

import pytest

from layerkit import (
    ConflictError,
    Event,
    MemoryDatabase,
    Repository,
    StaleDataError,
    UnavailableError,
    UnitOfWork,
    UsageError,
)
from layerkit.testing import MockEventBus
from tests.support.entities import MappedItem


class Items(Repository[MappedItem, int]): ...


class Work:
    """Write, and fail as often as planned."""

    def __init__(self, items: Items, *failures: Exception) -> None:
        self.items = items
        self.failures = list(failures)
        self.calls = 0
        self.hooked = 0

    async def __call__(self, unit: UnitOfWork) -> str:
        self.calls += 1
        unit.after_commit(self.hook)
        await self.items.create({"name": f"call {self.calls}"})
        if self.failures:
            raise self.failures.pop(0)
        return f"done by call {self.calls}"

    def hook(self) -> None:
        self.hooked += 1


@pytest.fixture
def items() -> Items:
    return Items(MemoryDatabase())


async def test_a_unit_is_repeated_as_a_whole(items: Items) -> None:
    deadlock = ConflictError("in the way", kind="deadlock")
    work = Work(items, deadlock, UnavailableError(retry_after=timedelta(0)))

    result = await items.home.run(work)

    assert result == "done by call 3"
    assert [item.name for item in await items.get_all()] == ["call 3"]
    assert work.hooked == 1


async def test_the_last_error_is_raised(items: Items) -> None:
    work = Work(items, *(UnavailableError(f"down {n}") for n in range(5)))

    with pytest.raises(UnavailableError, match="down 1"):
        await items.home.run(work, attempts=2)

    assert (work.calls, work.hooked, await items.count()) == (2, 0, 0)


@pytest.mark.parametrize("error", [StaleDataError(), ConflictError("x"), OSError()])
async def test_what_would_fail_again_is_not_repeated(
    items: Items, error: Exception
) -> None:
    work = Work(items, error)

    with pytest.raises(type(error)):
        await items.home.run(work)

    assert work.calls == 1


async def test_inside_an_open_unit_there_is_one_attempt(items: Items) -> None:
    work = Work(items, UnavailableError())

    with pytest.raises(UnavailableError):
        async with items.unit_of_work():
            await items.home.run(work)

    assert (work.calls, await items.count()) == (1, 0)


async def test_events_go_to_the_sink_of_the_attempt_that_commits(items: Items) -> None:
    bus = MockEventBus()
    failures = [UnavailableError()]

    async def work(unit: UnitOfWork) -> None:
        unit.emit(bus_event)
        if failures:
            raise failures.pop()

    bus_event: Event = Event(event_type="item.seen", data={})
    await items.home.run(work, events=bus)

    assert [event.event_type for event in bus.published] == ["item.seen"]


async def test_no_attempt_is_a_mistake(items: Items) -> None:
    with pytest.raises(UsageError, match="attempts must be 1"):
        await items.home.run(Work(items), attempts=0)
