"""Engines: addresses, drivers, and SQLite set up to be used by many."""

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from layerkit.core.errors import MissingExtraError, UnavailableError, UsageError
from layerkit.repository import Repository
from layerkit.sql import Database
from tests.support.library import Author, Base

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("address", "driver"),
    [
        ("sqlite://", "sqlite+aiosqlite"),
        ("sqlite:///app.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///app.db", "sqlite+aiosqlite"),
        ("postgresql://u@h/d", "postgresql+asyncpg"),
        ("postgres://u@h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg"),
        ("mysql://u@h/d", "mysql+asyncmy"),
        ("mariadb://u@h/d", "mariadb+asyncmy"),
        ("mariadb+asyncmy://u@h/d", "mariadb+asyncmy"),
    ],
)
def test_an_address_gets_its_asynchronous_driver(address: str, driver: str) -> None:
    assert Database(address).engine.url.drivername == driver
    assert Database(make_url(address)).engine.url.drivername == driver


@pytest.mark.parametrize(
    "address",
    [
        "",
        f"nonsense {SECRET}",
        f"postgresql://u:p@host:{SECRET}/db",
        f"nosuch://u:{SECRET}@host/db",
        f"postgresql+nosuch://u:{SECRET}@host/db",
    ],
)
def test_a_bad_address_is_refused_and_never_shown(address: str) -> None:
    with pytest.raises(UsageError) as refused:
        Database(address)

    error: BaseException | None = refused.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__


def test_an_unknown_kind_of_database_is_refused_with_how_addresses_begin() -> None:
    with pytest.raises(UsageError, match=r"driver 'memory': .* begins with sqlite://"):
        Database("memory://")


@pytest.mark.parametrize("name", ["pool_size", "max_overflow"])
def test_a_pool_is_sized_by_a_number(name: str) -> None:
    sizes: Any = {name: "a"}

    with pytest.raises(UsageError, match=f"{name} is a number"):
        Database("sqlite:///app.db", **sizes)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"sqlite+pysqlite:///{SECRET}.db", "synchronous"),
        ("sqlite+pysqlite://", "synchronous"),
        (f"postgresql+psycopg2://u:{SECRET}@host/db", "psycopg2. is synchronous"),
        (f"mssql+aioodbc://u:{SECRET}@host/db", r"mssql\+aioodbc is not supported"),
        (f"postgresql+pg8000://u:{SECRET}@host/db", "pg8000 is not supported"),
    ],
)
def test_another_driver_is_refused_with_ours(address: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"{reason}.*asyncpg") as refused:
        Database(address)

    assert SECRET not in str(refused.value)


def test_a_driver_without_an_extra_is_named_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aiomysql", None)

    with pytest.raises(UsageError, match=r"not installed .aiomysql.*asyncpg"):
        Database("mysql+aiomysql://u@host/db")


@pytest.mark.parametrize(
    ("address", "driver"),
    [
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
        ("postgres+psycopg://u@h/d", "postgresql+psycopg"),
        ("mysql+aiomysql://u@h/d", "mysql+aiomysql"),
    ],
)
def test_an_address_keeps_the_driver_that_it_names(address: str, driver: str) -> None:
    assert Database(address).engine.url.drivername == driver


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [
        ("sqlite://", "aiosqlite", "sql"),
        ("postgresql://u@h/d", "asyncpg", "postgres"),
        ("postgresql+asyncpg://u@h/d", "asyncpg", "postgres"),
        ("mysql://u@h/d", "asyncmy", "mysql"),
    ],
)
def test_a_driver_that_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, address: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtraError, match=rf"layerkit\[{extra}\]") as refused:
        Database(address)

    assert refused.value.name == module


def test_an_address_that_the_dialect_refuses_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"Invalid SQLite URL$") as refused:
        Database(f"sqlite://{SECRET}/app.db")

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("mode", ["disable", "require"])
def test_libpqs_sslmode_is_asyncpgs_ssl(mode: str) -> None:
    query = Database(f"postgres://u@h/d?sslmode={mode}&timeout=5").engine.url.query

    assert query == {"ssl": mode, "timeout": "5"}


async def test_an_address_for_libpq_is_connected_to(postgres_server: str) -> None:
    address = f"{postgres_server}?sslmode=disable&application_name=shop"

    async with Database(address) as opened, opened.engine.connect() as connection:
        name = await connection.scalar(text("SHOW application_name"))

    assert name == "shop"


def test_what_asyncpg_has_no_word_for_is_refused_by_its_name() -> None:
    with pytest.raises(UsageError, match="no channel_binding, sslkey in") as refused:
        Database(f"postgres://u@h/d?sslkey={SECRET}&channel_binding={SECRET}")

    assert SECRET not in str(refused.value)


# SQLite


async def value_of(engine: AsyncEngine, pragma: str) -> object:
    async with engine.connect() as connection:
        return await connection.scalar(text(f"PRAGMA {pragma}"))


async def test_sqlite_checks_references_and_lets_readers_beside_a_writer(
    tmp_path: Path,
) -> None:
    async with Database(f"sqlite:///{tmp_path}/x.db", busy_timeout_seconds=2) as opened:
        assert await value_of(opened.engine, "foreign_keys") == 1
        assert await value_of(opened.engine, "journal_mode") == "wal"
        assert await value_of(opened.engine, "busy_timeout") == 2000


async def test_the_switch_of_a_file_to_wal_waits_for_who_writes_to_it(
    tmp_path: Path,
) -> None:
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(0.1, other.rollback)

    async with Database(f"sqlite:///{tmp_path}/x.db", busy_timeout_seconds=30) as ours:
        assert await value_of(ours.engine, "journal_mode") == "wal"

    other.close()


async def test_a_file_whose_journal_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db-wal").mkdir()

    async with Database(f"sqlite:///{tmp_path}/x.db") as opened:
        with pytest.raises(UnavailableError, match="out of reach"):
            await Repository[Author, int](opened, Author).count()


async def test_a_unit_that_may_write_begins_immediate_and_one_that_reads_deferred() -> (
    None
):
    begun: list[str] = []

    def note(statement: str) -> None:
        if statement.startswith("BEGIN"):
            begun.append(statement)

    async def begins(*, read_only: bool) -> list[str]:
        begun.clear()
        async with memory.unit_of_work(read_only=read_only) as unit:
            await authors.count()
            async with unit.savepoint():
                await authors.count()
        return [*begun]

    async with Database("sqlite://") as memory:  # one connection, which is listened to
        await memory.create_all(Base.metadata)
        authors = Repository[Author, int](memory, Author)
        async with memory.engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.set_trace_callback(note)

        assert await begins(read_only=False) == ["BEGIN IMMEDIATE"]
        assert await begins(read_only=True) == ["BEGIN DEFERRED"]
        begun.clear()
        await authors.create({"name": "Ada"})
        await authors.count()
        await authors.update(1, {"rank": 1})
        await authors.exists(1)
        assert begun == []
        await authors.create_many([{"name": "Bob"}, {"name": "Cy"}])
        await authors.paginate(size=1, total="exact")
        assert begun == ["BEGIN IMMEDIATE", "BEGIN DEFERRED"]


@pytest.mark.parametrize(
    "address",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:shared?mode=memory&cache=shared&uri=true",
        "sqlite:///file::memory:?uri=true",
    ],
)
async def test_a_database_in_memory_is_one_for_all_units(address: str) -> None:
    async with Database(address, busy_timeout_seconds=30) as opened:
        await opened.create_all(Base.metadata)
        authors = Repository[Author, int](opened, Author)

        await asyncio.gather(*(authors.create({"name": f"{n}"}) for n in range(5)))

        assert await authors.count() == 5
        async with opened.engine.connect(), authors.unit_of_work(read_only=True):
            pass


async def test_a_unit_that_waits_too_long_for_memory_is_unavailable() -> None:
    async with Database("sqlite://", busy_timeout_seconds=0.01) as opened:
        await opened.create_all(Base.metadata)
        authors = Repository[Author, int](opened, Author)

        async with opened.engine.connect():
            with pytest.raises(UnavailableError, match="connections") as refused:
                await authors.count()

    assert refused.value.retryable


async def test_a_file_is_opened_by_several_at_once(tmp_path: Path) -> None:
    address = f"sqlite:///file:{tmp_path}/x.db?mode=rwc&uri=true"
    async with Database(address, busy_timeout_seconds=0.05) as opened:
        await opened.create_all(Base.metadata)
        authors = Repository[Author, int](opened, Author)

        async with opened.engine.connect():
            assert await authors.count() == 0


@pytest.mark.defect("R7")
async def test_a_locked_file_is_unavailable_and_retryable(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/x.db"
    async with Database(address, busy_timeout_seconds=0.01) as opened:
        await opened.create_all(Base.metadata)
        authors = Repository[Author, int](opened, Author)
        other = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
        bare = create_async_engine(other.url, connect_args={"timeout": 0})
        theirs = Repository[Author, int](Database(bare), Author)

        async with other.connect() as connection:
            await connection.execute(text("INSERT INTO authors (name) VALUES ('x')"))
            for repository in (authors, theirs):
                with pytest.raises(UnavailableError, match="locked") as refused:
                    await repository.create({"name": "Ada"})
                assert refused.value.retryable
            assert await authors.count() == 0
        await authors.create({"name": "Ada"})
        await other.dispose()
        await bare.dispose()


async def test_units_that_read_and_then_write_wait_for_each_other(
    sqlite: Database,
) -> None:
    authors = Repository[Author, int](sqlite, Author)
    await authors.create({"name": "Ada", "rank": 0})

    async def raise_rank() -> None:
        async with sqlite.unit_of_work():
            ada = await authors.get_by_id(1)
            assert ada is not None
            await authors.update(1, {"rank": (ada.rank or 0) + 1})

    await asyncio.gather(*(raise_rank() for _ in range(5)))

    ada = await authors.get_by_id(1)
    assert ada is not None
    assert ada.rank == 5


async def test_an_engine_of_the_users_is_left_as_it_is(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    database = Database(engine)
    await database.create_all(Base.metadata)

    assert await value_of(engine, "foreign_keys") == 0
    await database.close()
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()


async def test_mariadb_refuses_what_does_not_fit_however_lax_it_is(
    mysql_url: str,
) -> None:
    lax = {"init_command": "SET SESSION sql_mode = ''"}

    async with (
        Database(mysql_url) as database,
        Database(make_url(mysql_url).update_query_dict(lax)) as own,
    ):
        modes = []
        for opened in (database, own):
            async with opened.engine.connect() as connection:
                modes.append(await connection.scalar(text("SELECT @@sql_mode")))

    assert "STRICT_ALL_TABLES" in modes[0]
    assert modes[1] == ""


async def test_a_unit_that_waits_too_long_to_begin_is_to_be_tried_again(
    tmp_path: Path,
) -> None:
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    async with Database(
        f"sqlite:///{tmp_path}/x.db", busy_timeout_seconds=0.05
    ) as opened:
        await opened.create_all(Base.metadata)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError) as refused:
            async with opened.unit_of_work():
                await Repository[Author, int](opened, Author).count()
        other.rollback()

        assert refused.value.retryable
        async with opened.unit_of_work():
            assert await Repository[Author, int](opened, Author).count() == 0
    other.close()


@pytest.mark.parametrize(
    ("given", "kept", "added"),
    [({}, 15, 0), ({"pool_size": 3}, 3, 10), ({"max_overflow": 2}, 5, 2)],
)
async def test_a_pool_keeps_what_it_opens_unless_it_is_given_a_size(
    given: dict[str, Any], kept: int, added: int
) -> None:
    async with Database("postgresql://nobody@localhost/nothing", **given) as database:
        pool: Any = database.engine.pool

        assert (pool.size(), pool._max_overflow) == (kept, added)
