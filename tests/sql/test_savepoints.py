"""Savepoints, also on engines that Python's legacy transactions rule."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from layerkit.core.errors import AlreadyExistsError, UnitOfWorkError, UsageError
from tests.support.authors import Authors, PlannedError, Sessions, names

# Savepoints


async def test_a_savepoint_restores_what_it_changed_and_keeps_the_rest(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    authors = Authors(sessions)
    async with authors.unit_of_work() as unit:
        ada = await authors.create({"name": "Ada", "rank": 1})
        bob = await authors.create({"name": "Bob", "rank": 1})
        with pytest.raises(PlannedError):
            async with unit.savepoint():
                ada.rank = 2
                await authors.count()
                raise PlannedError
        assert (ada.rank, bob.rank) == (1, 1)
        with pytest.raises(AlreadyExistsError):
            async with unit.savepoint():
                ada.name = "Bob"
        assert ada.name == "Ada"
        bob.rank = 3

    found = await authors.get_by_id(bob.id)
    assert found is not None
    assert found.rank == 3
    assert await names(engine) == ["Ada", "Bob"]


@pytest.mark.parametrize("error", [PlannedError, asyncio.CancelledError])
async def test_a_savepoint_that_cannot_be_undone_makes_its_unit_rollback_only(
    engine: AsyncEngine, sessions: Sessions, error: type[BaseException]
) -> None:
    authors = Authors(sessions)
    # A cancellation stays one; any other error gives way to what is worse.
    left = error if error is asyncio.CancelledError else UnitOfWorkError

    with pytest.raises(UnitOfWorkError):
        async with authors.unit_of_work() as unit:
            ada = await authors.create({"name": "Ada", "rank": 1})
            with pytest.raises(left):
                async with unit.savepoint():
                    ada.rank = 2
                    await authors.count()
                    await (await authors.db_session.connection()).invalidate()
                    raise error
            with pytest.raises(UnitOfWorkError):
                async with unit.savepoint():
                    pass

    assert await names(engine) == []


async def test_a_savepoint_that_cannot_be_opened_makes_its_unit_rollback_only(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    authors = Authors(sessions)

    with pytest.raises(UnitOfWorkError):
        async with authors.unit_of_work() as unit:
            await authors.create({"name": "Ada"})
            await (await authors.db_session.connection()).invalidate()
            with pytest.raises(UnitOfWorkError, match="failed before"):
                async with unit.savepoint():
                    await authors.count()

    assert await names(engine) == []


# Savepoints of an engine that was not set up by us


@pytest.mark.parametrize("how", ["factory", "session", "joined"])
async def test_a_savepoint_before_the_first_write_is_no_commit(
    engine: AsyncEngine, sessions: Sessions, how: str
) -> None:
    async with sessions() as session:
        authors = Authors(sessions if how == "factory" else session)

        async def work() -> None:
            async with authors.unit_of_work() as unit:
                async with unit.savepoint():
                    await authors.create({"name": "Ada"})
                raise PlannedError

        with pytest.raises(PlannedError):
            if how == "joined":
                async with session.begin():
                    await work()
            else:
                await work()

    assert await names(engine) == []


async def test_a_transaction_that_the_caller_ends_inside_a_savepoint_is_reported(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises((UnitOfWorkError, UsageError)):
            async with authors.unit_of_work() as unit, unit.savepoint():
                await authors.create({"name": "Ada"})
                await session.rollback()


@pytest.mark.unmeasured
@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_cancelled_savepoint_leaves_a_unit_that_can_go_on(
    engine: AsyncEngine, sessions: Sessions, turns: int
) -> None:
    authors = Authors(sessions)
    entered = asyncio.Event()

    async def work() -> None:
        async with authors.unit_of_work() as unit:
            await authors.create({"name": "Ada"})
            with suppress(asyncio.CancelledError):
                async with unit.savepoint():
                    entered.set()
                    await authors.create({"name": "Bob"})
            await authors.create({"name": "Eve"})

    task = asyncio.create_task(work())
    await entered.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    # Where the driver gives the connection up, the unit can't go on, and says so.
    error = None if task.cancelled() else task.exception()
    assert error is None or isinstance(error, UnitOfWorkError)
    found = await names(engine)
    assert found in ([], ["Ada", "Eve"], ["Ada", "Bob", "Eve"])
    assert error is None or found == []
