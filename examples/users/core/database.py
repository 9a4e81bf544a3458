"""Where users are kept: the settings say it, and no other code knows."""

from collections.abc import AsyncIterator

from examples.users.core.models import Base
from examples.users.core.settings import AppSettings
from layerkit import MemoryDatabase
from layerkit.repository import Home
from layerkit.sql import Database


async def open_database(settings: AppSettings) -> AsyncIterator[Home]:
    """Yield the database that DATABASE_URL names, and close it."""
    secret = settings.SECRET_KEY.get_secret_value()  # cursors are good in every worker
    if settings.DATABASE_URL == "memory://":
        async with MemoryDatabase(cursor_secret=secret) as memory:
            yield memory
        return
    async with Database(
        settings.DATABASE_URL,
        pool_size=settings.DATABASE_POOL_SIZE,
        max_overflow=settings.DATABASE_MAX_OVERFLOW,
        cursor_secret=secret,
    ) as database:
        await database.create_all(Base.metadata)  # later on: migrations
        yield database
