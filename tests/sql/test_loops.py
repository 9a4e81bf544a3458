"""One home, two event loops: what works, and what says how it would."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from layerkit.core.errors import UsageError
from layerkit.sql import Database
from tests.sql.conftest import make_tables
from tests.support.authors import Authors
from tests.support.library import Author


def in_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run *work* in an event loop of its own."""
    return asyncio.run(work)


@pytest.fixture(params=["postgresql", "mariadb"])
def address(request: pytest.FixtureRequest) -> str:
    """A server whose driver binds its connections to a loop."""
    server = {"postgresql": "postgres", "mariadb": "mysql"}[request.param]
    found: str = request.getfixturevalue(f"library_{server}_url")
    return found


@pytest.mark.parametrize("verb", ["unit", "ping", "create_all"])
def test_a_home_with_connections_of_another_loop_says_so(
    address: str, verb: str
) -> None:
    engine = create_async_engine(address)
    database = Database(engine)

    async def first() -> None:
        await make_tables(engine)
        await Authors(database).count()

    async def second() -> None:
        with pytest.raises(UsageError, match="one home for each loop"):
            match verb:
                case "unit":
                    await Authors(database).count()
                case "ping":
                    await database.ping()
                case _:
                    await database.create_all(Author.metadata)

    with asyncio.Runner() as runner:
        runner.run(first())
        in_a_loop(second())
        runner.run(engine.dispose())


def test_a_home_whose_loop_is_gone_says_so(address: str) -> None:
    engine = create_async_engine(address)
    database = Database(engine)
    runner = asyncio.Runner()
    runner.run(make_tables(engine))
    runner.run(Authors(database).count())

    async def second() -> None:
        with pytest.raises(UsageError, match="loop_scope"):
            await Authors(database).count()

    in_a_loop(second())
    runner.run(engine.dispose())
    runner.close()


def test_a_home_whose_connections_are_closed_goes_on_in_another_loop(
    address: str,
) -> None:
    engine = create_async_engine(address)
    database = Database(engine)

    async def run() -> int:
        await make_tables(engine)
        await Authors(database).create({"name": "Ada"})
        found = await Authors(database).count()
        await engine.dispose()
        return found

    assert [in_a_loop(run()), in_a_loop(run())] == [1, 1]


def test_a_home_that_keeps_no_connections_works_in_any_loop(address: str) -> None:
    engine = create_async_engine(address, poolclass=NullPool)
    database = Database(engine)

    async def run() -> int:
        await make_tables(engine)
        return await Authors(database).count()

    assert [in_a_loop(run()), in_a_loop(run())] == [0, 0]


def test_a_home_on_sqlite_works_in_any_loop(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
    database = Database(engine)

    async def run(name: str) -> int:
        if name == "Ada":
            await make_tables(engine)
        async with database.unit_of_work():
            await Authors(database).create({"name": name})
        return await Authors(database).count()

    assert [in_a_loop(run("Ada")), in_a_loop(run("Bob"))] == [1, 2]
    in_a_loop(engine.dispose())


def test_a_home_on_several_engines_is_not_judged(address: str) -> None:
    engine = create_async_engine(address, poolclass=NullPool)
    binds = {Author: engine}
    database = Database(async_sessionmaker(binds=binds))

    async def run() -> int:
        await make_tables(engine)
        return await Authors(database).count()

    assert [in_a_loop(run()), in_a_loop(run())] == [0, 0]


def test_what_is_driven_by_hand_is_not_judged_by_its_loop(address: str) -> None:
    unit = Database(address).unit_of_work()

    with pytest.raises((RuntimeError, UsageError)) as refused:
        unit.__aenter__().send(None)

    assert "one home for each loop" not in str(refused.value)


@pytest.mark.parametrize("use", ["verb", "unit"])
def test_a_session_on_connections_of_another_loop_says_so(
    address: str, use: str
) -> None:
    engine = create_async_engine(address)
    sessions = async_sessionmaker(engine)

    async def first() -> None:
        await make_tables(engine)
        async with sessions() as session:
            await Authors(session).count()

    async def second() -> None:
        async with sessions() as session:
            authors = Authors(session)
            with pytest.raises(UsageError, match="one engine for each loop"):
                if use == "verb":
                    await authors.count()
                async with authors.unit_of_work():
                    await authors.create({"name": "Ada"})

    with asyncio.Runner() as runner:
        runner.run(first())
        in_a_loop(second())
        runner.run(engine.dispose())


def test_a_session_that_is_open_is_refused_in_another_loop(address: str) -> None:
    engine = create_async_engine(address, poolclass=NullPool)
    session = async_sessionmaker(engine)()

    async def first() -> None:
        await make_tables(engine)
        await Authors(session).count()

    async def second() -> None:
        with pytest.raises(UsageError, match="one session for each loop"):
            await Authors(session).count()

    with asyncio.Runner() as runner:
        runner.run(first())
        in_a_loop(second())
        runner.run(session.close())


def test_a_home_and_a_session_of_one_engine_are_judged_alike(address: str) -> None:
    engine = create_async_engine(address)

    async def first() -> None:
        await make_tables(engine)
        await Authors(Database(engine)).count()

    async def second() -> None:
        async with async_sessionmaker(engine)() as session:
            with pytest.raises(UsageError, match="one engine for each loop"):
                await Authors(session).count()
        with pytest.raises(UsageError, match="one home for each loop"):
            await Authors(Database(engine)).count()

    with asyncio.Runner() as runner:
        runner.run(first())
        in_a_loop(second())
        runner.run(engine.dispose())


def test_a_session_whose_engine_is_closed_goes_on_in_another_loop(address: str) -> None:
    engine = create_async_engine(address)

    async def run() -> int:
        await make_tables(engine)
        async with async_sessionmaker(engine)() as session:
            found = await Authors(session).count()
        await engine.dispose()
        return found

    assert [in_a_loop(run()), in_a_loop(run())] == [0, 0]


def test_a_session_on_a_connection_is_not_judged(address: str) -> None:
    engine = create_async_engine(address, poolclass=NullPool)

    async def run() -> int:
        await make_tables(engine)
        async with (
            engine.connect() as connection,
            async_sessionmaker(connection)() as session,
        ):
            return await Authors(session).count()

    assert [in_a_loop(run()), in_a_loop(run())] == [0, 0]
