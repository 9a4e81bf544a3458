"""MockEventBus: an InMemoryEventBus that keeps what is published."""

from typing import Any, overload

from typing_extensions import TypeVar, override

from layerkit.events.event import Event, Payload, event_type_of
from layerkit.events.memory import InMemoryEventBus
from layerkit.testing.failures import Failures

P = TypeVar("P", bound=Payload)


class MockEventBus(Failures, InMemoryEventBus):
    """Publish in memory, keep what was published, and fail when told to.

    Attributes:
        published: The events so far, oldest first; a payload is there as its event.
    """

    def __init__(self) -> None:
        Failures.__init__(self)
        InMemoryEventBus.__init__(self)
        self.published: list[Event[Any]] = []

    @override
    async def publish(self, *events: Event[object] | Payload) -> None:
        self._fail_if_planned("publish")
        for event in self._as_events(events):
            self.published.append(event)
            await self._deliver(event)

    @overload
    def assert_published(self, event_type: type[P]) -> Event[P]: ...

    @overload
    def assert_published(self, event_type: str) -> Event[Any]: ...

    def assert_published(self, event_type: type[Payload] | str) -> Event[Any]:
        """Return the first event that was published under *event_type*.

        Args:
            event_type: An event type or a Payload class.

        Raises:
            AssertionError: None was published; the text lists what was.
        """
        name = event_type if isinstance(event_type, str) else event_type_of(event_type)
        for event in self.published:
            if event.event_type == name:
                return event
        raise AssertionError(f"no {name!r} was published; {self._list_published()}")

    def assert_nothing_published(self) -> None:
        """Raise where an event was published.

        Raises:
            AssertionError: The text lists what was published.
        """
        if self.published:
            raise AssertionError(self._list_published())

    def _list_published(self) -> str:
        types = ", ".join(repr(event.event_type) for event in self.published)
        return f"published: {types or 'nothing at all'}"
