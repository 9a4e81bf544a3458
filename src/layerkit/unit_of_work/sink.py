"""Where a unit of work hands the events that were emitted in it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from layerkit.core.ports import PORTS, Port


@runtime_checkable
class EventSink(Protocol):
    """Take the events of a unit: a bus does after the commit, an outbox before it."""

    def check(self, event: object) -> None:
        """Raise UsageError where *event* can't be taken; ``emit`` calls this first."""

    async def before_commit(self, events: Sequence[object]) -> None:
        """Store *events* inside the transaction; an error here rolls it back."""

    async def after_commit(self, events: Sequence[object]) -> None:
        """Publish *events*; the transaction has committed, whatever happens here."""


PORTS[EventSink] = Port(
    lambda cls: issubclass(cls, EventSink),
    "nothing provides a bus or outbox; add factory.singleton(...) "
    "for an InMemoryEventBus, or give one of your own key=EventSink",
)
