"""MockEventBus: a bus that keeps what is published."""

from typing import Any, assert_type

import pytest

from layerkit.core.errors import UnavailableError, UsageError
from layerkit.events import Event, EventBus, Payload
from layerkit.testing import MockEventBus
from layerkit.unit_of_work import plain_unit_of_work


class BookLent(Payload, event_type="book.lent"):
    title: str


@pytest.fixture
def bus() -> MockEventBus:
    return MockEventBus()


async def test_published_holds_the_events_in_their_order(bus: MockEventBus) -> None:
    plain: EventBus = bus
    event: Event = Event(event_type="tick", data={})

    await plain.publish(event, BookLent(title="Emma"))

    assert bus.published[0] is event
    assert [each.event_type for each in bus.published] == ["tick", "book.lent"]


async def test_handlers_are_called_as_on_any_bus(bus: MockEventBus) -> None:
    titles: list[str] = []
    bus.subscribe(BookLent, lambda event: titles.append(event.data.title))

    await bus.publish(BookLent(title="Emma"))

    assert titles == ["Emma"]


async def test_assert_published_returns_the_first_event_of_the_type(
    bus: MockEventBus,
) -> None:
    await bus.publish(
        Event(event_type="tick", data={}),
        BookLent(title="Emma"),
        BookLent(title="Persuasion"),
    )

    lent = bus.assert_published(BookLent)
    named = bus.assert_published("book.lent")

    assert_type(lent, Event[BookLent])
    assert_type(named, Event[Any])
    assert lent.data.title == "Emma"
    assert named is lent


async def test_assert_published_fails_and_lists_what_was_published(
    bus: MockEventBus,
) -> None:
    await bus.publish(Event(event_type="tick", data={}))

    with pytest.raises(
        AssertionError, match=r"no 'book\.lent' was published; published: 'tick'"
    ):
        bus.assert_published(BookLent)


def test_assert_published_fails_when_nothing_was_published(bus: MockEventBus) -> None:
    with pytest.raises(AssertionError, match="published: nothing at all"):
        bus.assert_published("tick")


async def test_assert_nothing_published_fails_once_something_was(
    bus: MockEventBus,
) -> None:
    bus.assert_nothing_published()
    await bus.publish(Event(event_type="tick", data={}))

    with pytest.raises(AssertionError, match="published: 'tick'"):
        bus.assert_nothing_published()


async def test_what_was_told_to_fail_is_not_published(bus: MockEventBus) -> None:
    bus.fail_next(UnavailableError(), method="publish")

    with pytest.raises(UnavailableError):
        await bus.publish(Event(event_type="tick", data={}))

    bus.assert_nothing_published()


async def test_what_is_refused_is_not_published(bus: MockEventBus) -> None:
    with pytest.raises(UsageError):
        await bus.publish(Event(event_type="tick", data={}), "tock")  # type: ignore[arg-type]  # the subject

    bus.assert_nothing_published()


async def test_emitted_event_is_published_after_the_commit(bus: MockEventBus) -> None:
    async with plain_unit_of_work(events=bus) as unit:
        unit.emit(BookLent(title="Emma"))
        bus.assert_nothing_published()

    bus.assert_published(BookLent)
