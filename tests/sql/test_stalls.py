"""A server that stops answering, or cuts the connection, as a unit or a verb runs."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool

from layerkit.core.errors import UnavailableError, UsageError
from layerkit.repository import ALL, adapter_for
from layerkit.sql import Database
from layerkit.sql.transaction import SQLTransaction
from layerkit.unit_of_work.shield import COMMIT_TIMEOUT_SECONDS
from tests.sql.conftest import make_tables
from tests.support.authors import Authors, PlannedError
from tests.support.library import Author
from tests.support.proxies import SilentProxy, silent_proxy

MOMENT = 0.3
BOUND = 60  # far beyond what is waited for, and far below for ever

SERVERS = {
    "asyncpg": ("library_postgres_url", "postgresql+asyncpg"),
    "psycopg": ("library_postgres_url", "postgresql+psycopg"),
    "asyncmy": ("library_mysql_url", "mysql+asyncmy"),
    "aiomysql": ("library_mysql_url", "mysql+aiomysql"),
}


@pytest.fixture(params=SERVERS)
async def address(request: pytest.FixtureRequest) -> str:
    """A server with the tables of the library, by the driver of the parameter."""
    server, driver = SERVERS[request.param]
    url = make_url(request.getfixturevalue(server))
    async with Database(url) as database:
        await make_tables(database.engine)
    return url.set(drivername=driver).render_as_string(hide_password=False)


@pytest.fixture
async def proxy(address: str) -> AsyncIterator[SilentProxy]:
    url = make_url(address)
    async with silent_proxy(str(url.host), url.port or 0) as proxy:
        yield proxy


@pytest.fixture
async def database(address: str, proxy: SilentProxy) -> AsyncIterator[Database]:
    """The library behind the proxy."""
    through = make_url(address).set(host="127.0.0.1", port=proxy.port)
    made = Database(through, commit_timeout_seconds=MOMENT)
    async with made:
        yield made


def checked_out(database: Database) -> int:
    pool = database.engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


async def test_a_commit_without_an_answer_ends_and_may_be_stored(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)
    hooks: list[str] = []

    with pytest.raises(UnavailableError, match=r" 0.3 .* may be stored") as caught:
        async with asyncio.timeout(BOUND), database.unit_of_work() as unit:
            await authors.create({"name": "Ada"})
            unit.after_commit(lambda: hooks.append("ran"))
            proxy.fall_silent_at(b"COMMIT")

    assert (caught.value.retryable, hooks) == (False, [])
    assert checked_out(database) == 0


async def test_a_cancelled_commit_without_an_answer_ends(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)

    async def work() -> None:
        async with database.unit_of_work():
            await authors.create({"name": "Ada"})
            proxy.fall_silent_at(b"COMMIT")

    task = asyncio.create_task(work())
    await proxy.silence.wait()
    task.cancel()

    with pytest.raises(UnavailableError, match="may be stored"):
        await asyncio.wait_for(task, BOUND)

    assert checked_out(database) == 0


async def test_last_writes_without_an_answer_are_not_stored_and_can_be_repeated(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)
    ada = await authors.create({"name": "Ada"})

    with pytest.raises(UnavailableError, match="nothing of the unit") as caught:
        async with asyncio.timeout(BOUND), database.unit_of_work():
            found = await authors.get_by_id(ada.id)
            assert found is not None
            found.name = "Bob"
            proxy.fall_silent()

    assert (caught.value.retryable, caught.value.kind) == (True, "disconnected")
    assert checked_out(database) == 0


async def test_a_rollback_without_an_answer_ends_by_the_error_that_led_to_it(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)

    with pytest.raises(PlannedError):
        async with asyncio.timeout(BOUND), database.unit_of_work():
            await authors.create({"name": "Ada"})
            proxy.fall_silent()
            raise PlannedError

    assert checked_out(database) == 0


async def test_a_savepoint_without_an_answer_ends_and_makes_the_unit_rollback_only(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)

    with pytest.raises(UnavailableError, match="nothing of the unit"):
        async with (
            asyncio.timeout(BOUND),
            database.unit_of_work() as unit,
            unit.savepoint(),
        ):
            await authors.create({"name": "Ada"})
            proxy.fall_silent()

    assert checked_out(database) == 0


async def test_closing_a_database_that_does_not_answer_ends(
    database: Database, proxy: SilentProxy
) -> None:
    connections = [await database.engine.connect() for _ in range(3)]
    for connection in connections:
        await connection.close()
    proxy.fall_silent()

    async with asyncio.timeout(BOUND):
        await database.close()

    assert checked_out(database) == 0


async def test_a_database_that_answers_again_is_used_again(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)
    with pytest.raises(UnavailableError):
        async with asyncio.timeout(BOUND), database.unit_of_work():
            await authors.create({"name": "Ada"})
            proxy.fall_silent_at(b"COMMIT")

    proxy.speak_again()

    assert (await authors.create({"name": "Bob"})).name == "Bob"


async def test_a_unit_on_a_session_waits_for_its_commit_as_long_as_any(
    address: str, proxy: SilentProxy
) -> None:
    through = make_url(address).set(host="127.0.0.1", port=proxy.port)
    engine = create_async_engine(through)
    session = AsyncSession(engine)
    authors = Authors(session)
    unit = authors.unit_of_work()
    await unit.__aenter__()
    transaction = unit.transaction
    assert transaction is not None
    assert transaction.commit_timeout_seconds == COMMIT_TIMEOUT_SECONDS
    transaction.commit_timeout_seconds = MOMENT
    await authors.create({"name": "Ada"})
    proxy.fall_silent_at(b"COMMIT")

    with pytest.raises(UnavailableError, match="may be stored"):
        async with asyncio.timeout(BOUND):
            await unit.__aexit__(None, None, None)

    await session.close()
    await engine.dispose()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_commit_time_out_is_above_zero(seconds: float) -> None:
    with pytest.raises(UsageError, match="commit_timeout_seconds"):
        Database("sqlite://", commit_timeout_seconds=seconds)


# Cut in the middle


async def test_a_read_outside_of_a_unit_goes_on_where_its_connection_is_cut(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)
    await authors.create({"name": "Ada"})
    proxy.cut_at(b"count(")

    assert await authors.count() == 1

    proxy.cut_at(b"FROM authors")
    assert [author.name for author in await authors.get_all()] == ["Ada"]


async def test_a_read_is_repeated_once_only(
    database: Database, proxy: SilentProxy
) -> None:
    backend = database.backend(adapter_for(Author))
    seen: list[str] = []

    async def count(unit: SQLTransaction) -> int:
        seen.append("read")
        proxy.cut_at(b"count(")
        return await backend.count(unit, ALL, None)

    async def cut_again(unit: SQLTransaction) -> int:
        return await backend.run(unit, "count", count, writes=False)

    with pytest.raises(UnavailableError) as caught:
        await database.alone(cut_again, writes=False)

    assert (caught.value.kind, len(seen)) == ("disconnected", 2)


async def test_a_read_that_waited_in_vain_is_not_repeated() -> None:
    seen: list[str] = []

    async def wait_in_vain(_: object) -> None:
        seen.append("read")
        raise UnavailableError("locked", kind="lock_timeout")

    async with Database("sqlite://") as sqlite:
        with pytest.raises(UnavailableError, match="locked"):
            await sqlite.alone(wait_in_vain, writes=False)

    assert seen == ["read"]


async def test_a_read_in_a_unit_is_not_repeated(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)

    with pytest.raises(UnavailableError, match="nothing is stored of the unit of work"):
        async with database.unit_of_work():
            await authors.create({"name": "Ada"})
            proxy.cut_at(b"count(")
            await authors.count()

    assert await authors.count() == 0


async def test_a_write_outside_of_a_unit_is_in_doubt_where_one_statement_was_cut(
    database: Database, proxy: SilentProxy
) -> None:
    authors = Authors(database)
    is_alone = database.dialect.name == "postgresql"  # elsewhere COMMIT comes after it
    text = "in the one statement of a verb" if is_alone else "or of the verb outside"
    await authors.count()
    proxy.cut_at(b"INSERT")

    with pytest.raises(UnavailableError, match=text) as told:
        await authors.create({"name": "Ada"})

    assert (told.value.kind, told.value.retryable) == ("disconnected", not is_alone)
    assert await authors.count() in ({0, 1} if is_alone else {0})
