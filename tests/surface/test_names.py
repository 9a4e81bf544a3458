"""The everyday names, where users import them from."""

import importlib

import pytest

import layerkit

EVERYDAY = """
    AppException ValidationError UnauthorizedError ForbiddenError NotFoundError
    ConflictError AlreadyExistsError StaleDataError BusinessRuleError
    PreconditionFailedError RateLimitedError NotSupportedError UnavailableError
    TimeoutExceededError UsageError UnitOfWorkError WiringError SettingsError
    MissingExtraError BaseSchema CreateSchema UpdateSchema ResponseSchema
    field ALL Inc Page Repository BaseRepository InMemoryRepository MemoryDatabase
    UnitOfWork BaseService ServiceFactory Event Payload EventBus InMemoryEventBus
    CacheInterface MemoryCache NotificationInterface NotificationService
    ConnectionManager RealtimeService get_logger
"""

PACKAGES = {
    "layerkit.sql": (
        "Database SQLRepository statements "
        "UUIDKeyMixin TimestampMixin VersionMixin SoftDeleteMixin"
    ),
    "layerkit.redis": "RedisDatabase RedisRepository",
    "layerkit.settings": "Settings get_settings",
    "layerkit.fastapi": "Inject app_exception_handler install problems",
    "layerkit.testing": (
        "MockRepository MockCache MockNotification MockEventBus ManualClock"
    ),
    "layerkit.testing.contracts": "RepositoryContract UnitOfWorkContract Capabilities",
}


@pytest.mark.parametrize("name", EVERYDAY.split())
def test_the_name_is_imported_from_layerkit(name: str) -> None:
    assert name in layerkit.__all__
    assert getattr(layerkit, name).__doc__


@pytest.mark.parametrize(
    ("package", "name"),
    [(package, name) for package, names in PACKAGES.items() for name in names.split()],
)
def test_the_name_is_imported_from_its_package(package: str, name: str) -> None:
    module = importlib.import_module(package)

    assert name in module.__all__
    assert hasattr(module, name)
