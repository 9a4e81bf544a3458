"""Keys that a server reads otherwise than they were given."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import CHAR, REAL, DateTime, Double, Float, ForeignKey, String
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from layerkit.core.errors import AlreadyExistsError, NotSupportedError
from layerkit.repository import ALL, Home, Inc, Repository, field
from layerkit.sql import Database, statements


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Country(Base):
    """Have a key that PostgreSQL fills up with blanks."""

    __tablename__ = "key_spellings_countries"

    code: Mapped[str] = mapped_column(CHAR(5), primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    short: Mapped[str | None] = mapped_column(CHAR(3))
    towns: Mapped[list["Town"]] = relationship()


class Town(Base):
    """Have such a key, and come along with a country."""

    __tablename__ = "key_spellings_towns"

    code: Mapped[str] = mapped_column(CHAR(5), primary_key=True)
    country: Mapped[str | None] = mapped_column(ForeignKey(Country.code))
    n: Mapped[int] = mapped_column(default=0)


class Word(Base):
    """Have a text for its key."""

    __tablename__ = "key_spellings_words"

    text: Mapped[str] = mapped_column(String(20), primary_key=True)


class Place(Base):
    """Have such a key in two parts."""

    __tablename__ = "key_spellings_places"

    country: Mapped[str] = mapped_column(CHAR(5), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Moment(Base):
    """Have a key that a driver reads without its zone."""

    __tablename__ = "key_spellings_moments"

    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    n: Mapped[int] = mapped_column(default=0)


@pytest.fixture
def countries(home: Home) -> Repository[Country, str]:
    return Repository[Country, str](home, Country)


async def check_key(rows: Repository[Any, Any], name: str, one: Any, two: Any) -> None:
    """Go through the verbs with keys as they are given."""
    made = await rows.create({name: one})
    [other] = await rows.create_many([{name: two}], returning=True)
    own = [getattr(row, name) for row in (made, other)]

    assert [getattr(row, name) for row in await rows.get_all()] == own
    for key in (one, own[0]):
        assert await rows.get_by_id(key) is not None
        assert await rows.exists(key)
        found = await rows.get_many([two, key, key])
        assert [getattr(row, name) for row in found] == [own[1], own[0], own[0]]
    with pytest.raises(AlreadyExistsError):
        await rows.create({name: one})
    changed = await rows.update(one, {"n": Inc(1)})
    assert changed is not None
    assert changed.n == 1
    assert (await rows.upsert({name: one, "n": Inc(1)}, key=name)).n == 2
    async with rows.unit_of_work():
        held = await rows.get_by_id(one)
        assert await rows.get_many([one]) == [held]
        assert (await rows.find(ALL))[0] is held
        held.n = 50
        assert await rows.count(field("n") == 50) == 1
    assert await rows.delete(one)
    async with rows.unit_of_work():
        again = await rows.create({name: one})
        assert await rows.get_by_id(one) is again
        assert (await rows.find(ALL))[0] is again
        again.n = 7
        assert await rows.update_where(field("n") == 7, {"n": Inc(1)}) == 1
        assert again.n == 8
    assert await rows.count(field("n") == 8) == 1
    assert await rows.delete(one)
    assert await rows.get_many([one]) == []
    assert await rows.count() == 1


async def test_a_char_that_is_not_full_is_a_key(
    countries: Repository[Country, str],
) -> None:
    await check_key(countries, "code", "ab", "cd")


async def test_a_char_that_is_full_is_a_key(
    countries: Repository[Country, str],
) -> None:
    with statements(max=2):  # PostgreSQL is asked once how it spells the key
        await countries.create({"code": "klmno"})
    assert await countries.delete("klmno")
    await check_key(countries, "code", "abcde", "fghij")


async def test_a_new_entity_shows_what_will_be_read_of_it(
    countries: Repository[Country, str],
) -> None:
    await countries.create_many([{"code": "ab", "short": "x"}], returning=True)
    [made] = await countries.create_many([{"code": "cd", "short": "y"}], returning=True)

    stored = await countries.get_by_id("cd")

    assert stored is not None
    assert (made.code, made.short) == (stored.code, stored.short)


async def test_a_part_of_a_key_is_found_by_its_own_spelling(home: Home) -> None:
    places = Repository[Place, tuple[str, int]](home, Place)
    rows = [{"country": "ab", "number": n} for n in (1, 2)]
    made = await places.create_many(rows, returning=True)

    found = await places.get_many([("ab", 2), ("ab", 3), ("ab", 1)])

    expected = [places.id_of(place) for place in made[::-1]]
    assert [places.id_of(place) for place in found] == expected


async def test_what_is_rolled_back_leaves_its_key_free(
    countries: Repository[Country, str],
) -> None:
    async with countries.unit_of_work() as unit:
        with pytest.raises(ZeroDivisionError):
            async with unit.savepoint():
                await countries.create({"code": "ab"})
                _ = 1 / 0
        assert await countries.get_by_id("ab") is None
        made = await countries.create({"code": "ab"})
        assert await countries.find(ALL) == [made]

    assert await countries.count() == 1


async def test_related_objects_with_such_keys_are_read_again(
    database: Database,
) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    towns = Repository[Town, str](database, Town)
    countries = Repository[Country, str](database, Country)
    brought = [Town(code="x", n=1), Town(code="full5", n=1), Town(code="y", n=5)]
    async with countries.unit_of_work():
        made = await countries.create(Country(code="abcde", towns=brought))
        await towns.delete_where(field("n") == 5)
        await towns.update_where(field("n") == 1, {"n": Inc(1)})

        assert [town.n for town in made.towns[:2]] == [2, 2]

    assert [town.n for town in await towns.get_all()] == [2, 2]


@pytest.fixture
async def bare(library_mysql_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine of one's own, on a server without zones."""
    engine = create_async_engine(library_mysql_url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


async def test_a_moment_that_is_read_without_its_zone_is_a_key(
    bare: AsyncEngine,
) -> None:
    moments = Repository[Moment, datetime](async_sessionmaker(bare), Moment)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    await check_key(moments, "at", noon, noon.replace(hour=13))


async def test_a_moment_that_mariadb_rounds_is_kept_as_it_was_given(
    bare: AsyncEngine,
) -> None:
    moments = Repository[Moment, datetime](async_sessionmaker(bare), Moment)
    given = datetime(2026, 1, 1, 12, 0, 0, 400_000, UTC)

    made = await moments.create({"at": given})

    assert made.at == given
    [stored] = await moments.get_all()
    assert stored.at == given.replace(microsecond=0, tzinfo=None)


@pytest.mark.parametrize("kind", [REAL(), Float(24)])
async def test_a_key_of_short_floats_is_refused_on_postgresql(
    library_postgres_url: str, kind: Any
) -> None:
    engine = create_async_engine(library_postgres_url)

    with pytest.raises(NotSupportedError, match=r"Weight.id is .*: use Double\(\)"):
        Repository[Any, float](async_sessionmaker(engine), _weight(kind))
    Repository[Any, float](async_sessionmaker(engine), _weight(Double()))
    await engine.dispose()


def _weight(kind: Any) -> type[Any]:
    class Own(DeclarativeBase):
        """Hold one table."""

    columns = {"id": mapped_column(kind, primary_key=True)}
    return type("Weight", (Own,), {"__tablename__": "weights", **columns})


async def test_a_key_in_other_letters_is_another_one(home: Home) -> None:
    words = Repository[Word, str](home, Word)
    await words.create({"text": "rose"})

    for other in ("ROSE", "rose ", "rosé"):
        assert await words.get_by_id(other) is None
        assert not await words.exists(other)
        assert await words.get_many([other]) == []
        assert not await words.delete(other)
    assert await words.count() == 1
