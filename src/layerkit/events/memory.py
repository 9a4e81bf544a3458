"""A bus within one process."""

from typing_extensions import override

from layerkit.events.base import EventBus
from layerkit.events.event import Event, Payload


class InMemoryEventBus(EventBus):
    """Call the handlers at once, inside ``publish``, with no start and no queue.

    ``publish`` returns when all handlers have run. A handler may publish: what it
    publishes is handled before its own ``publish`` returns. Handlers run where they are
    published: inside an open unit of work they take part in it, so ``emit`` what should
    be handled only once the unit has committed. Nothing is kept: an event for which
    there is no handler is gone, and so is what was under way when the process ends.
    """

    @override
    async def publish(self, *events: Event[object] | Payload) -> None:
        for event in self._as_events(events):
            await self._deliver(event)
