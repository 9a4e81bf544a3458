"""Events: what happened, sent to whoever subscribed."""

from layerkit.events.base import EventBus
from layerkit.events.event import Event, Payload
from layerkit.events.memory import InMemoryEventBus
from layerkit.events.subscription import Handler

__all__ = ["Event", "EventBus", "Handler", "InMemoryEventBus", "Payload"]
