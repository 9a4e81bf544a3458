"""One script played in memory and on a database, which must say the same."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from sqlalchemy.orm import DeclarativeBase

from layerkit.core.errors import AppException
from layerkit.repository import Home, MemoryDatabase, Repository
from layerkit.sql import Database
from tests.support.databases import new_tables

Answer: TypeAlias = object
Script: TypeAlias = Callable[["Play"], Awaitable[None]]


class Play:
    """Let a script use one home, and write down what it says."""

    def __init__(self, home: Home, *, names: bool, constraints: bool) -> None:
        self.home = home
        self._names, self._constraints = names, constraints
        self.answers: list[Answer] = []

    def of(self, entity: type[Any]) -> Repository[Any, Any]:
        return Repository[Any, Any](self.home, entity)

    async def say(self, asked: Awaitable[Any]) -> Any:
        """Note what was answered; an error by all that a caller can tell it by."""
        try:
            answer = await asked
        except AppException as error:
            told = error.to_problem()
            shown: list[Answer] = [type(error).__name__, error.code, error.status_code]
            shown += [getattr(error, "kind", None), error.retryable, error.public]
            if self._names:
                shown.append(told.get("fields"))
            if self._constraints:
                shown.append(getattr(error, "constraint", None))
            self.answers.append(shown)
            return None
        is_plain = isinstance(answer, int | str | tuple | None)
        self.answers.append(answer if is_plain else type(answer).__name__)
        return answer

    async def rows(self, *entities: type[Any]) -> None:
        """Note all that is stored of *entities*."""
        for entity in entities:
            found = await self.of(entity).get_all()
            names = entity.__mapper__.column_attrs.keys()
            self.answers.append(
                [{name: getattr(one, name) for name in names} for one in found]
            )


async def alike(url: str, base: type[DeclarativeBase], script: Script) -> list[Answer]:
    """Play *script* in memory and on a database, and compare what they say.

    SQLite does not tell what was refused, and PostgreSQL alone names constraints so.
    """
    names, constraints = "sqlite" not in url, url.startswith("postgresql")
    said: list[list[Answer]] = []
    async with made(url, base) as database:
        for home in (database, MemoryDatabase()):
            play = Play(home, names=names, constraints=constraints)
            await script(play)
            said.append(play.answers)
    stored, meant = said
    assert meant == stored
    return meant


@asynccontextmanager
async def made(url: str, base: type[DeclarativeBase]) -> AsyncIterator[Database]:
    """Open a database with the tables of *base*, empty."""
    async with Database(url) as database:
        await new_tables(database.engine, base.metadata)
        yield database
