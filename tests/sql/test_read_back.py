"""What a column gives back finds its own row, and pages see each row once."""

import enum
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    CHAR,
    REAL,
    TIMESTAMP,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Text,
    Time,
    TypeDecorator,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

from layerkit.repository import ALL, Repository, adapter_for, field
from layerkit.sql import Database, SQLRepository, UTCDateTime, statements
from layerkit.sql.compile import condition
from layerkit.sql.dialects.sqlite import SQLITE
from layerkit.sql.forms import Compared
from tests.support.databases import new_tables

pytestmark = pytest.mark.unmeasured


class Colour(enum.Enum):
    """Have names in another order than its values."""

    RED = "z"
    BLUE = "a"


class Zoned(TypeDecorator[datetime]):
    """Be what users write for aware times."""

    impl = DateTime
    cache_ok = True

    @override
    def process_bind_param(self, value: Any, _: Any) -> Any:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    @override
    def process_result_value(self, value: Any, _: Any) -> Any:
        return value and value.replace(tzinfo=UTC)


_FSP = mysql.DATETIME(fsp=6)
_NOON = datetime(2026, 3, 1, 12, 0, 5)  # noqa: DTZ001 - naive, as columns hold it
_WHOLE = [_NOON + timedelta(seconds=n // 2) for n in range(6)]
_PARTS = [_NOON + timedelta(microseconds=n) for n in (0, 1, 500_000, 500_000, 120, 10)]
_KINDS: dict[str, tuple[Any, list[Any]]] = {
    "small": (SmallInteger, [1, 1, -5, 2**15 - 1]),
    "big": (BigInteger, [1, 1, 2**62, -(2**63)]),
    "flag": (Boolean, [True, False, True]),
    "float": (Float, [0.1, 0.1, 1 / 3, 1.5, -2e7 / 3, 1234567.0]),
    "float24": (Float(24), [0.1, 0.1, 1 / 3, 1.5, -2e7 / 3, 1234567.0]),
    "real": (REAL, [0.1, 0.1, 1 / 3, 1.5, 1e-20, 16777217.0]),
    "double": (Double, [0.1, 0.1, 1 / 3, 1.5, 1e300]),
    "decimal_float": (Float(53, asdecimal=True), [Decimal("0.1"), Decimal("0.3")]),
    "money": (Numeric(12, 2), [Decimal("0.1"), Decimal("0.30"), Decimal("12345678.9")]),
    "plain_numeric": (Numeric, [Decimal(1), Decimal(7), Decimal(12345678)]),
    "money_float": (Numeric(12, 2, asdecimal=False), [0.1, 0.3, 1.25, 1.25]),
    "moment": (DateTime, _WHOLE),
    "moment_parts": (DateTime().with_variant(_FSP, "mysql", "mariadb"), _PARTS),
    "aware": (DateTime(timezone=True), [m.replace(tzinfo=UTC) for m in _WHOLE]),
    "utc": (UTCDateTime, [m.replace(tzinfo=UTC) for m in _PARTS]),
    "zoned": (Zoned, [m.replace(tzinfo=UTC) for m in _WHOLE]),
    "stamp": (TIMESTAMP, _WHOLE),
    "day": (Date, [date(2026, 1, 1), date(2026, 1, 1), date(1, 1, 1)]),
    "clock": (Time, [time(12, 0, 5), time(12, 0, 5), time(23, 59)]),
    "span": (Interval, [timedelta(days=1), timedelta(0), timedelta(hours=30)]),
    "char": (CHAR(5), ["ab", "ab", "abcde", "b"]),
    "string": (String(20), ["ab", "b", "ab", "c"]),
    "prose": (Text, ["ab", "b", "ab", "c"]),
    "enum": (Enum(Colour), [Colour.RED, Colour.BLUE, Colour.RED]),
    "word": (Enum("red", "blue", name="word"), ["red", "blue", "red"]),
    "blob": (LargeBinary(20), [b"\0\xff", b"a", b"a"]),
    "uuid": (Uuid, [UUID(int=5), UUID(int=2**127), UUID(int=7)]),
}
_UNORDERED = {"flag", "enum", "word"}


def _mapped(name: str, kind: Any) -> type[Any]:
    class Own(DeclarativeBase):
        """Hold one table, so that a test makes no other."""

    return type(
        name.title().replace("_", ""),
        (Own,),
        {
            "__tablename__": f"read_back_{name}",
            "id": mapped_column(Integer, primary_key=True),
            "value": mapped_column(kind, nullable=True),
            "n": mapped_column(Integer, default=0),
        },
    )


_CLASSES = {name: _mapped(name, kind) for name, (kind, _) in _KINDS.items()}


class Base(DeclarativeBase):
    """Hold the table of ``Stamped``."""


class Stamped(Base):
    """Be stamped by the server."""

    __tablename__ = "read_back_stamped"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    made: Mapped[datetime] = mapped_column(server_default=func.now())
    text: Mapped[datetime] = mapped_column(server_default=text("CURRENT_TIMESTAMP"))
    default: Mapped[datetime] = mapped_column(default=func.now())
    update: Mapped[datetime | None] = mapped_column(
        default=func.now(), onupdate=func.now()
    )
    aware: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    utc: Mapped[datetime] = mapped_column(UTCDateTime, server_default=func.now())
    zoned: Mapped[datetime] = mapped_column(Zoned, server_default=func.now())
    day: Mapped[date] = mapped_column(server_default=func.current_date())
    clock: Mapped[time] = mapped_column(server_default=func.current_time())


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        yield opened


async def table_of(database: Database, entity: type[Any]) -> Repository[Any, int]:
    """Return a repository of that class, its table empty."""
    await new_tables(database.engine, entity.metadata)
    return Repository[Any, int](database, entity)


async def check_found(rows: Repository[Any, int], name: str, *, ordered: bool) -> None:
    """Look for every row by its own value, and walk over all of them by it."""
    stored, by = await rows.get_all(), field(name)
    held = [getattr(row, name) for row in stored]
    for value in held:
        same = [other.id for other in stored if getattr(other, name) == value]
        tests = [by == value, by.in_([value])]
        if ordered:
            tests += [by.between(value, value), (by >= value) & ~(by > value)]
            tests.append((by <= value) & ~(by < value))
        for where in tests:
            found = await rows.find(where)
            assert [other.id for other in found] == same, (where, held)
    if not isinstance(held[0], float):  # which no groups are made by
        groups = await rows.aggregate(by=[name])
        assert {group.by[name]: group.count for group in groups} == Counter(held)
    if not ordered:
        return
    is_known = adapter_for(rows.model_class).fields[name].kind is not None
    if is_known and not isinstance(held[0], bytes | UUID | timedelta):
        [ends] = await rows.aggregate(min=[name], max=[name])
        assert (ends.min[name], ends.max[name]) == (min(held), max(held))
    rising = sorted(zip(held, (row.id for row in stored), strict=True))
    expected = [found for _, found in rising]
    assert await walked(rows, by.asc()) == expected
    # The key breaks ties upwards in both directions.
    falling = sorted(stored, key=lambda row: getattr(row, name), reverse=True)
    assert await walked(rows, by.desc()) == [row.id for row in falling]


async def check_guards(rows: Repository[Any, int], name: str) -> None:
    """Change every row where it holds what it holds."""
    for row in await rows.get_all():
        guard = field(name) == getattr(row, name)
        assert await rows.update(row.id, {"n": 1}, when=guard) is not None


async def walked(rows: Repository[Any, int], order: Any) -> list[int]:
    page = await rows.paginate(order_by=order, size=2)
    seen = [row.id for row in page.items]
    while page.next_cursor is not None and len(seen) < 50:
        page = await rows.paginate(order_by=order, size=2, cursor=page.next_cursor)
        seen += [row.id for row in page.items]
    streamed = [row.id async for row in rows.stream(order_by=order, batch_size=2)]
    assert streamed == seen
    assert [row.id for row in await rows.find(ALL, order)] == seen
    return seen


@pytest.mark.parametrize("name", _KINDS)
async def test_a_value_of_any_column_finds_its_own_row(
    database: Database, name: str
) -> None:
    rows = await table_of(database, _CLASSES[name])
    for value in _KINDS[name][1]:
        await rows.create({"value": value})

    await check_found(rows, "value", ordered=name not in _UNORDERED)
    await check_guards(rows, "value")


@pytest.mark.parametrize("name", ["double", "money", "utc"])
async def test_a_column_that_keeps_all_of_a_value_is_not_read_again(
    database: Database, name: str
) -> None:
    rows = await table_of(database, _CLASSES[name])

    for value in _KINDS[name][1]:
        with statements(max=1):
            await rows.create({"value": value})


@pytest.mark.parametrize(
    "name", [c.key for c in Stamped.__table__.columns if c.key not in ("id", "n")]
)
async def test_a_value_that_the_server_has_made_finds_its_own_row(
    database: Database, name: str
) -> None:
    rows = await table_of(database, Stamped)
    for _ in range(5):
        await rows.create({"n": 0})
    own = getattr(await rows.get_by_id(1), name)
    await rows.create({name: own})  # the same value, sent by the driver
    await rows.create({name: own})

    await check_found(rows, name, ordered=True)
    await check_guards(rows, name)


def _insert(name: str) -> Any:
    """Return the statement of another program, which sends a value as it is."""
    table = f"read_back_{name}"
    return text(f"INSERT INTO {table} (value, n) VALUES (:v, 0)")  # noqa: S608 - a test's own


_WRITTEN = (
    "2026-03-01 12:00:05", "2026-03-01 12:00:05.000000", "2026-03-01T12:00:05",
    "2026-03-01T12:00:05.000", "2026-03-01 12:00:05.5", "2026-03-01T12:00:05.500000",
    "2026-03-01T12:00", "2026-03-01 23:59:59.999999", "2026-03-01", "2026-03-02",
    "2026-03-01 12:00:05.000000", "2026-03-01T12:00:05.0000004",
    "2026-03-02T01:00", "2026-03-02 05:00:00",
)  # fmt: skip
"""One moment and its neighbours, as other programs write them."""


_OFFSETS = (
    "2026-03-01 12:00:05+00:00", "2026-03-01 14:00:05+02:00", "2026-03-01 12:00:05",
    "2026-03-02T01:30:00.250000+05:30", "2026-03-01 20:00:00", "2026-03-01T20:00:00Z",
    "2026-03-01 23:30:00.000001-03:00", "2026-03-02 02:30:00.000001",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999",
)  # fmt: skip
"""Moments with the offset of a zone, which are another day's in UTC, and without."""


@pytest.mark.parametrize("name", ["moment", "aware", "utc", "zoned"])
async def test_a_moment_that_was_written_with_an_offset_is_found_and_in_order(
    sqlite: Database, name: str
) -> None:
    rows = await table_of(sqlite, _CLASSES[name])
    async with sqlite.engine.begin() as connection:
        for value in _OFFSETS:
            await connection.execute(_insert(name), {"v": value})

    first, second, third, *_ = await rows.get_all()
    assert first.value == second.value == third.value
    await check_found(rows, "value", ordered=True)
    await check_guards(rows, "value")


@pytest.mark.parametrize("name", ["moment", "aware", "utc", "zoned", "clock"])
async def test_a_time_that_another_program_wrote_is_found_and_in_order(
    sqlite: Database, name: str
) -> None:
    rows = await table_of(sqlite, _CLASSES[name])
    written = ["12:00:05", "12:00:05.000000", "12:00:05.5", "12:00:05.500", "12:00"]
    async with sqlite.engine.begin() as connection:
        for value in written if name == "clock" else _WRITTEN:
            await connection.execute(_insert(name), {"v": value})

    await check_found(rows, "value", ordered=True)


async def test_a_moment_in_utc_that_another_program_wrote_is_found(
    sqlite: Database,
) -> None:
    rows = await table_of(sqlite, _CLASSES["utc"])
    async with sqlite.engine.begin() as connection:
        for value in ("2026-03-01T12:00:05Z", "2026-03-01T12:00:05.000Z", _NOON):
            await connection.execute(_insert("utc"), {"v": str(value)})

    await check_found(rows, "value", ordered=True)


async def test_a_decimal_that_a_sum_made_longer_is_found(sqlite: Database) -> None:
    rows = await table_of(sqlite, _CLASSES["money"])
    async with sqlite.engine.begin() as connection:
        for value in (0.1 + 0.2, 0.3, 1.1 * 3, 3.3, -0.1 - 0.2, 0.2999):
            await connection.execute(_insert("money"), {"v": value})

    await check_found(rows, "value", ordered=True)


async def test_an_index_narrows_what_is_compared_as_a_time(sqlite: Database) -> None:
    await table_of(sqlite, _CLASSES["moment"])
    async with sqlite.engine.begin() as connection:
        await connection.execute(text("CREATE INDEX at ON read_back_moment (value)"))
    at, rows = field("value"), SQLRepository(sqlite, _CLASSES["moment"])

    for where in (at == _NOON, at >= _NOON, at < _NOON, at <= _NOON):
        found = rows.select().where(
            condition(where, {"value": Compared(rows.model_class.value, SQLITE)})
        )
        made = found.compile(
            sqlite.engine.sync_engine, compile_kwargs={"literal_binds": True}
        )
        async with sqlite.engine.connect() as connection:
            plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {made}"))
            assert "USING INDEX at" in str(plan.all())


async def test_a_key_that_another_program_wrote_is_found(sqlite: Database) -> None:
    class Own(DeclarativeBase): ...

    class Hour(Own):
        __tablename__ = "read_back_hours"
        at: Mapped[datetime] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(default=0)

    await table_of(sqlite, Hour)
    hours = Repository[Hour, datetime](sqlite, Hour)
    async with sqlite.engine.begin() as connection:
        written = text("INSERT INTO read_back_hours VALUES ('2026-03-01T12:00:05', 0)")
        await connection.execute(written)

    found = await hours.get_by_id(_NOON)

    assert found is not None
    assert await hours.exists(found.at)
    assert await hours.update(found.at, {"n": 1}) is not None
