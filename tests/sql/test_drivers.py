"""Every supported driver: what it raises, and what that is translated to.

The tables are the drivers' own business, so they are made by SQL and asked by SQL.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    ConflictError,
    TimeoutExceededError,
    UnavailableError,
    UsageError,
    ValidationError,
)
from layerkit.sql import Database
from layerkit.sql.dialects import SERVERS, binds_to_loop, check_driver, server_of
from layerkit.sql.errors import DRIVER_ERRORS, translate
from tests.support.authors import Authors

ASYNCHRONOUS = ("asyncpg", "psycopg", "aiosqlite", "asyncmy", "aiomysql")
SYNCHRONOUS = ("pysqlite", "psycopg", "psycopg2", "pymysql")
SERVER_OF = {
    "postgresql": ("asyncpg", "psycopg", "psycopg2"),
    "mysql": ("asyncmy", "aiomysql", "pymysql"),
    "sqlite": ("aiosqlite", "pysqlite"),
}
NOBODY = "127.0.0.1:1"

TABLES = (
    "DROP TABLE IF EXISTS parts",
    "DROP TABLE IF EXISTS wholes",
    "CREATE TABLE wholes (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE, "
    "size INTEGER, CONSTRAINT size_positive CHECK (size > 0))",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, whole INTEGER NOT NULL, "
    "CONSTRAINT part_of FOREIGN KEY (whole) REFERENCES wholes (id))",
    "INSERT INTO wholes (id, name, size) VALUES (1, 'a', 1), (2, 'b', 1)",
)

Run = Callable[[str], Awaitable[Exception]]
"""Runs one statement in a transaction, and returns its error, translated."""


def server_with(driver: str) -> str:
    return next(server for server, drivers in SERVER_OF.items() if driver in drivers)


def address_of(request: pytest.FixtureRequest, driver: str, file: Path) -> str:
    """Return the address of a database for *driver*; its tables may be anybody's."""
    server = server_with(driver)
    if server == "sqlite":
        return f"sqlite+{driver}:///{file}"
    fixture = {"postgresql": "postgres", "mysql": "mysql"}[server]
    url = make_url(request.getfixturevalue(f"library_{fixture}_url"))
    named = url.set(drivername=f"{server}+{driver}")
    return named.render_as_string(hide_password=False)


def prepare(connection: Connection) -> None:
    for statement in TABLES:
        connection.execute(text(statement))


@pytest.fixture(params=ASYNCHRONOUS)
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[AsyncEngine]:
    """An engine with an asynchronous driver, as Database sets it up."""
    address = address_of(request, request.param, tmp_path / "drivers.db")
    async with Database(address, busy_timeout_seconds=0.1) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(prepare)
        yield database.engine


@pytest.fixture(params=[*(f"async {n}" for n in ASYNCHRONOUS), *SYNCHRONOUS])
async def run(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Run]:
    """Runs statements by one of the drivers, with or without a loop."""
    kind, _, name = request.param.rpartition(" ")
    address = address_of(request, name, tmp_path / "drivers.db")
    if kind == "async":
        engine = Database(address).engine

        async def run(statement: str) -> Exception:
            async with engine.connect() as connection:
                return await _failure(connection.execute(text(statement)))

        async with engine.begin() as connection:
            await connection.run_sync(prepare)
        yield run
        await engine.dispose()
        return

    blocking = create_engine(address)

    async def run_blocking(statement: str) -> Exception:
        with blocking.connect() as connection:
            if blocking.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys=ON")
            try:
                connection.execute(text(statement))
            except (SQLAlchemyError, *DRIVER_ERRORS) as error:
                return translate(error)
        raise AssertionError("nothing was raised")

    with blocking.begin() as opened:
        prepare(opened)
    yield run_blocking
    blocking.dispose()


async def _failure(work: Awaitable[object]) -> AppException:
    try:
        await work
    except (SQLAlchemyError, *DRIVER_ERRORS) as error:
        return translate(error)
    raise AssertionError("nothing was raised")


# What the database refuses


async def test_a_taken_value_is_named(run: Run) -> None:
    error = await run("INSERT INTO wholes (id, name) VALUES (3, 'a')")

    assert isinstance(error, AlreadyExistsError)
    assert error.constraint or error.fields


async def test_a_missing_reference_is_a_conflict(run: Run) -> None:
    error = await run("INSERT INTO parts (id, whole) VALUES (1, 99)")

    assert isinstance(error, ConflictError)
    assert error.kind == "foreign_key"


async def test_a_null_is_named_by_its_column(run: Run) -> None:
    error = await run("INSERT INTO wholes (id, name) VALUES (3, NULL)")

    assert isinstance(error, ValidationError)
    assert "name must not be null" in str(error)


async def test_a_broken_check_is_named(run: Run) -> None:
    error = await run("INSERT INTO wholes (id, name, size) VALUES (3, 'c', 0)")

    assert isinstance(error, ValidationError)
    assert "size_positive" in str(error)


async def test_a_table_that_is_missing_is_a_mistake_in_code(run: Run) -> None:
    error = await run("SELECT * FROM nothing_of_that_name")

    assert isinstance(error, UsageError)
    assert "create_all" in str(error)


# Where it can't be reached


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "asyncmy", "aiomysql"])
async def test_a_server_that_is_down_is_unavailable(driver: str) -> None:
    address = f"{server_with(driver)}+{driver}://u:s3cret@{NOBODY}/shop"
    async with Database(address) as database:
        for use in (database.ping, Authors(database).count):
            with pytest.raises(UnavailableError, match="can't be reached") as refused:
                await use()

            assert (refused.value.kind, refused.value.retryable) == (
                "unreachable",
                True,
            )
            assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pymysql"])
def test_a_server_that_is_down_is_unavailable_to_blocking_drivers(driver: str) -> None:
    engine = create_engine(f"{server_with(driver)}+{driver}://u:s3cret@{NOBODY}/shop")

    with pytest.raises(SQLAlchemyError) as refused:
        engine.connect()

    translated = translate(refused.value, url=engine.url)
    assert isinstance(translated, UnavailableError)
    assert "can't be reached" in str(translated)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "asyncmy", "aiomysql"])
async def test_a_user_who_is_not_let_in_makes_it_unavailable(
    request: pytest.FixtureRequest, tmp_path: Path, driver: str
) -> None:
    address = make_url(address_of(request, driver, tmp_path))
    stranger = address.set(username="nobody_at_all", password="s3cret")
    async with Database(stranger) as database:
        with pytest.raises(UnavailableError, match="let this user in") as refused:
            await database.ping()

        assert "s3cret" not in str(refused.value)


# What else goes wrong on a server


async def test_a_nul_character_that_does_not_fit_is_bad_data(
    engine: AsyncEngine,
) -> None:
    insert = text("INSERT INTO wholes (id, name) VALUES (3, :name)")
    async with engine.connect() as connection:
        if engine.dialect.name != "postgresql":
            await connection.execute(insert, {"name": "\0"})  # it is a character there
            return
        error = await _failure(connection.execute(insert, {"name": "\0"}))

    assert isinstance(error, ValidationError)


async def test_a_deadlock_is_retryable(engine: AsyncEngine) -> None:
    if engine.dialect.name == "sqlite":
        return  # it has one writer

    async def change(first: int, second: int, met: asyncio.Barrier) -> Exception | None:
        statement = text("UPDATE wholes SET size = 2 WHERE id = :id")
        async with engine.connect() as connection:
            try:
                await connection.execute(statement, {"id": first})
                await met.wait()
                await connection.execute(statement, {"id": second})
            except SQLAlchemyError as error:
                return translate(error)
        return None

    met = asyncio.Barrier(2)
    found = await asyncio.gather(change(1, 2, met), change(2, 1, met))
    errors = [error for error in found if error is not None]

    assert [type(error) for error in errors] == [ConflictError]
    assert [getattr(error, "kind", None) for error in errors] == ["deadlock"]


async def test_a_lock_that_is_not_had_in_time_is_unavailable(
    engine: AsyncEngine,
) -> None:
    waits = {
        "postgresql": "SET lock_timeout = '10ms'",
        "mysql": "SET innodb_lock_wait_timeout = 1",
        "sqlite": "PRAGMA busy_timeout=1",
    }
    statement = text("UPDATE wholes SET size = 2 WHERE id = 1")
    async with engine.connect() as holder, engine.connect() as waiter:
        await waiter.exec_driver_sql(waits[engine.dialect.name])
        await holder.execute(statement)
        error = await _failure(waiter.execute(statement))

    assert isinstance(error, UnavailableError)
    assert (error.kind, error.retryable) == ("lock_timeout", True)


async def test_a_statement_that_takes_too_long_is_reported(engine: AsyncEngine) -> None:
    slow = {
        "postgresql": ("SET statement_timeout = '10ms'", "SELECT pg_sleep(30)"),
        "mysql": ("SET max_statement_time = 0.01", "SELECT SLEEP(30)"),
    }
    if engine.dialect.name == "sqlite":
        return  # it has no such time-out
    limit, statement = slow[engine.dialect.name]
    async with engine.connect() as connection:
        await connection.exec_driver_sql(limit)
        error = await _failure(connection.execute(text(statement)))

    assert isinstance(error, TimeoutExceededError)


async def test_a_connection_that_the_server_ends_is_reported(
    engine: AsyncEngine,
) -> None:
    own = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "mysql": ("SELECT CONNECTION_ID()", "KILL {}"),
    }
    if engine.dialect.name == "sqlite":
        return  # it has no server
    which, end = own[engine.dialect.name]
    async with engine.connect() as victim, engine.connect() as other:
        number = (await victim.execute(text(which))).scalar_one()
        await other.execute(text(end.format(number)))
        error = await _failure(victim.execute(text("SELECT 1")))

    assert isinstance(error, UnavailableError)
    assert (error.kind, error.retryable) == ("disconnected", True)


# What nobody has tested


def test_every_driver_here_is_one_of_the_records() -> None:
    known = {name for server in SERVERS for name in server.drivers}

    assert known == {
        *ASYNCHRONOUS,
        *SYNCHRONOUS,
        "mysqldb",
    }  # that one needs a compiler


async def test_a_driver_that_nobody_tested_is_refused_at_first_use(
    tmp_path: Path,
) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
    database = Database(engine)
    engine.dialect.driver = "untested"

    for use in (lambda: Database(engine), Authors(database).count):
        with pytest.raises(UsageError, match=r"untested is not .* asyncpg, psycopg"):
            found = use()
            assert isinstance(found, Awaitable)
            await found

    await engine.dispose()


def test_a_server_that_nobody_tested_binds_to_nothing_and_is_refused() -> None:
    dialect = type(create_engine("sqlite://").dialect)()
    dialect.name, dialect.driver = "mssql", "pymssql"

    assert not binds_to_loop(dialect)
    with pytest.raises(UsageError, match=r"sqlite: aiosqlite.* mariadb: asyncmy"):
        server_of(dialect)
    with pytest.raises(UsageError, match=r"mssql\+pymssql is not supported"):
        check_driver(dialect)
