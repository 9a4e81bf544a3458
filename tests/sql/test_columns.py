"""Columns of every kind in filters, keys and pages, alike in SQL and in memory."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import JSON, Double, Index, Numeric, String, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, undefer

from layerkit.core.errors import (
    AlreadyExistsError,
    NotSupportedError,
    UsageError,
    ValidationError,
)
from layerkit.repository import (
    ALL,
    Home,
    Inc,
    MemoryDatabase,
    Repository,
    Specification,
    adapter_for,
    field,
)
from layerkit.sql import Database, SQLRepository
from tests.support.databases import new_tables


class Base(DeclarativeBase):
    """Hold the tables of these tests."""


class Sample(Base):
    """Have a column of most kinds."""

    __tablename__ = "samples"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(10))
    is_open: Mapped[bool | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    weight: Mapped[float | None] = mapped_column(Double)
    data: Mapped[Any | None] = mapped_column(JSON)
    text: Mapped[str | None] = mapped_column(String(50), deferred=True)


class Word(Base):
    """Have a text for its key."""

    __tablename__ = "words"

    id: Mapped[str] = mapped_column(String(10), primary_key=True)
    hits: Mapped[int] = mapped_column(default=0)


class Address(Base):
    """Have unique indexes that do not hold for every row, or not for the column."""

    __tablename__ = "addresses"

    id: Mapped[int] = mapped_column(primary_key=True)
    mail: Mapped[str] = mapped_column(String(50))
    is_main: Mapped[bool]

    __table_args__ = (
        Index(
            "one_main",
            "mail",
            unique=True,
            sqlite_where=text("is_main"),
            postgresql_where=text("is_main"),
        ),
    )


@asynccontextmanager
async def open_tables(url: str) -> AsyncIterator[Database]:
    """Open a database with the tables, empty."""
    async with Database(url) as opened:
        await new_tables(opened.engine, Base.metadata)
        yield opened


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_tables(url) as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite", "postgres", "mysql"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """Where the same is true."""
    if request.param == "memory":
        yield MemoryDatabase()
        return
    url = f"sqlite:///{tmp_path / 'columns.db'}"
    if request.param != "sqlite":
        url = request.getfixturevalue(f"library_{request.param}_url")
    async with open_tables(url) as opened:
        yield opened


class Samples(SQLRepository[Sample, UUID]): ...


async def names(home: Home, where: Specification, *order: Any) -> str:
    found = await Repository(home, Sample).find(where, order)
    return "".join(sample.name for sample in found)


@pytest.mark.unmeasured
@pytest.mark.defect("R23", "R24")
@pytest.mark.parametrize("by", ["id", "is_open", "price", "weight", "text"])
async def test_pages_and_streams_go_by_columns_of_every_kind(
    home: Home, by: str
) -> None:
    samples = Repository[Sample, UUID](home, Sample)
    for n in range(7):
        given = {"is_open": n % 2 == 0, "price": Decimal(n) / 4, "weight": n / 3}
        await samples.create({"name": str(n), "text": "ab"[n % 2], **given})
    await samples.create({"name": "n"})
    orders = (field(by).desc(), field("name").asc())
    expected = [sample.name for sample in await samples.find(ALL, orders)]

    page = await samples.paginate(order_by=orders, size=2)
    seen = [sample.name for sample in page.items]
    while page.next_cursor is not None:
        page = await samples.paginate(order_by=orders, size=2, cursor=page.next_cursor)
        seen += [sample.name for sample in page.items]
    streamed = [s.name async for s in samples.stream(order_by=orders, batch_size=3)]

    assert len(expected) == 8
    assert (seen, streamed) == (expected, expected)


async def test_a_decimal_is_compared_as_it_is_given(home: Home) -> None:
    samples = Repository[Sample, UUID](home, Sample)
    for name, given in (("a", "0.10"), ("b", "0.11"), ("c", "9.99")):
        await samples.create({"name": name, "price": Decimal(given)})
    price = field("price")
    order = field("name").asc()

    assert await names(home, price == Decimal("0.105"), order) == ""
    assert await names(home, price.in_([Decimal("0.105"), 9]), order) == ""
    assert await names(home, price > Decimal("0.105"), order) == "bc"
    assert await names(home, price < Decimal("1E+30"), order) == "abc"
    assert await names(home, price == Decimal("0.110"), order) == "b"


async def test_a_float_is_compared_with_any_integer(home: Home) -> None:
    samples = Repository[Sample, UUID](home, Sample)
    await samples.create({"name": "a", "weight": 2.0})
    weight = field("weight")

    assert await names(home, weight == 2) == "a"
    assert await names(home, weight.in_([2, 2.5])) == "a"
    assert await names(home, weight < 10**400) == "a"
    assert await names(home, weight < -(2**70)) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", math.nan),
        ("weight", -math.inf),
        ("price", Decimal("NaN")),
        ("price", Decimal("Infinity")),
    ],
)
async def test_a_number_is_finite(home: Home, name: str, value: Any) -> None:
    samples = Repository[Sample, UUID](home, Sample)
    made = await samples.create({"name": "a", "weight": 1.0, "price": Decimal(1)})

    with pytest.raises(ValidationError, match=f"{name}: finite"):
        await samples.create({"name": "b", name: value})
    with pytest.raises(ValidationError, match=f"{name}: finite"):
        await samples.update(made.id, {name: Inc(value)})
    with pytest.raises(UsageError, match="holds finite"):
        await samples.delete_where(field(name) != value)

    assert await samples.count() == 1


@pytest.mark.parametrize(
    "where",
    [
        field("data") == 0,
        field("data").in_(["x"]),
        field("data") < 1,
        field("data").contains("x"),
    ],
    ids=str,
)
async def test_a_document_is_compared_with_nothing(
    home: Home, where: Specification
) -> None:
    samples = Repository[Sample, UUID](home, Sample)
    await samples.create({"name": "a", "data": {"n": 1}})

    with pytest.raises(UsageError, match="holds JSON"):
        await samples.delete_where(where)
    with pytest.raises(UsageError, match="holds JSON"):
        await samples.find(ALL, field("data").asc())

    assert await samples.count(field("data").is_not_null()) == 1


@pytest.mark.parametrize("other", ["ADA", "ada "])
async def test_a_key_is_exact(home: Home, other: str) -> None:
    words = Repository[Word, str](home, Word)
    await words.create({"id": "ada"})

    assert await words.get_by_id(other) is None
    assert not await words.exists(other)
    assert await words.update(other, {"hits": 1}) is None
    assert not await words.delete(other)
    assert [word.hits for word in await words.find(ALL)] == [0]


async def test_an_upsert_never_changes_what_has_another_key(database: Database) -> None:
    words = Repository[Word, str](database, Word)
    await words.create({"id": "ada"})

    if database.engine.dialect.name == "mysql":  # where its unique key folds case
        with pytest.raises(AlreadyExistsError):
            await words.upsert({"id": "ADA", "hits": 9}, key="id")
        with pytest.raises(AlreadyExistsError):
            await words.upsert_many([{"id": "ADA", "hits": 9}], key="id")
    else:
        await words.upsert({"id": "ADA", "hits": 9}, key="id")

    ada = await words.get_by_id("ada")
    assert ada is not None
    assert ada.hits == 0


# Deferred columns


async def test_a_deferred_column_is_written_unread(database: Database) -> None:
    samples = Samples(database)
    made = await samples.create({"name": "a", "text": "one"})

    updated = await samples.update(made.id, {"text": "two"})
    await samples.upsert({"id": made.id, "name": "b", "text": "three"}, key="id")

    assert updated is not None
    assert updated.name == "a"
    assert await samples.count(field("text") == "three") == 1


async def test_load_brings_a_deferred_column(database: Database) -> None:
    class Texts(SQLRepository[Sample, UUID]):
        load = (undefer(Sample.text),)

    texts, samples = Texts(database), Samples(database)
    made = await texts.create({"name": "a", "text": "one"})

    got = await texts.get_by_id(made.id)
    chosen = await samples.all(samples.select().options(undefer(Sample.text)))

    assert got is not None
    assert (got.text, [sample.text for sample in chosen]) == ("one", ["one"])


# Unique indexes that are no unique rules


async def test_a_unique_index_on_a_condition_is_left_to_the_database(
    database: Database,
) -> None:
    addresses = Repository[Address, int](database, Address)
    await addresses.create({"mail": "a", "is_main": True})

    with pytest.raises(AlreadyExistsError) as taken:
        await addresses.create({"mail": "a", "is_main": True})
    with pytest.raises(UsageError, match="not unique by mail"):
        await addresses.upsert({"mail": "a", "is_main": True}, key="mail")

    assert taken.value.fields == ("mail",)


def test_a_unique_index_on_a_condition_is_not_kept_in_memory() -> None:
    with pytest.raises(NotSupportedError, match="unique index on a condition"):
        Repository(MemoryDatabase(), Address)


def test_a_unique_index_on_an_expression_is_no_rule() -> None:
    class Other(DeclarativeBase): ...

    class Lowered(Other):
        __tablename__ = "lowered"
        id: Mapped[int] = mapped_column(primary_key=True)
        mail: Mapped[str]
        name: Mapped[str]

    Index("by_lower", func.lower(Lowered.mail), unique=True)
    Index("by_text", func.lower(text("name")), unique=True)
    Index("falling", Lowered.name.desc(), unique=True)

    assert [rule.name for rule in adapter_for(Lowered).unique] == ["falling"]


@dataclass
class Plain:
    """Be stored in memory, with a number."""

    weight: float
    id: int | None = None


async def test_an_object_holds_finite_numbers_too() -> None:
    plain = Repository[Plain, int](MemoryDatabase(), Plain)

    with pytest.raises(ValidationError, match="weight: finite float"):
        await plain.create(Plain(math.nan))
    with pytest.raises(ValidationError, match="weight: finite float"):
        await plain.create_many([Plain(1.0), Plain(math.inf)])

    assert await plain.count() == 0
