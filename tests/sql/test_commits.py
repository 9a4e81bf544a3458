"""How a unit on a session ends: readable entities, late refusals, cancellation."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from layerkit.core.errors import AlreadyExistsError, UnitOfWorkError
from layerkit.service import BaseService
from layerkit.sql import Database
from tests.sql.conftest import make_tables
from tests.support.authors import Authors, PlannedError, Sessions, names
from tests.support.databases import forget_tables

# R7: how it commits


async def test_entities_stay_readable_after_a_commit_that_expires(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        service = BaseService(Authors(session))
        created = await service.create_entity({"name": "Ada", "rank": 1})
        updated = await service.update_entity(created.id, {"rank": 2})

        assert (created.name, updated.rank) == ("Ada", 2)
        assert session.sync_session.expire_on_commit is True


@pytest.mark.parametrize("how", ["session", "factory"])
async def test_entities_stay_readable_after_a_unit_that_the_database_refused(
    sessions: Sessions, how: str
) -> None:
    async with sessions() as session:
        authors = Authors(session if how == "session" else sessions)
        await authors.create({"name": "Ada", "rank": 1})
        if how == "session":
            await session.commit()
        async with authors.unit_of_work():
            before = await authors.get_by_id(1)
        with pytest.raises(AlreadyExistsError):
            async with authors.unit_of_work():
                inside = await authors.get_by_id(1)
                new = await authors.create({"name": "Bob", "rank": 2})
                await authors.create({"name": "Ada"})

        assert before is not None
        assert inside is not None
        assert (before.name, inside.rank, new.name, new.rank) == ("Ada", 1, "Bob", 2)


async def test_an_entity_from_before_a_failed_unit_has_its_stored_values(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        async with authors.unit_of_work():
            ada = await authors.create({"name": "Ada", "rank": 1})
        with pytest.raises(PlannedError):
            async with authors.unit_of_work():
                ada.rank = 7
                await authors.count()
                raise PlannedError

        assert ada.rank == 1
        again = await authors.get_by_id(ada.id)
        assert again is ada


async def test_an_entity_that_a_failed_unit_loaded_is_readable_and_read_afresh(
    sessions: Sessions,
) -> None:
    await Authors(sessions).create({"name": "Ada", "rank": 1})
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(PlannedError):
            async with authors.unit_of_work():
                ada = await authors.get_by_id(1)
                assert ada is not None
                ada.rank = 7
                await authors.count()
                raise PlannedError

        assert ada is not None
        assert ada.name == "Ada"
        again = await authors.get_by_id(1)
        assert again is not None
        assert again.rank == 1


async def test_what_a_failed_unit_made_is_not_taken_for_stored(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(PlannedError):
            async with authors.unit_of_work():
                lost = await authors.create({"name": "lost"})
                raise PlannedError

        assert lost.name == "lost"
        assert await authors.get_by_id(lost.id) is None


async def test_a_commit_that_fails_late_is_translated_and_runs_no_hook(
    library_postgres_url: str,
) -> None:
    engine = create_async_engine(library_postgres_url)
    await make_tables(engine)
    forget_tables(engine)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "ALTER TABLE authors ADD CONSTRAINT late_rank UNIQUE (rank) "
                "DEFERRABLE INITIALLY DEFERRED"
            )
        )
    calls: list[str] = []

    async def work(authors: Authors) -> None:
        async with authors.unit_of_work() as unit:
            unit.after_commit(lambda: calls.append("hook"))
            await authors.create({"name": "Ada", "rank": 1})
            await authors.create({"name": "Bob", "rank": 1})

    async with AsyncSession(engine) as session:
        for home in (session, Database(engine)):
            with pytest.raises(AlreadyExistsError) as refused:
                await work(Authors(home))
            assert refused.value.constraint == "late_rank"
        with pytest.raises(SQLAlchemyError):
            async with session.begin():
                await work(Authors(session))
        async with Authors(session).unit_of_work():
            await Authors(session).create({"name": "Eve"})

    assert (await names(engine), calls) == (["Eve"], [])
    await engine.dispose()


@pytest.mark.unmeasured
@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_cancelled_unit_is_stored_with_its_hooks_or_not_at_all(
    engine: AsyncEngine, sessions: Sessions, turns: int
) -> None:
    calls: list[str] = []
    async with sessions() as session:
        authors = Authors(session)

        async def work() -> None:
            async with authors.unit_of_work() as unit:
                unit.after_commit(lambda: calls.append("hook"))
                await authors.create({"name": "Ada"})

        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        found = await names(engine)
        assert (found, calls) in [([], []), (["Ada"], ["hook"])]
        async with authors.unit_of_work():
            await authors.create({"name": "Bob"})

    assert await names(engine) == sorted([*found, "Bob"])


# Read-only units


async def test_a_change_that_a_read_has_flushed_is_refused_too(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    authors = Authors(sessions)
    await authors.create({"name": "Ada"})

    with pytest.raises(UnitOfWorkError, match="read-only"):
        async with authors.unit_of_work(read_only=True):
            ada = await authors.get_by_id(1)
            assert ada is not None
            ada.name = "Bob"
            await authors.count()

    assert await names(engine) == ["Ada"]
