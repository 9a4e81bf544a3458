"""EventBus: what every bus shares, whatever carries its events."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, overload

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.core.logging import correlation_id, get_logger
from layerkit.events.event import Event, Payload, event_type_of, handling
from layerkit.events.subscription import Handler, Subscription, subscription
from layerkit.unit_of_work.shield import is_being_cancelled

P = TypeVar("P", bound=Payload)

logger = get_logger("layerkit.events")


class EventBus(ABC):
    """Bring events to the handlers that subscribed to them.

    A bus is an EventSink too: give it to a unit of work, ``unit_of_work(events=bus)``,
    and what is emitted there is published once the unit has committed.
    """

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._payloads: dict[str, type[Payload]] = {}

    @abstractmethod
    async def publish(self, *events: Event[object] | Payload) -> None:
        """Bring *events*, in their order, to the handlers that subscribed to them.

        A handler that raises is logged and stops neither the others nor the publisher.

        Args:
            events: Events, or payloads, which become events of their ``event_type``.

        Raises:
            UsageError: One of them is neither, or two Payload classes claim one event
                type; nothing is published then.
        """

    @overload
    def subscribe(
        self, event_type: type[P], handler: Handler[P], *, name: str | None = None
    ) -> None: ...

    @overload
    def subscribe(
        self, event_type: str, handler: Handler[Any], *, name: str | None = None
    ) -> None: ...

    def subscribe(
        self,
        event_type: type[Payload] | str,
        handler: Handler[Any],
        *,
        name: str | None = None,
    ) -> None:
        """Call *handler* with each event of *event_type* from now on.

        Handlers are called in the order in which they subscribed. A sync one runs in a
        thread, so that it never holds up the loop; an async ``__call__`` or partial is
        seen as such.

        Args:
            event_type: A Payload class, then the event's data is of that class; an
                event type, then the data is what was published; ``user.*`` for all that
                begin with ``user.``, at any depth; or ``*`` for all.
            handler: Takes the event; its result is ignored.
            name: What the handler is known by, in logs and wherever deliveries are
                remembered; it should outlive a rename. Made from the module and the
                qualified name when not given.

        Raises:
            UsageError: *event_type* is not one of these, *handler* can't be called,
                *name* is taken for *event_type*, or another Payload class claims its
                type.
        """
        added = subscription(event_type, handler, name)
        for other in self._subscriptions:
            if name and (other.name, other.event_type) == (name, added.event_type):
                raise UsageError(
                    f"a handler named {name!r} is subscribed to {added.event_type!r} "
                    "already: give each a name of its own"
                )
        if added.payload is not None:
            self._claim(added.payload)
        self._subscriptions.append(added)

    def check(self, event: object) -> None:
        """Raise where *event* can't be published here.

        Raises:
            UsageError: It is neither an Event nor a Payload, or another Payload class
                claims its event type.
        """
        self._accept(event)

    async def before_commit(self, events: Sequence[object]) -> None:  # noqa: B027 - has nothing to do, and need not be overridden
        """Do nothing: a bus publishes only what has been committed."""

    async def after_commit(self, events: Sequence[object]) -> None:
        """Publish *events*: the unit of work that emitted them has committed."""
        await self.publish(*(self._accept(event) for event in events))

    def _accept(self, event: object) -> Event[object] | Payload:
        if not isinstance(event, Event | Payload):
            kind = event if isinstance(event, type) else type(event)
            found = "the class " * (kind is event) + kind.__name__
            raise UsageError(
                f"a bus takes an Event or a Payload, got {found}: "
                "pass Event(event_type=..., data=...)"
            )
        data = event.data if isinstance(event, Event) else event
        if isinstance(data, Payload):
            self._claim(type(data))
        return event

    def _claim(self, payload: type[Payload]) -> None:
        """Let one class own an event type, so that handlers get what they expect.

        Raises:
            UsageError: Another class owns it on this bus.
        """
        owner = self._payloads.setdefault(event_type_of(payload), payload)
        if _path(owner) != _path(payload):
            raise UsageError(
                f"{_path(payload)} and {_path(owner)} both claim the event type "
                f"{payload.event_type!r}: rename one, or share one class"
            )

    def _as_events(self, events: Sequence[object]) -> list[Event[object]]:
        """Return *events* with payloads made into events; all are checked first."""
        accepted = [self._accept(event) for event in events]
        return [
            event
            if isinstance(event, Event)
            else Event(event_type=event.event_type, data=event)
            for event in accepted
        ]

    async def _deliver(self, event: Event[object]) -> None:
        """Call the handlers that want *event*, one after the other; log what fails."""
        matching = [s for s in self._subscriptions if s.matches(event.event_type)]
        correlation = correlation_id.set(event.correlation_id or str(event.id))
        cause = handling.set(event.id)
        try:
            for wish in matching:
                await _call(wish, event)
        finally:
            handling.reset(cause)
            correlation_id.reset(correlation)


async def _call(wish: Subscription, event: Event[object]) -> None:
    try:
        await wish.call(event)
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
            raise
        logger.exception(
            "handler %s failed on %s %s", wish.name, event.event_type, event.id
        )


def _path(payload: type[Payload]) -> str:
    # Not the class itself: a reloaded module, or a cell run again, makes it again.
    return f"{payload.__module__}.{payload.__qualname__}"
