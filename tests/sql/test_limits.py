"""What a column holds: one answer on every home, in memory and on Redis too."""

import enum
import pickle
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    Double,
    Enum,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.core.errors import (
    AlreadyExistsError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, Home, Inc, Repository, adapter_for, field
from layerkit.repository.stores.documents import Documents
from layerkit.sql import Database, UTCDateTime
from layerkit.sql.dialects import server_of
from layerkit.sql.dialects.mysql import MYSQL
from tests.support.databases import new_tables
from tests.support.entities import MappedReading


class Base(DeclarativeBase):
    """Hold the table of these tests."""


class Colour(enum.Enum):
    """Be held by arrays."""

    RED = 1


class Cell(Base):
    """Have columns of every limit."""

    __tablename__ = "cells"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(5))
    prose: Mapped[str | None] = mapped_column(Text)
    word: Mapped[str | None] = mapped_column(Enum("red", "blue", name="cell_word"))
    small: Mapped[int | None] = mapped_column(SmallInteger)
    whole: Mapped[int | None] = mapped_column(Integer)
    big: Mapped[int | None] = mapped_column(BigInteger)
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    rate: Mapped[float | None] = mapped_column(Numeric(10, 2, asdecimal=False))
    narrow: Mapped[float | None] = mapped_column(
        REAL().with_variant(mysql.FLOAT, "mysql", "mariadb")
    )
    wide: Mapped[float | None] = mapped_column(Double)
    at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    blob: Mapped[bytes | None] = mapped_column(LargeBinary)


class Paper(Base):
    """Have documents, of which one tracks what is changed inside of it."""

    __tablename__ = "papers"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[Any] = mapped_column(MutableDict.as_mutable(JSON), nullable=True)
    free: Mapped[Any | None] = mapped_column(JSON)


@pytest.fixture
def cells(home: Home) -> Repository[Cell, int]:
    return Repository[Cell, int](home, Cell)


def of_field(home: Home, name: str) -> Repository[Any, int]:
    """Return a repository of the class that has the field."""
    return Repository[Any, int](home, Paper if name in {"data", "free"} else Cell)


_ZONE = timezone(timedelta(hours=14))
_SINGLE = struct.unpack("f", struct.pack("f", 0.1))[0]
_REFUSED: list[tuple[str, Any]] = [
    ("name", "abcdef"),
    ("name", "a\0b"),
    ("prose", "\0"),
    ("prose", "\ud800"),
    ("word", "green"),
    ("small", 2**15),
    ("small", -(2**15) - 1),
    ("whole", 2**31),
    ("big", 2**63),
    ("id", 2**63),
    ("price", Decimal(100000000)),
    ("price", Decimal("99999999.995")),
    ("price", Decimal("1E+4000")),
    ("price", 10**66),
    ("rate", 1e8),
    ("narrow", 1e39),
    ("narrow", 10**66),
    ("wide", 10**400),
    ("at", datetime(1, 1, 1, 1, tzinfo=_ZONE)),
    ("at", datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14)))),
    ("data", {"at": datetime(2026, 1, 1, tzinfo=UTC)}),
    ("data", {"set": {1}}),
    ("free", object()),
    ("free", float("nan")),
    ("free", [float("inf")]),
    ("free", {(1, 2): 3}),
    ("free", b"x"),
    ("free", ["\0"]),
    ("free", {"\ud800": 1}),
]


@pytest.mark.parametrize(
    ("name", "value"),
    _REFUSED,
    ids=[f"{n}-{case[0]}" for n, case in enumerate(_REFUSED)],
)
async def test_what_a_column_does_not_hold_is_refused_everywhere(
    home: Home, name: str, value: Any
) -> None:
    cells = of_field(home, name)
    await cells.create({"id": 1})
    given = {"id": 2, name: value}

    tries: list[Callable[[], Awaitable[object]]] = [
        lambda: cells.create(given),
        lambda: cells.create(cells.model_class(**given)),
        lambda: cells.create_many([given]),
        lambda: cells.upsert(given, key="id"),
    ]
    if name != "id":
        tries.append(lambda: cells.update(1, {name: value}))
        tries.append(lambda: cells.update_where(ALL, {name: value}))
    for work in tries:
        with pytest.raises(ValidationError) as refused:
            await work()
        assert refused.value.fields == (name,)
    if name not in ("id", "data", "free"):
        with pytest.raises(ValidationError) as refused:
            async with cells.unit_of_work():
                found = await cells.get_by_id(1)
                setattr(found, name, value)
        assert refused.value.fields == (name,)

    assert await cells.count() == 1


_KEPT: list[tuple[str, Any, Any]] = [
    ("price", Decimal("1.005"), Decimal("1.01")),
    ("price", Decimal("-1.005"), Decimal("-1.01")),
    ("price", Decimal("0.004"), Decimal("0.00")),
    ("price", 5, Decimal("5.00")),
    ("rate", 1.005, 1.01),
    ("rate", 3, 3.0),
    ("narrow", 2, 2.0),
    ("wide", 10**66, 1e66),
    ("wide", 7, 7.0),
    ("blob", bytearray(b"\0a"), b"\0a"),
    ("blob", memoryview(b"ab"), b"ab"),
    ("free", (1, (2,)), [1, [2]]),
    ("free", {"a": (1,)}, {"a": [1]}),
    ("free", {1: {2.5: None}}, {"1": {"2.5": None}}),
    ("data", {"a": (1,)}, {"a": [1]}),
]


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("name", "value", "kept"),
    _KEPT,
    ids=[f"{n}-{case[0]}" for n, case in enumerate(_KEPT)],
)
async def test_what_a_column_holds_otherwise_comes_back_so_from_every_verb(
    home: Home, name: str, value: Any, kept: Any
) -> None:
    cells = of_field(home, name)
    given = {name: value}
    made = await cells.create({"id": 1, **given})
    entity = await cells.create(cells.model_class(id=2, **given))
    await cells.create_many([{"id": 3, **given}, cells.model_class(id=4, **given)])
    await cells.create_many([{"id": n} for n in (5, 6, 7)])
    updated = await cells.update(5, given)
    await cells.update_where(field("id") == 6, given)
    await cells.upsert({"id": 7, **given}, key="id")
    await cells.create({"id": 8})
    async with cells.unit_of_work():
        tracked = await cells.get_by_id(8)
        assert tracked is not None
        setattr(tracked, name, value)

    stored = await cells.get_all()
    said = [getattr(one, name) for one in (made, entity, updated, tracked, *stored)]
    assert said == [kept] * 12
    skipped = {"data", "rate"}  # SQLite's NUMERIC makes integers of whole floats
    assert {type(one) for one in said if name not in skipped} <= {type(kept)}


@pytest.mark.parametrize("value", [0.1, 1 / 3, 16777217.0, -1e-20])
async def test_a_float_of_four_bytes_is_one_number_for_all_who_ask(
    cells: Repository[Cell, int], value: float
) -> None:
    made = await cells.create({"id": 1, "narrow": value})
    stored = await cells.get_by_id(1)
    assert stored is not None
    narrow = field("narrow")

    assert made.narrow == stored.narrow
    assert await cells.count(narrow == stored.narrow) == 1
    assert await cells.count(narrow.between(stored.narrow, stored.narrow)) == 1
    assert await cells.count(narrow < 1e300) == 1
    updated = await cells.update(1, {"narrow": value}, when=narrow == made.narrow)
    assert updated is not None
    assert updated.narrow == stored.narrow


async def test_what_was_given_finds_a_float_of_four_bytes(home: Home) -> None:
    cells = Repository[Cell, int](home, Cell)
    made = await cells.create({"id": 1, "narrow": 0.1})

    is_short = isinstance(home, Database) and server_of(home.dialect) is MYSQL
    assert made.narrow == (0.1 if is_short else _SINGLE)
    assert await cells.count(field("narrow") == 0.1) == 1


async def test_a_sum_is_what_the_column_holds(cells: Repository[Cell, int]) -> None:
    await cells.create(
        {"id": 1, "price": Decimal("0.1"), "narrow": 0.5, "rate": 0.1, "whole": 1}
    )
    sums = {"price": Inc(Decimal("0.2")), "narrow": Inc(0.25), "rate": Inc(0.2)}

    one = await cells.update(1, {**sums, "whole": Inc(2), "small": Inc(1)})
    await cells.update_where(ALL, {**sums, "price": Inc(1)})
    two = await cells.get_by_id(1)

    assert one is not None
    assert two is not None
    assert (one.price, one.narrow, one.rate, one.whole) == (
        Decimal("0.30"),
        0.75,
        0.3,
        3,
    )
    assert (one.narrow, two.price, two.narrow, two.rate) == (
        0.75,
        Decimal("1.30"),
        1.0,
        0.5,
    )
    assert one.small is None
    assert await cells.count(field("price") == Decimal("1.3")) == 1
    assert await cells.count(field("rate") == 0.5) == 1


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    ("name", "now", "more"),
    [
        ("small", 2**15 - 1, 1),
        ("whole", -(2**31), -1),
        ("big", 2**63 - 1, 1),
        ("big", 2**62, 2**62),
        ("price", Decimal("99999999.99"), Decimal("0.01")),
        ("rate", 99999999.0, 1.0),
        ("narrow", 3e38, 3e38),
        ("wide", 1.7e308, 1.7e308),
        ("whole", 1, 2**70),
        ("narrow", 1, 10**66),
    ],
)
async def test_a_sum_beyond_the_column_is_refused_and_named(
    cells: Repository[Cell, int], name: str, now: Any, more: Any, many: bool
) -> None:
    await cells.create({"id": 1, name: now})
    held = getattr(await cells.get_by_id(1), name)

    with pytest.raises(ValidationError) as refused:
        if many:
            await cells.update_where(ALL, {name: Inc(more)})
        else:
            await cells.update(1, {name: Inc(more)})

    assert refused.value.fields == (name,)
    assert getattr(await cells.get_by_id(1), name) == held


async def test_a_value_beyond_the_column_is_found_nowhere(
    cells: Repository[Cell, int],
) -> None:
    await cells.create({"id": 1, "whole": 5, "name": "a", "wide": 1.0})

    for where in (
        field("whole") == 2**70,
        field("small") < -(2**40),
        field("name") == "abcdef",
        field("name").in_(["abcdef", "b"]),
        field("wide") == 10**400,
        field("narrow") >= 1e300,
    ):
        assert await cells.count(where) == 0
    assert await cells.count(field("whole") < 2**70) == 1
    assert await cells.get_by_id(2**70) is None
    assert not await cells.exists(-(2**70))
    assert not await cells.delete(2**70)


@pytest.mark.parametrize(
    ("name", "value"),
    [("name", "a\0"), ("prose", "\udfff"), ("at", datetime(1, 1, 1, 1, tzinfo=_ZONE))],
)
async def test_a_filter_by_what_no_database_takes_names_the_field(
    cells: Repository[Cell, int], name: str, value: Any
) -> None:
    by = field(name)
    for where in (by == value, by != value, by >= value, ~by.in_([value])):
        with pytest.raises(ValidationError) as refused:
            await cells.find(where)
        assert refused.value.fields == (name,)
    if name == "name":
        with pytest.raises(ValidationError):
            await cells.find(by.icontains(value))


async def test_a_binary_filter_may_be_any_buffer(cells: Repository[Cell, int]) -> None:
    await cells.create({"id": 1, "blob": b"ab"})

    assert await cells.count(field("blob") == bytes(bytearray(b"ab"))) == 1
    assert await cells.count(field("blob").in_([memoryview(b"ab")])) == 1


async def test_a_scope_by_what_the_column_rounds_is_refused(
    cells: Repository[Cell, int],
) -> None:
    with pytest.raises(UsageError, match=r"holds as Decimal\('1\.01'\)"):
        cells.scoped(field("price") == Decimal("1.005"))
    seen = cells.scoped(field("price") == Decimal("1.01"))
    await seen.create({"id": 1})
    narrow = cells.scoped(field("narrow") == 0.5)
    await narrow.create({"id": 2})

    assert (await seen.count(), await narrow.count()) == (1, 1)


async def test_a_document_that_tracks_changes_stays_one(home: Home) -> None:
    cells = Repository[Paper, int](home, Paper)
    async with cells.unit_of_work():
        made = await cells.create({"id": 1, "data": {"a": 1}})
        other = await cells.create(Paper(id=2, data={"a": (1,)}))
        made.data["b"] = 2
        other.data["b"] = 2

    assert [one.data for one in await cells.get_all()] == [
        {"a": 1, "b": 2},
        {"a": [1], "b": 2},
    ]


# Filters that nest


def _nested(levels: int) -> Any:
    where = field("whole") == 0
    for n in range(levels):
        other = field("whole") == n
        where = where & other if n % 2 else where | other
    return where


async def test_a_deep_filter_is_answered_or_refused(
    cells: Repository[Cell, int],
) -> None:
    await cells.create({"id": 1, "whole": 0})
    whole = field("whole")

    deep = _nested(49)
    assert await cells.count(deep) == 0
    assert await cells.count(deep | (whole == 0)) == 1
    page = await cells.paginate(deep | (whole == 0), order_by=whole.desc(), size=1)
    assert len(page.items) == 1
    with pytest.raises(UsageError, match="51 levels"):
        await cells.count(_nested(51))
    with pytest.raises(UsageError, match="more than 100 levels"):
        _nested(500)
    with pytest.raises(UsageError, match="more than 100 levels"):
        _negated(3_000)


def _negated(levels: int) -> Any:
    where = field("whole") == 0
    for _ in range(levels):
        where = ~where
    return where


def test_the_deepest_filter_that_there_is_can_be_shown_compared_and_sent() -> None:
    for where in (_nested(100), _negated(100)):
        assert pickle.loads(pickle.dumps(where)) == where  # noqa: S301 - our own
        assert hash(where) == hash(where)
        assert repr(where).count("Comparison") >= 1


# Entities of other kinds


@dataclass
class Plain:
    """Hold numbers and texts without a column."""

    weight: float
    note: str = ""
    id: int | None = None


class Open(BaseModel):
    """Take what it does not know."""

    model_config = ConfigDict(extra="allow")

    name: str
    id: int | None = None


class Wide(Open):
    """Have a field that its parent has not."""

    z: int


class Narrow(Open):
    """Have only what its parent has."""

    def shout(self) -> str:
        return self.name.upper()


@pytest.mark.parametrize("home", ["memory", "redis"], indirect=True)
async def test_a_field_that_would_vanish_is_refused(home: Home) -> None:
    opened = Repository[Open, int](home, Open)
    plain = Repository[Plain, int](home, Plain)
    more = Plain(1.0)
    more.colour = "red"  # type: ignore[attr-defined] # what is tested
    hidden = Plain(1.0)
    vars(hidden)["_cache"] = {}
    known = await opened.create(Open(name="a"))

    for work in (
        lambda: opened.create(Open(name="b", z=1)),
        lambda: opened.create({"name": "b", "z": 1}),
        lambda: opened.create_many([Open(name="b", z=1)]),
        lambda: opened.upsert(Open(id=known.id, name="b", z=1), key="id"),
        lambda: opened.create(Wide(name="b", z=1)),
        lambda: opened.create_many([Wide(name="b", z=1)]),
        lambda: opened.create_many([Wide(name="b", z=1)], returning=True),
        lambda: opened.upsert(Wide(id=known.id, name="b", z=1), key="id"),
        lambda: opened.upsert_many([Wide(id=known.id, name="b", z=1)], key="id"),
        lambda: opened.update(known.id or 0, {"z": 1}),
    ):
        with pytest.raises(ValidationError) as refused:
            await work()
        assert refused.value.fields == ("z",)
    with pytest.raises(ValidationError, match="z of a Open would not be stored"):
        async with opened.unit_of_work():
            found: Any = await opened.get_by_id(known.id or 0)
            found.z = 1
    with pytest.raises(ValidationError, match="colour of a Plain"):
        await plain.create(more)
    await plain.create(hidden)
    await opened.create(Narrow(name="b"))

    assert (await opened.count(), await plain.count()) == (2, 1)


@pytest.mark.parametrize("home", ["memory", "redis"], indirect=True)
async def test_an_int_in_a_float_field_becomes_a_float(home: Home) -> None:
    plain = Repository[Plain, int](home, Plain)
    made = await plain.create(Plain(1))
    await plain.update(made.id or 0, {"weight": Inc(2)})
    stored = await plain.get_by_id(made.id or 0)

    assert type(made.weight) is float
    assert stored is not None
    assert (type(stored.weight), stored.weight) == (float, 3.0)
    for given in (Plain(1.0, "\0"), Plain(1.0, "\ud800"), Plain(10**400)):
        with pytest.raises(ValidationError):
            await plain.create(given)


def test_a_document_holds_the_classes_that_arrays_and_annotations_name() -> None:
    class Other(DeclarativeBase): ...

    class Box(Other):
        __tablename__ = "boxes"
        id: Mapped[int] = mapped_column(primary_key=True)
        colours: Mapped[list[Colour]] = mapped_column(ARRAY(Enum(Colour)))

    documents = Documents(adapter_for(Box))
    row = {"id": 1, "colours": [Colour.RED]}

    assert documents.read(documents.write(row)) == row


def test_the_widest_variant_of_a_column_counts() -> None:
    class Other(DeclarativeBase): ...

    class Counter(Other):
        __tablename__ = "counters"
        id: Mapped[int] = mapped_column(
            Integer().with_variant(BigInteger, "postgresql"), primary_key=True
        )
        tiny: Mapped[int] = mapped_column(mysql.TINYINT(unsigned=True))
        short: Mapped[Decimal] = mapped_column(Numeric(4))

    limits = {n: f.limits for n, f in adapter_for(Counter).fields.items()}
    assert (limits["id"].least, limits["id"].greatest) == (-(2**63), 2**63 - 1)
    assert (limits["tiny"].least, limits["tiny"].greatest) == (0, 255)
    assert limits["short"].held(Decimal, Decimal("2.5")) == 3


class Rounded(Base):
    """Have columns that MariaDB makes narrower than other databases do."""

    __tablename__ = "rounded"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime | None]
    clock: Mapped[time | None]
    span: Mapped[timedelta | None]
    ratio: Mapped[float | None]
    amount: Mapped[Decimal | None]
    stamp: Mapped[datetime | None] = mapped_column(UTCDateTime)
    mark: Mapped[int | None] = mapped_column(unique=True)
    n: Mapped[int] = mapped_column(default=0)


_MOMENT = datetime(2026, 3, 1, 12, 0, 5, 700_001, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("at", _MOMENT.replace(tzinfo=None)),
        ("clock", _MOMENT.time()),
        ("span", timedelta(seconds=1, microseconds=700_001)),
        ("ratio", 1.23456789),
        ("amount", Decimal("1.5")),
        ("stamp", _MOMENT),
    ],
)
async def test_create_and_update_return_what_is_stored(
    database: Database, name: str, value: Any
) -> None:
    await database.create_all(Base.metadata)
    rows = Repository[Rounded, int](database, Rounded)

    made = await rows.create({name: value})
    other = await rows.create({})
    updated = await rows.update(other.id, {name: value})

    stored = await rows.get_many([made.id, other.id])
    assert [getattr(made, name), getattr(updated, name)] == [
        getattr(row, name) for row in stored
    ]


async def test_a_sum_of_decimals_without_a_scale_is_read_as_it_is_found(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)
    rows = Repository[Rounded, int](sqlite, Rounded)
    await rows.create({"amount": Decimal("0.1")})

    updated = await rows.update(1, {"amount": Inc(Decimal("0.2"))})

    assert updated is not None
    assert updated.amount == Decimal("0.3")
    assert await rows.count(field("amount") == Decimal("0.3")) == 1


async def test_what_a_server_refuses_for_another_reason_is_not_put_down_to_a_sum(
    database: Database,
) -> None:
    await new_tables(database.engine, Base.metadata)
    rows = Repository[Rounded, int](database, Rounded)
    await rows.create_many([{"id": 801, "mark": 1}, {"id": 802, "mark": 2}])

    for amount in (1, 0):
        with pytest.raises(AlreadyExistsError) as refused:
            await rows.update_where(field("id") >= 801, {"mark": 5, "n": Inc(amount)})
        assert refused.value.fields == ("mark",)


async def test_a_sum_is_stored_without_the_tail_of_a_float(sqlite: Database) -> None:
    await sqlite.create_all(Base.metadata)
    cells = Repository[Cell, int](sqlite, Cell)
    await cells.create({"id": 1, "price": Decimal("0.1")})
    await cells.update(1, {"price": Inc(Decimal("0.2"))})

    async with sqlite.engine.connect() as connection:
        raw = await connection.scalar(text("SELECT price FROM cells"))

    assert raw == 0.3


async def test_a_sum_beyond_the_column_makes_its_unit_rollback_only(
    cells: Repository[Cell, int],
) -> None:
    await cells.create({"id": 1, "whole": 2**31 - 1})

    with pytest.raises(UnitOfWorkError, match="rollback-only after ValidationError"):
        async with cells.unit_of_work():
            with pytest.raises(ValidationError):
                await cells.update(1, {"whole": Inc(1)})


@pytest.mark.parametrize("many", [False, True])
async def test_a_sum_of_four_bytes_has_no_more(home: Home, many: bool) -> None:
    if isinstance(home, Database):
        async with home.engine.begin() as connection:
            tables = [MappedReading.metadata.tables["readings"]]
            metadata = MappedReading.metadata
            await connection.run_sync(metadata.drop_all, tables=tables)
            await connection.run_sync(metadata.create_all, tables=tables)
    readings = Repository[MappedReading, int](home, MappedReading)
    made = await readings.create({"code": "a", "narrow": 0.1})
    more = {"narrow": Inc(0.2)}
    if many:
        await readings.update_where(ALL, more)
    else:
        await readings.update(made.id, more)

    [found] = await readings.get_all()

    total = _SINGLE + 0.2
    assert found.narrow == struct.unpack("f", struct.pack("f", total))[0]


async def test_what_json_leaves_alone_stays_the_object_it_was(home: Home) -> None:
    given = {"a": [1, {"b": None}]}

    paper = Paper(id=1, free=given)
    await Repository[Paper, int](home, Paper).create(paper)

    assert paper.free is given
