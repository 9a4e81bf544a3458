"""The users example, as configured for each kind of home."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from examples.users.app import create_app
from examples.users.core.passwords import PasswordHasher
from examples.users.core.settings import AppSettings
from examples.users.wiring import make_factory
from layerkit import NotificationInterface, ServiceFactory
from layerkit.testing import MockNotification
from tests.examples.serving import serving

ORIGIN = "https://app.example.org"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> AppSettings:
    """The settings: DATABASE_URL is all that differs between the homes."""
    match request.param:
        case "memory":
            url = "memory://"
        case "sqlite":
            url = f"sqlite:///{tmp_path.as_posix()}/users.db"
        case _:
            url = request.getfixturevalue("postgres_url")
    return AppSettings(DATABASE_URL=url, SECRET_KEY="k" * 32, ALLOWED_ORIGINS=(ORIGIN,))


@pytest.fixture
def mail() -> MockNotification:
    """The mail that would have been sent."""
    return MockNotification()


@pytest.fixture
def factory(settings: AppSettings, mail: MockNotification) -> Iterator[ServiceFactory]:
    """The factory of the application: mail is kept, passwords are hashed quickly."""
    factory = make_factory(settings)
    quick = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])
    with factory.override(
        {NotificationInterface: mail, PasswordHasher: PasswordHasher(quick)}
    ):
        yield factory


@pytest.fixture
def app(settings: AppSettings, factory: ServiceFactory) -> FastAPI:
    """The application, not yet started."""
    return create_app(settings, factory)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of the running application."""
    async with serving(app) as client:
        yield client
