"""Database and the homes of sessions: what they are made from, and what is refused."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import scoped_session, sessionmaker

from layerkit.core.errors import (
    AppException,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.repository import MemoryDatabase, Repository, home_of
from layerkit.sql import Database, SessionHome, SQLRepository
from layerkit.testing.contracts import Item
from tests.sql.conftest import make_tables
from tests.support.library import Author, Base
from tests.support.servers import free_port


async def test_a_database_is_made_from_an_engine_or_a_session_factory(
    sqlite: Database,
) -> None:
    factory = async_sessionmaker(sqlite.engine)

    for home in (Database(sqlite.engine), Database(factory), sqlite):
        await Repository[Author, int](home, Author).create({"name": f"{id(home)}"})

    assert await Repository[Author, int](sqlite, Author).count() == 3
    assert Database(factory).engine is sqlite.engine


async def test_a_database_of_the_callers_engine_leaves_it_open(
    sqlite: Database,
) -> None:
    async with Database(sqlite.engine):
        pass

    assert await Repository[Author, int](sqlite, Author).count() == 0


async def test_a_closed_database_serves_no_more() -> None:
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        authors = Repository[Author, int](database, Author)

    with pytest.raises(UsageError, match="closed"):
        await authors.count()
    with pytest.raises(UsageError, match="closed"):
        async with database.unit_of_work():
            pass
    with pytest.raises(UsageError, match="closed"):
        await database.ping()
    with pytest.raises(UsageError, match="closed"):
        await database.create_all(Base.metadata)


async def test_a_database_that_answers_can_be_pinged(database: Database) -> None:
    await database.ping()


async def test_create_all_keeps_tables_that_are_there(database: Database) -> None:
    authors = Repository[Author, int](database, Author)
    await authors.create({"name": "Ada"})

    await database.create_all(Base.metadata)

    assert await authors.count() == 1


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
async def test_a_server_that_is_down_is_unavailable(dialect: str) -> None:
    async with Database(f"{dialect}://u:s3cret@127.0.0.1:{free_port()}/d") as database:
        authors = Repository[Author, int](database, Author)

        for call in (database.ping(), database.create_all(Base.metadata)):
            with pytest.raises(
                UnavailableError, match=r"at 127.0.0.1:\d+/d"
            ) as refused:
                await call
            assert "s3cret" not in str(refused.value)
        with pytest.raises(UnavailableError, match="is it running") as refused:
            await authors.create({"name": "Ada"})
        assert refused.value.retryable


async def test_a_database_that_is_not_there_is_named(postgres_server: str) -> None:
    url = make_url(postgres_server).set(database="nowhere")
    async with Database(url) as database:
        with pytest.raises(UsageError, match="nowhere"):
            await database.ping()
        with pytest.raises(UsageError, match="nowhere does not exist"):
            await Repository[Author, int](database, Author).count()


async def test_a_file_in_a_folder_that_is_not_there_is_unavailable(
    tmp_path: Path,
) -> None:
    async with Database(f"sqlite:///{tmp_path}/nowhere/x.db") as database:
        before = set(threading.enumerate())
        with pytest.raises(UnavailableError, match=r"x\.db can't be opened"):
            await Repository[Author, int](database, Author).count()
        # aiosqlite does not wait for the thread of a connection that was not made.
        for thread in set(threading.enumerate()) - before:
            await asyncio.to_thread(thread.join)


async def test_a_connection_that_the_server_ends_is_unavailable(
    library_postgres_url: str,
) -> None:
    async with Database(library_postgres_url) as database:
        await make_tables(database.engine)
        authors = Repository[Author, int](database, Author)
        await authors.create({"name": "Ada", "rank": 1})

        async def end(pid: object) -> None:
            async with (
                Database(library_postgres_url) as other,
                other.engine.connect() as connection,
            ):
                await connection.execute(
                    text("SELECT pg_terminate_backend(:pid)"), {"pid": pid}
                )

        with pytest.raises(UnavailableError):
            async with database.unit_of_work():
                ada = await authors.get_by_id(1)
                session = database.session()
                pid = await session.scalar(text("SELECT pg_backend_pid()"))
                await end(pid)
                await authors.count()

        assert ada is not None
        assert ada.name == "Ada"
        assert await authors.count() == 1


async def test_a_lost_connection_ends_a_savepoint_with_a_typed_error(
    library_postgres_url: str,
) -> None:
    async with Database(library_postgres_url) as database:
        await make_tables(database.engine)
        authors = Repository[Author, int](database, Author)

        with pytest.raises(AppException):
            async with database.unit_of_work() as unit:
                await authors.create({"name": "Ada"})
                with pytest.raises(AppException):
                    async with unit.savepoint():
                        connection = await database.session().connection()
                        await connection.invalidate()
                        await authors.create({"name": "Bob"})
                async with unit.savepoint():
                    pass

        assert await authors.count() == 0


async def test_statements_that_deadlock_are_a_retryable_conflict(
    library_postgres_url: str,
) -> None:
    async with Database(library_postgres_url) as database:
        await make_tables(database.engine)
        authors = Repository[Author, int](database, Author)
        for name in ("Ada", "Bob"):
            await authors.create({"name": name})
        both = asyncio.Barrier(2)

        async def work(first: int, second: int) -> None:
            async with database.unit_of_work():
                await authors.update(first, {"rank": first})
                await both.wait()
                await authors.update(second, {"rank": first})

        results = await asyncio.gather(work(1, 2), work(2, 1), return_exceptions=True)

        (refused,) = (r for r in results if r is not None)
        assert isinstance(refused, AppException)
        assert (refused.detail, refused.retryable) == ({"kind": "deadlock"}, True)


async def test_a_statement_that_is_cancelled_by_the_server_timed_out(
    library_postgres_url: str,
) -> None:
    class Authors(SQLRepository[Author, int]):
        async def slowly(self) -> list[Author]:
            return await self.all(self.select().where(text("pg_sleep(5) IS NOT NULL")))

    async with Database(library_postgres_url) as database:
        await make_tables(database.engine)
        authors = Authors(database)
        await authors.create({"name": "Ada"})

        with pytest.raises(AppException) as refused:
            async with database.unit_of_work():
                await authors.db_session.execute(text("SET statement_timeout = 20"))
                await authors.slowly()

        assert refused.value.status_code == 504


# What is no home, or not this one


@pytest.mark.parametrize(
    "scoped",
    [
        async_scoped_session(async_sessionmaker(), scopefunc=lambda: 1),
        scoped_session(sessionmaker()),
    ],
    ids=["async", "sync"],
)
def test_a_registry_of_sessions_is_to_be_called(scoped: Any) -> None:
    for take in (
        Database,
        lambda source: Repository[Author, int](source, Author),
        lambda source: SQLRepository[Author, int](source, Author),
    ):
        with pytest.raises(UsageError, match=r"scoped_session .*call it"):
            take(scoped)


async def test_a_called_registry_is_a_session(sqlite: Database) -> None:
    scoped = async_scoped_session(
        async_sessionmaker(sqlite.engine), scopefunc=asyncio.current_task
    )
    authors = Repository[Author, int](scoped(), Author)

    await authors.create({"name": "Ada"})
    await scoped.commit()
    await scoped.remove()

    assert await Repository[Author, int](sqlite, Author).count() == 1


def test_a_repository_takes_no_engine() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")

    with pytest.raises(UsageError, match=r"Database\(engine\)"):
        Repository[Author, int](engine, Author)  # type: ignore[arg-type] # what is tested


@pytest.mark.parametrize("target", [None, 5, MemoryDatabase(), object()])
def test_a_database_is_made_from_nothing_else(target: Any) -> None:
    with pytest.raises(UsageError, match=f"got a {type(target).__name__}"):
        Database(target)


def test_another_object_of_sqlalchemy_is_no_home() -> None:
    with pytest.raises(UsageError, match="got a URL"):
        home_of(make_url("sqlite://"))


def test_an_sql_repository_needs_an_sql_home() -> None:
    with pytest.raises(UsageError, match="needs an SQL database, got a MemoryDatabase"):
        SQLRepository[Author, int](MemoryDatabase(), Author)  # type: ignore[arg-type] # what is tested


def test_what_is_not_mapped_has_no_table() -> None:
    with pytest.raises(UsageError, match="Item is not a mapped class"):
        Repository[Item, int](Database("sqlite://"), Item)
    with pytest.raises(UsageError, match="Item is not a mapped class"):
        SQLRepository[Item, int](Database("sqlite://"), Item)


async def test_a_factory_without_an_engine_says_so(sqlite: Database) -> None:
    unbound: async_sessionmaker[AsyncSession] = async_sessionmaker()

    with pytest.raises(UsageError, match="bound to no AsyncEngine"):
        _ = Database(unbound).engine
    async with sqlite.engine.connect() as connection:
        bound = async_sessionmaker(bind=connection)
        with pytest.raises(UsageError, match="bound to no AsyncEngine"):
            _ = Database(bound).engine


async def test_a_session_has_one_home_state(sqlite: Database) -> None:
    async with AsyncSession(sqlite.engine) as session:
        first, second = home_of(session), home_of(session)

        assert isinstance(first, SessionHome)
        assert first.transaction() is second.transaction()


async def test_a_database_has_a_session_inside_a_unit_only(sqlite: Database) -> None:
    with pytest.raises(UnitOfWorkError, match="outside a unit"):
        sqlite.session()
    async with sqlite.unit_of_work():
        assert await sqlite.session().scalar(text("SELECT 1")) == 1


async def test_units_of_two_databases_do_not_mix(
    sqlite: Database, tmp_path: Path
) -> None:
    async with Database(f"sqlite:///{tmp_path}/other.db") as other:
        await make_tables(other.engine)
        here, there = (Repository[Author, int](d, Author) for d in (sqlite, other))

        with pytest.raises(ZeroDivisionError):
            async with sqlite.unit_of_work():
                await here.create({"name": "Ada"})
                await there.create({"name": "Bob"})
                raise ZeroDivisionError

        assert (await here.count(), await there.count()) == (0, 1)


async def test_a_read_only_unit_on_a_session_refuses_to_write(sqlite: Database) -> None:
    async with AsyncSession(sqlite.engine) as session:
        authors = SQLRepository[Author, int](session, Author)
        async with authors.unit_of_work():
            ada = await authors.create({"name": "Ada"})
        with pytest.raises(UnitOfWorkError, match="read-only"):
            async with authors.unit_of_work(read_only=True):
                await authors.create({"name": "Bob"})
        with pytest.raises(UnitOfWorkError, match="read-only"):
            async with authors.unit_of_work(read_only=True):
                ada.rank = 5
        async with session.begin():
            session.add(Author(name="theirs"))
            async with authors.unit_of_work(read_only=True):
                assert await authors.count() == 2
        await authors.create({"name": "Eve"})
        await session.commit()

        assert [a.name for a in await authors.get_all()] == ["Ada", "theirs", "Eve"]
        assert ada.rank is None
