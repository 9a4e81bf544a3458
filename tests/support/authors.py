"""What the tests of units on a caller's session share."""

from collections.abc import Sequence
from typing import TypeAlias

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from layerkit.sql import SQLRepository
from tests.support.library import Author

Sessions: TypeAlias = async_sessionmaker[AsyncSession]


class PlannedError(Exception):
    """What a test raises."""


class Authors(SQLRepository[Author, int]):
    """Store authors."""


class RecordingSink:
    """Keep what is published."""

    def __init__(self) -> None:
        self.published: list[object] = []

    def check(self, event: object) -> None: ...

    async def before_commit(self, events: Sequence[object]) -> None: ...

    async def after_commit(self, events: Sequence[object]) -> None:
        self.published.extend(events)


async def names(engine: AsyncEngine) -> list[str]:
    """Return the names of the authors as another connection sees them."""
    async with engine.connect() as connection:
        found = await connection.scalars(select(Author.name).order_by(Author.name))
        return list(found)
