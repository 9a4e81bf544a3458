"""Putting services together: the factory, its scopes, and the check of the wiring."""

from layerkit.factory.base import ServiceFactory
from layerkit.factory.handler import ScopedHandler
from layerkit.factory.health import HealthCheck, HealthReport
from layerkit.factory.keys import Key, describe
from layerkit.factory.override import Override
from layerkit.factory.scope import Scope
from layerkit.factory.wiring import Need, wiring_error

__all__ = [
    "HealthCheck",
    "HealthReport",
    "Key",
    "Need",
    "Override",
    "Scope",
    "ScopedHandler",
    "ServiceFactory",
    "describe",
    "wiring_error",
]
