"""What ``raiseload`` forbids to load, and the remedy that an error names."""

import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    defer,
    mapped_column,
    raiseload,
    relationship,
)

from layerkit.core.errors import UsageError
from layerkit.sql import Database, SQLRepository
from tests.support.alike import made


class Base(AsyncAttrs, DeclarativeBase):
    """Hold the tables of what is not to be loaded."""


class User(Base):
    __tablename__ = "forbidding_users"
    id: Mapped[int] = mapped_column(primary_key=True)
    bio: Mapped[str | None] = mapped_column(String(20))
    tokens: Mapped[list["Token"]] = relationship()


class Token(Base):
    __tablename__ = "forbidding_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("forbidding_users.id"))


class Drawer(Base):
    """Forbid by the mapping what a read does not name."""

    __tablename__ = "forbidding_drawers"
    id: Mapped[int] = mapped_column(primary_key=True)
    cards: Mapped[list["Card"]] = relationship(lazy="raise")


class Card(Base):
    __tablename__ = "forbidding_cards"
    id: Mapped[int] = mapped_column(primary_key=True)
    drawer_id: Mapped[int] = mapped_column(ForeignKey("forbidding_drawers.id"))


@pytest.fixture
async def loading(url: str) -> AsyncIterator[Database]:
    async with made(url, Base) as database:
        yield database


FORBIDDING: list[tuple[type[Any], tuple[Any, ...], str]] = [
    (User, (raiseload(User.tokens),), "tokens"),
    (User, (raiseload("*"),), "tokens"),
    (User, (raiseload(User.tokens, sql_only=True),), "tokens"),
    (User, (defer(User.bio, raiseload=True),), "bio"),
    (Drawer, (), "cards"),
]


def forbidding(
    home: Database, entity: type[Any], options: tuple[Any, ...]
) -> SQLRepository[Any, int]:
    class Forbidding(SQLRepository[Any, int]):
        load = options

    return Forbidding(home, entity)


@pytest.mark.parametrize(("entity", "options", "name"), FORBIDDING)
async def test_what_raiseload_forbids_names_the_remedy_inside_a_unit(
    loading: Database, entity: type[Any], options: tuple[Any, ...], name: str
) -> None:
    made = await SQLRepository[Any, int](loading, entity).create({})
    repository = forbidding(loading, entity, options)

    with pytest.raises(UsageError) as caught:
        async with loading.unit_of_work():
            getattr(await repository.get_by_id(made.id), name)

    told = str(caught.value)
    assert f"{entity.__name__}.{name} was not loaded, and raiseload" in told
    assert "in `load` of the repository" in told
    assert f"`await session.refresh(entity, ['{name}'])`" in told


@pytest.mark.parametrize(("entity", "options", "name"), FORBIDDING)
async def test_what_raiseload_forbids_can_be_read_after_a_refresh(
    loading: Database, entity: type[Any], options: tuple[Any, ...], name: str
) -> None:
    made = await SQLRepository[Any, int](loading, entity).create({})
    repository = forbidding(loading, entity, options)

    async with loading.unit_of_work():
        found = await repository.get_by_id(made.id)
        await loading.session().refresh(found, [name])

        assert not getattr(found, name)


@pytest.mark.parametrize(("entity", "options", "name"), FORBIDDING)
async def test_what_raiseload_forbids_names_the_remedy_after_its_unit(
    loading: Database, entity: type[Any], options: tuple[Any, ...], name: str
) -> None:
    made = await SQLRepository[Any, int](loading, entity).create({})
    found = await forbidding(loading, entity, options).get_by_id(made.id)

    for _ in range(2):
        with pytest.raises(UsageError, match="no session holds the entity now") as told:
            getattr(found, name)
        assert f"session.refresh(entity, ['{name}'])" in str(told.value)
        found = pickle.loads(pickle.dumps(found))  # noqa: S301 - what this test wrote


async def test_what_raiseload_forbids_stays_forbidden_in_another_session(
    loading: Database,
) -> None:
    options = (raiseload(User.tokens),)
    made = await forbidding(loading, User, ()).create({})
    found: Any = await forbidding(loading, User, options).get_by_id(made.id)

    size = len(pickle.dumps(found))
    for _ in range(2):  # also where it was in a unit that has ended since
        async with loading.unit_of_work():
            loading.session().add(found)
            with pytest.raises(InvalidRequestError, match="lazy='raise'"):
                await found.awaitable_attrs.tokens
        assert len(pickle.dumps(found)) == size
