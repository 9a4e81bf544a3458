"""What tests share in place of making it again, and how they share servers out."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, String, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.repository import Repository
from layerkit.sql import Database
from tests.support import profiles
from tests.support.databases import forget_tables, new_tables
from tests.support.profiles import SERVERS, examples, on_servers


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tables.db'}"
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


class Kept(DeclarativeBase): ...


class Other(Kept):
    __tablename__ = "others"
    id: Mapped[int] = mapped_column(primary_key=True)


def circle() -> tuple[Any, Any]:
    """Return a class whose rows refer to each other, and one that refers to it."""

    class Base(DeclarativeBase): ...

    class Knot(Base):
        __tablename__ = "Knots"
        id: Mapped[int] = mapped_column(primary_key=True)
        up_id: Mapped[int | None] = mapped_column(ForeignKey("Knots.id"))

    class End(Base):
        __tablename__ = "ends"
        id: Mapped[int] = mapped_column(primary_key=True)
        knot_id: Mapped[int] = mapped_column(ForeignKey("Knots.id"))

    return Knot, End


async def test_tables_are_emptied_and_keys_begin_at_one_again(url: str) -> None:
    knot, end = circle()
    async with Database(url) as database:
        knots = Repository[Any, int](database, knot)
        ends = Repository[Any, int](database, end)
        await new_tables(database.engine, Kept.metadata)
        await new_tables(database.engine, knot.metadata)
        others = Repository[Other, int](database, Other)
        kept = await others.create({})
        for _ in range(3):
            await new_tables(database.engine, knot.metadata)
            first = await knots.create({})
            second = await knots.create({"up_id": first.id})
            await knots.update(first.id, {"up_id": second.id})
            await ends.create({"knot_id": second.id})

            assert [k.id for k in await knots.get_all()] == [1, 2]

        assert [other.id for other in await others.get_all()] == [kept.id]
        assert (await others.create({})).id == kept.id + 1


async def test_tables_are_made_again_where_others_took_their_name_or_they_are_gone(
    url: str,
) -> None:
    (knot, end), (_, its_like) = circle(), circle()
    its_like.__table__.append_column(Column("note", String(9)))
    async with Database(url) as database:
        engine = database.engine
        await new_tables(engine, knot.metadata)
        await new_tables(engine, its_like.metadata)
        await new_tables(engine, knot.metadata)
        async with engine.connect() as connection:
            found = await connection.run_sync(lambda c: inspect(c).get_columns("ends"))
        assert [column["name"] for column in found] == ["id", "knot_id"]

        forget_tables(engine)
        async with engine.begin() as connection:
            await connection.run_sync(end.__table__.drop)
        await new_tables(engine, knot.metadata)
        async with engine.connect() as connection:
            assert await connection.run_sync(lambda c: inspect(c).has_table("ends"))


@pytest.mark.parametrize("is_full", [True, False])
def test_every_two_values_meet_and_each_meets_each_server(
    is_full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "IS_FULL", is_full)
    first, second = "abcd", (1, 2, 3)

    cases = on_servers(first, second)

    assert len(cases) == len(set(cases)) == 12 * (len(SERVERS) if is_full else 1)
    assert {case[1:] for case in cases} == set(product(first, second))
    assert {case[:2] for case in cases} == set(product(SERVERS, first))
    assert {case[::2] for case in cases} == set(product(SERVERS, second))
    assert examples(5, full=50) == (50 if is_full else 5)


async def test_tables_that_refer_to_a_forgotten_one_are_dropped_with_it(
    url: str,
) -> None:
    knot, _ = circle()

    class Alone(DeclarativeBase): ...

    class Knot(Alone):
        __tablename__ = "Knots"
        id: Mapped[int] = mapped_column(primary_key=True)

    async with Database(url) as database:
        await new_tables(database.engine, knot.metadata)
        forget_tables(database.engine)

        await new_tables(database.engine, Alone.metadata)

        assert (await Repository[Any, int](database, Knot).create({})).id == 1
