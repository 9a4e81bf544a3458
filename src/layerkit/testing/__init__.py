"""Test doubles: the in-memory classes, which also record and can be told to fail."""

from layerkit.testing.cache import MockCache
from layerkit.testing.clock import ManualClock
from layerkit.testing.events import MockEventBus
from layerkit.testing.failures import Failures
from layerkit.testing.notifications import MockNotification
from layerkit.testing.repository import MockRepository

__all__ = [
    "Failures",
    "ManualClock",
    "MockCache",
    "MockEventBus",
    "MockNotification",
    "MockRepository",
]
