"""What a cancelled statement leaves behind: no lock, no connection, nothing stored."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from layerkit.repository import field
from layerkit.sql import Database
from layerkit.testing.contracts.units import cut_off
from layerkit.unit_of_work import UnitOfWork
from tests.sql.conftest import make_tables
from tests.support.authors import Authors, Sessions, names
from tests.support.library import Author, Base

pytestmark = pytest.mark.unmeasured

Round: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]


async def write_at_once(engine: AsyncEngine, name: str) -> None:
    """Write as another would who waits for no lock."""
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.rollback()
            await connection.exec_driver_sql("PRAGMA busy_timeout=0")
            await connection.rollback()
        await connection.execute(text(f"INSERT INTO authors (name) VALUES ('{name}')"))  # noqa: S608 - a name of our own
        await connection.commit()


async def check_every_wait(
    engine: AsyncEngine,
    work: Round,
    before: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Cancel *work* at each of its waits; each time others must be able to write."""
    for at in itertools.count(1):
        if before is not None:
            await before()
        was_cut_off = await cut_off(work(at), at)
        await write_at_once(engine, f"next{at}")
        assert isinstance(engine.pool, QueuePool)
        assert engine.pool.checkedout() == 0
        if not was_cut_off:
            break


async def test_a_cancelled_unit_of_a_database_lets_go_of_lock_and_connection(
    engine: AsyncEngine,
) -> None:
    database = Database(engine)
    authors = Authors(database)

    async def work(at: int) -> None:
        async with database.unit_of_work():
            await authors.create({"name": f"a{at}"})
            await authors.count()
            await database.session().execute(select(Author))
            async for _ in authors.stream(field("name") == f"a{at}", batch_size=1):
                await authors.create({"name": f"b{at}"})

    await check_every_wait(engine, work)


async def test_a_connection_that_is_cancelled_as_it_is_set_up_keeps_no_lock(
    tmp_path: Path,
) -> None:
    failures: list[BaseException] = []  # which refer to the statement that was cut off

    async def connect(database: Database) -> None:
        try:
            async with database.engine.connect():
                pass
        except BaseException as failure:
            failures.append(failure)
            raise

    for at in itertools.count(1):
        url = f"sqlite:///{tmp_path}/{at}.db"
        async with Database(url) as one, Database(url, busy_timeout_seconds=1) as other:
            was_cut_off = await cut_off(connect(one), at)
            await other.create_all(Base.metadata)
            await write_at_once(other.engine, "Ada")
            assert await names(other.engine) == ["Ada"]
        if not was_cut_off:
            break

    assert len(failures) > 3


async def test_a_cancelled_unit_of_a_session_lets_go_of_lock_and_connection(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async def work(at: int) -> None:
        async with sessions() as session:
            authors = Authors(session)
            async with authors.unit_of_work() as unit:
                await authors.create({"name": f"a{at}"})
                async with unit.savepoint():
                    await authors.count()

    await check_every_wait(engine, work)


async def test_a_cancelled_transaction_of_the_callers_lets_go_of_lock_and_connection(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with Authors(sessions).unit_of_work():
        await Authors(sessions).count()  # so that the engine is known

    async def work(at: int) -> None:
        async with sessions() as session, session.begin():
            await Authors(session).create({"name": f"a{at}"})
            await session.scalars(select(Author))

    await check_every_wait(engine, work)


async def test_a_cancelled_run_lets_go_of_lock_and_connection(
    engine: AsyncEngine,
) -> None:
    database = Database(engine)
    authors = Authors(database)

    async def write(at: int) -> None:
        await authors.create({"name": f"a{at}"})
        await authors.count()

    async def work(at: int) -> None:
        async def once(_: UnitOfWork) -> None:
            await write(at)

        await database.run(once)

    await check_every_wait(engine, work)


async def test_a_cancelled_connection_attempt_leaves_nothing_open(
    engine: AsyncEngine,
) -> None:
    authors = Authors(Database(engine))

    async def work(at: int) -> None:
        await authors.create({"name": f"a{at}"})

    await check_every_wait(engine, work, before=engine.dispose)


async def test_a_cancelled_read_does_not_take_a_memory_of_sqlite_along() -> None:
    async with Database("sqlite://") as database:
        await make_tables(database.engine)
        await cut_off(database.ping(), 1)  # before any unit, too
        authors = Authors(database)
        await authors.create({"name": "Ada"})

        for at in itertools.count(1):
            if not await cut_off(authors.get_all(), at):
                break

        assert [author.name for author in await authors.get_all()] == ["Ada"]


async def test_a_time_out_in_a_savepoint_leaves_the_rest_of_the_unit(
    sqlite: Database,
) -> None:
    authors = Authors(sqlite)
    endless = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) "
        "SELECT count(*) FROM n"
    )
    async with sqlite.unit_of_work() as unit:
        await authors.create({"name": "kept"})
        with pytest.raises(TimeoutError):
            async with unit.savepoint():
                await authors.create({"name": "lost"})
                async with asyncio.timeout(0):
                    await sqlite.session().execute(endless)

    assert await names(sqlite.engine) == ["kept"]
