"""Who gets what: the one place that knows which class implements which."""

from collections.abc import AsyncIterator

from examples.users.core.database import open_database
from examples.users.core.events import UserCreated
from examples.users.core.passwords import PasswordHasher
from examples.users.core.settings import AppSettings
from examples.users.repositories.users import UserRepository
from examples.users.services.mail import LoggedMail
from examples.users.services.users import UserService
from examples.users.services.welcome import welcome
from layerkit import (
    ConnectionManager,
    EventBus,
    InMemoryEventBus,
    NotificationInterface,
    RealtimeService,
    ServiceFactory,
)


def make_factory(settings: AppSettings) -> ServiceFactory:
    """Return the factory of the application, ready to be opened."""
    factory = ServiceFactory()
    factory.value(settings)
    factory.singleton(open_database)
    factory.singleton(open_connections)
    factory.singleton(LoggedMail, key=NotificationInterface)
    factory.singleton(PasswordHasher)
    factory.singleton(RealtimeService)  # sends user.created to all who are connected
    factory.scoped(UserRepository)
    factory.scoped(UserService)
    send_welcome = factory.handler(welcome)  # in a scope of its own for each event

    def make_bus() -> EventBus:
        bus = InMemoryEventBus()
        bus.subscribe(UserCreated, send_welcome, name="users.welcome")
        return bus

    return factory.singleton(make_bus)


async def open_connections(settings: AppSettings) -> AsyncIterator[ConnectionManager]:
    """Yield the manager of the websockets, and close them."""
    async with ConnectionManager(
        allowed_origins=settings.ALLOWED_ORIGINS
    ) as connections:
        yield connections
