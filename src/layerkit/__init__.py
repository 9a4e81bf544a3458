"""The patterns that layered applications are built from, typed and async.

The everyday names are here; what needs an extra is in a package of its own, such as
``layerkit.sql`` or ``layerkit.fastapi``.
"""

from layerkit.cache import CacheInterface, MemoryCache
from layerkit.core import (
    AlreadyExistsError,
    AppException,
    BaseSchema,
    BusinessRuleError,
    ConflictError,
    CreateSchema,
    ForbiddenError,
    MissingExtraError,
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    RateLimitedError,
    ResponseSchema,
    SettingsError,
    StaleDataError,
    TimeoutExceededError,
    UnauthorizedError,
    UnavailableError,
    UnitOfWorkError,
    UpdateSchema,
    UsageError,
    ValidationError,
    WiringError,
    get_logger,
)
from layerkit.events import Event, EventBus, InMemoryEventBus, Payload
from layerkit.factory import ServiceFactory
from layerkit.notifications import NotificationInterface, NotificationService
from layerkit.realtime import ConnectionManager, RealtimeService
from layerkit.repository import (
    ALL,
    BaseRepository,
    Inc,
    InMemoryRepository,
    MemoryDatabase,
    Page,
    Repository,
    field,
)
from layerkit.service import BaseService
from layerkit.unit_of_work import UnitOfWork

__all__ = [
    "ALL",
    "AlreadyExistsError",
    "AppException",
    "BaseRepository",
    "BaseSchema",
    "BaseService",
    "BusinessRuleError",
    "CacheInterface",
    "ConflictError",
    "ConnectionManager",
    "CreateSchema",
    "Event",
    "EventBus",
    "ForbiddenError",
    "InMemoryEventBus",
    "InMemoryRepository",
    "Inc",
    "MemoryCache",
    "MemoryDatabase",
    "MissingExtraError",
    "NotFoundError",
    "NotSupportedError",
    "NotificationInterface",
    "NotificationService",
    "Page",
    "Payload",
    "PreconditionFailedError",
    "RateLimitedError",
    "RealtimeService",
    "Repository",
    "ResponseSchema",
    "ServiceFactory",
    "SettingsError",
    "StaleDataError",
    "TimeoutExceededError",
    "UnauthorizedError",
    "UnavailableError",
    "UnitOfWork",
    "UnitOfWorkError",
    "UpdateSchema",
    "UsageError",
    "ValidationError",
    "WiringError",
    "field",
    "get_logger",
]
