"""Stored values that a column's type, or the driver, can't read: nobody's bad data."""

import enum
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

import pytest
from sqlalchemy import (
    JSON,
    DateTime,
    Enum,
    Numeric,
    String,
    TypeDecorator,
    create_engine,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository import ALL, Repository, field
from layerkit.sql import Database, SQLRepository, UTCDateTime
from layerkit.sync import run


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Color(enum.Enum):
    """Have had another member before."""

    red = 1
    blue = 2


class Raw(TypeDecorator[str]):
    """Leave every check to the driver."""

    impl = String(20)
    cache_ok = True


class Row(Base):
    """Have what other programs can spoil."""

    __tablename__ = "unreadable_rows"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    color: Mapped[Color | None] = mapped_column(
        Enum(Color, native_enum=False, length=20)
    )
    day: Mapped[date | None]
    at: Mapped[datetime | None] = mapped_column(DateTime)
    moment: Mapped[datetime | None] = mapped_column(UTCDateTime)
    number: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    doc: Mapped[Any | None] = mapped_column(JSON)
    raw: Mapped[str | None] = mapped_column(Raw)


Rows: TypeAlias = SQLRepository[Row, int]

READS: dict[str, Callable[[Rows], Awaitable[object]]] = {
    "get_by_id": lambda rows: rows.get_by_id(1),
    "get_many": lambda rows: rows.get_many([1]),
    "find": lambda rows: rows.find(ALL),
    "paginate": lambda rows: rows.paginate(),
    "update": lambda rows: rows.update(1, {"n": 1}),
}
SPOILED = {
    "sqlite": {"color": "green", "day": "someday", "at": "then", "doc": "{"},
    "postgresql": {"color": "green", "day": "20000-01-01", "at": "20000-01-01"},
    "mysql": {"color": "green", "moment": "0000-00-00"},
}
CASES = [
    (s, name, value) for s, held in SPOILED.items() for name, value in held.items()
]


async def make_table(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)


async def spoil(database: Database, name: str, *values: str) -> None:
    """Write rows as another program does it."""
    async with database.engine.begin() as connection:
        if connection.dialect.name == "mysql":
            await connection.execute(text("SET sql_mode = ''"))
        for at, value in enumerate(values, 1):
            await connection.execute(
                text(
                    f"INSERT INTO unreadable_rows (id, n, {name})"  # noqa: S608 - of this file
                    f" VALUES ({at}, 0, '{value}')"
                )
            )


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("server", "name", "value"), CASES)
async def test_a_value_that_no_type_reads_is_reported_as_the_servers_trouble(
    request: pytest.FixtureRequest, server: str, name: str, value: str, read: str
) -> None:
    url = "sqlite://"
    if server != "sqlite":
        short = {"postgresql": "postgres"}.get(server, server)
        url = request.getfixturevalue(f"library_{short}_url")
    async with Database(url) as database:
        await make_table(database)
        await spoil(database, name, value)
        rows = SQLRepository[Row, int](database, Row)

        with pytest.raises(UsageError) as failure:
            await READS[read](rows)

        error = failure.value
        assert type(error) is UsageError
        assert "a stored value of a Row, or of what is read along" in str(error)
        assert value not in str(error)
        assert error.to_dict()["error"] == "Internal server error"
        assert await rows.update_where(field("id") == 1, {name: None}) == 1
        assert (await rows.find(ALL))[0].n == 0


@pytest.fixture(params=["psycopg", "psycopg2"])
def blocking(
    request: pytest.FixtureRequest, library_postgres_url: str
) -> Iterator[Rows]:
    """A repository on a driver that blocks, with one row of a year that none has."""
    _, _, place = library_postgres_url.partition("://")
    engine = create_engine(f"postgresql+{request.param}://{place}")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        insert = "INSERT INTO unreadable_rows (id, n, at) VALUES (1, 0, '20000-01-01')"
        connection.execute(text(insert))
    yield SQLRepository[Row, int](sessionmaker(engine), Row)
    engine.dispose()


@pytest.mark.parametrize("read", READS)
def test_a_driver_that_reads_no_such_year_says_so(blocking: Rows, read: str) -> None:
    with pytest.raises(UsageError, match="a stored value of a Row"):
        run(READS[read](blocking))


async def test_psycopg_reads_no_such_year_either(library_postgres_url: str) -> None:
    _, _, place = library_postgres_url.partition("://")
    async with Database(f"postgresql+psycopg://{place}") as database:
        await make_table(database)
        await spoil(database, "at", "20000-01-01")
        rows = SQLRepository[Row, int](database, Row)

        for read in READS.values():
            with pytest.raises(UsageError, match="a stored value of a Row"):
                await read(rows)
        with pytest.raises(ValidationError):  # which is about what is sent
            await rows.update_where(ALL, {"raw": "a\0b"})


async def test_numbers_that_are_none_are_reported_where_they_have_no_order(
    library_postgres_url: str,
) -> None:
    async with Database(library_postgres_url) as database:
        await make_table(database)
        await spoil(database, "number", "1", "NaN", "2")
        rows = Repository[Row, int](database, Row)
        falling = [field("number").desc()]

        assert len(await rows.find(ALL)) == 3
        with pytest.raises(UsageError, match="a stored value of a Row"):
            await rows.aggregate(by="number")
        first = await rows.paginate(order_by=falling, size=1)
        with pytest.raises(UsageError, match="a stored value of a Row"):
            await rows.paginate(order_by=falling, size=1, cursor=first.next_cursor)


async def test_what_a_listener_raises_while_rows_are_read_stays_its_own() -> None:
    def refuse(target: object, context: object) -> None:  # noqa: ARG001 - SQLAlchemy's
        raise ValueError("not in my house")

    async with Database("sqlite://") as database:
        await make_table(database)
        rows = Repository[Row, int](database, Row)
        await rows.create_many([{"n": 1}])
        event.listen(Row, "load", refuse)

        try:
            with pytest.raises(ValueError, match="not in my house"):
                await rows.find(ALL)
        finally:
            event.remove(Row, "load", refuse)
