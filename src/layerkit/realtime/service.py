"""RealtimeService: events become live messages."""

from collections.abc import Mapping
from typing import ClassVar

from layerkit.events.base import EventBus
from layerkit.events.event import Event
from layerkit.realtime.connections import ConnectionManager


class RealtimeService:
    """Send events to connected clients as they are published.

    ``user.created`` goes to everyone; ``data.updated`` goes to the client that the
    event's data names by ``client_id``, or to everyone where it names none. A subclass
    overrides ``_setup_event_handlers`` to subscribe to more or to others, and the
    ``_handle_`` methods to send something else. What is emitted in a unit of work gets
    here only once the unit has committed.

    Args:
        connection_manager: Where the clients are connected.
        event_bus: What the service subscribes to, at once.
    """

    _is_shared: ClassVar = True  # a factory makes one for all requests, as a rule

    def __init__(
        self, connection_manager: ConnectionManager, event_bus: EventBus
    ) -> None:
        self.connection_manager = connection_manager
        self.event_bus = event_bus
        self._setup_event_handlers()

    def _setup_event_handlers(self) -> None:
        """Subscribe to what clients shall hear of; called once, at construction."""
        self.event_bus.subscribe("user.created", self._handle_user_created)
        self.event_bus.subscribe("data.updated", self._handle_data_updated)

    async def _handle_user_created(self, event: Event[object]) -> None:
        """Tell everyone of a new user."""
        await self.connection_manager.broadcast(_message("user_created", event))

    async def _handle_data_updated(self, event: Event[object]) -> None:
        """Tell the client that the event names, or everyone, of changed data."""
        client_id = _client_id(event.data)
        message = _message("data_updated", event)
        if client_id is None:
            await self.connection_manager.broadcast(message)
        else:
            await self.connection_manager.send_personal_message(message, client_id)


def _message(type_: str, event: Event[object]) -> dict[str, object]:
    return {"type": type_, "data": event.data, "timestamp": event.timestamp.isoformat()}


def _client_id(data: object) -> str | None:
    if isinstance(data, Mapping):
        return data.get("client_id")
    return getattr(data, "client_id", None)
