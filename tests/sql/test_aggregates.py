"""Aggregates of columns that databases answer each in their own way."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Literal

import pytest
from sqlalchemy import REAL, Enum, Float, Numeric, String, Text, make_url, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import ALL, Repository, UsageError, field
from layerkit.repository import adapter_for
from layerkit.repository.entities.checks import checked_figures
from layerkit.repository.filters.aggregates import asked
from layerkit.sql import Database, statements
from layerkit.sql.aggregates import AggregateQuery
from layerkit.sql.dialects import Server
from layerkit.sql.dialects.mysql import MYSQL
from layerkit.sql.dialects.postgresql import POSTGRESQL
from layerkit.sql.forms import Compared
from tests.support.databases import new_tables

pytestmark = pytest.mark.unmeasured

Size = Literal["small", "big"]


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Thing(Base):
    __tablename__ = "aggregate_things"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))
    long: Mapped[str | None] = mapped_column(Text)
    size: Mapped[Size | None] = mapped_column(Enum("small", "big", name="thing_size"))
    narrow: Mapped[float | None] = mapped_column(REAL)
    rounded: Mapped[Decimal | None] = mapped_column(Float(53, asdecimal=True))
    price: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    rate: Mapped[float | None] = mapped_column(Numeric(12, 2, asdecimal=False))
    count: Mapped[int | None]
    kind: Mapped[str] = mapped_column(String(10), default="thing")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}  # noqa: RUF012 - declarative's


class Box(Thing):
    __mapper_args__ = {"polymorphic_identity": "box"}  # noqa: RUF012 - declarative's


class Things(Repository[Thing, int]): ...


@pytest.fixture
async def things(url: str) -> AsyncIterator[Things]:
    async with Database(url) as database:
        await new_tables(database.engine, Base.metadata)
        yield Things(database)


async def test_long_texts_that_begin_alike_are_groups_of_their_own(
    things: Things,
) -> None:
    texts = ["a" * 2_000 + end for end in ("1", "2", "1", "\u00e9")]
    await things.create_many({"long": each} for each in texts)

    rows = await things.aggregate(by="long", min="long")

    assert [(row.by["long"][2_000:], row.count) for row in rows] == [
        ("1", 2),
        ("2", 1),
        ("\u00e9", 1),
    ]
    assert all(row.min == row.by for row in rows)


async def test_an_enum_of_texts_is_compared_as_texts(things: Things) -> None:
    sizes = ["small", "big", "small", None]
    await things.create_many({"size": size} for size in sizes)

    (ends,) = await things.aggregate(min="size", max="size")
    rows = await things.aggregate(by="size")

    assert (ends.min["size"], ends.max["size"]) == ("big", "small")
    assert [(row.by["size"], row.count) for row in rows] == [
        ("big", 1), ("small", 2), (None, 1)
    ]  # fmt: skip


async def test_a_sum_of_narrow_floats_has_the_digits_of_wide_ones(
    things: Things,
) -> None:
    await things.create_many({"narrow": 2.0**24, "rate": 0.25} for _ in range(2))
    await things.create_many({"narrow": 1.0, "rate": 0.5} for _ in range(2))

    (row,) = await things.aggregate(sum=("narrow", "rate"), avg="narrow")

    assert row.sum == {"narrow": 2.0**25 + 2, "rate": 1.5}
    assert row.avg == {"narrow": 2.0**23 + 0.5}


async def test_decimals_that_the_database_holds_as_floats_are_exact(
    things: Things,
) -> None:
    tenth = Decimal("0.1")
    rows: list[dict[str, Any]] = [{"rounded": tenth, "price": tenth, "count": 2}] * 30
    await things.create_many([*rows, {"count": 1}, {"price": Decimal("1e9")}])

    with statements(max=1):
        (row,) = await things.aggregate(
            sum=("rounded", "price", "count"), avg="price", max="count"
        )

    assert row.sum == {"rounded": 3, "price": Decimal("1000000003.00"), "count": 61}
    assert +row.avg["price"] == Decimal("1000000003.00") / 31
    assert (row.count, row.max) == (32, {"count": 2})


async def test_a_sum_of_decimals_is_exact_beyond_what_floats_hold(
    things: Things,
) -> None:
    row = {"price": Decimal("9999999999.99"), "rounded": Decimal("123456.7")}
    await things.create_many([row] * 10_001)

    (total,) = await things.aggregate(sum=list(row))

    assert total.sum == {name: value * 10_001 for name, value in row.items()}


async def test_a_value_that_is_stored_in_two_forms_is_one_group(things: Things) -> None:
    await things.create_many({"name": name} for name in "ab")
    home = things.home
    assert isinstance(home, Database)
    async with home.engine.begin() as connection:
        for name, price in (("a", "1.001"), ("b", "0.999")):
            statement = f"UPDATE aggregate_things SET price = {price}"  # noqa: S608 - our own
            await connection.execute(text(f"{statement} WHERE name = '{name}'"))

    rows = await things.aggregate(by="price", sum="price")

    assert [(row.by["price"], row.count, row.sum["price"]) for row in rows] == [
        (1, 2, 2)
    ]


async def test_children_in_one_table_come_back_in_their_order(things: Things) -> None:
    rows = [Thing(name="a"), Box(name="b"), Thing(name="c"), Box(name="d")]

    made = await things.create_many(rows, returning=True)

    found = await things.get_many([thing.id for thing in made])
    assert [(type(thing), thing.name) for thing in found] == [
        (Thing, "a"), (Box, "b"), (Thing, "c"), (Box, "d")
    ]  # fmt: skip


async def test_a_child_in_one_table_adds_up_its_own_rows(things: Things) -> None:
    await things.create_many([Thing(count=1), Box(count=2), Box(count=4)])
    boxes = Repository[Box, int](things.home, Box)

    (every,) = await things.aggregate(sum="count")
    (own,) = await boxes.aggregate(sum="count")
    (counted,) = await boxes.aggregate(field("id") > 0)

    assert (every.sum["count"], own.sum["count"], counted.count) == (7, 6, 2)


async def test_more_groups_than_10_000_are_refused(things: Things) -> None:
    await things.create_many({"count": n, "price": 1} for n in range(10_001))

    for summed in ((), "price"):
        with pytest.raises(UsageError, match="more than 10,000 groups"):
            await things.aggregate(ALL, by="count", sum=summed)

    assert len(await things.aggregate(field("count") > 0, by="count")) == 10_000


def columns_on(server: Server) -> dict[str, Compared]:
    attributes = adapter_for(Thing).fields
    return {name: Compared(getattr(Thing, name), server) for name in attributes}


def test_postgresql_compares_texts_by_their_code_points() -> None:
    adapter = adapter_for(Thing)
    wanted = asked(by=(), count=True, sums=(), least="name", most="size", means=())
    columns = columns_on(POSTGRESQL)

    query = AggregateQuery(
        checked_figures(adapter, wanted), Thing, columns, Thing.id > 0, POSTGRESQL
    )

    sql = str(
        query.statement.compile(
            dialect=make_url("postgresql+asyncpg://").get_dialect()()
        )
    )
    assert 'min(aggregate_things.name COLLATE "C")' in sql
    assert 'max(CAST(aggregate_things.size AS TEXT) COLLATE "C")' in sql


def test_mysql_compares_bytes_and_scales_floats() -> None:
    adapter = adapter_for(Thing)
    figures = ("narrow", "count")
    empty: tuple[str, ...] = ()
    wanted = asked(
        by="name", count=False, sums=figures, least="long", most=empty, means=empty
    )
    columns = columns_on(MYSQL)

    query = AggregateQuery(
        checked_figures(adapter, wanted), Thing, columns, Thing.id > 0, MYSQL
    )

    sql = str(query.statement.compile(dialect=mysql.dialect()))
    by, (narrow, count, least) = query.partial(("a", 2.0**-63, Decimal(3), "b"))
    nothing = query.partial((None, None, None, None))[1]
    assert (
        "GROUP BY CAST(convert(aggregate_things.name USING utf8mb4) AS BINARY)" in sql
    )
    assert "convert(min(CAST(convert(aggregate_things.`long` USING utf8mb4)" in sql
    assert (by, narrow, count, least) == (("a",), 2.0, 3, "b")
    assert isinstance(count, int)
    assert nothing == [None] * 3
