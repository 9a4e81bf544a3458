"""One flow of control for a unit, and a session of its own for each call."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from layerkit.core.errors import UnitOfWorkError
from layerkit.repository import Repository
from layerkit.service import BaseService
from tests.support.authors import Authors, PlannedError, Sessions, names
from tests.support.library import Book

pytestmark = pytest.mark.unmeasured

# R8: one flow of control


@pytest.mark.defect("R40")
async def test_two_services_gathered_on_one_session_are_refused(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        first, second = BaseService(Authors(session)), BaseService(Authors(session))
        results = await asyncio.gather(
            first.create_entity({"name": "Ada"}),
            second.create_entity({"name": "Bob"}),
            return_exceptions=True,
        )

    refused = [r for r in results if isinstance(r, UnitOfWorkError)]
    assert len(refused) == 1
    assert "one flow of control" in str(refused[0])
    assert await names(engine) == ["Ada"]


@pytest.mark.defect("R40")
async def test_bare_verbs_at_once_are_refused(sessions: Sessions) -> None:
    async with sessions() as session:
        results = await asyncio.gather(
            Authors(session).count(), Authors(session).count(), return_exceptions=True
        )

    assert isinstance(results[1], UnitOfWorkError)
    assert results[0] == 0


@pytest.mark.defect("R40")
async def test_an_unrelated_task_cannot_enter_while_the_unit_waits(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    waiting, go_on = asyncio.Event(), asyncio.Event()
    async with sessions() as session:
        service = BaseService(Authors(session))

        async def first() -> None:
            async with service.unit_of_work():
                await service.create_entity({"name": "Ada"})
                waiting.set()
                await go_on.wait()

        async def second() -> None:
            await waiting.wait()
            try:
                with pytest.raises(UnitOfWorkError, match="another task"):
                    await service.create_entity({"name": "Bob"})
                with pytest.raises(UnitOfWorkError, match="another task"):
                    await service.get_entity(1)
            finally:
                go_on.set()

        await asyncio.gather(first(), second())

    assert await names(engine) == ["Ada"]


@pytest.mark.defect("R40")
async def test_a_task_that_outlives_the_block_is_refused(sessions: Sessions) -> None:
    left = asyncio.Event()
    async with sessions() as session:
        authors = Authors(session)

        async def late() -> None:
            await left.wait()
            await authors.create({"name": "late"})

        async with authors.unit_of_work():
            task = asyncio.create_task(late())
            await authors.create({"name": "Ada"})
        left.set()
        with pytest.raises(UnitOfWorkError, match="outlived"):
            await task


async def test_wait_for_and_tasks_of_the_unit_are_part_of_it(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        service = BaseService(Authors(session))
        async with service.unit_of_work():
            await asyncio.wait_for(service.create_entity({"name": "Ada"}), 10)
            await asyncio.create_task(service.create_entity({"name": "Bob"}))
            assert await names(engine) == []

    assert await names(engine) == ["Ada", "Bob"]


@pytest.fixture
async def open_unit(sessions: Sessions) -> AsyncIterator[Authors]:
    async with sessions() as session:
        authors = Authors(session)
        async with authors.unit_of_work():
            yield authors


async def test_a_fixture_may_hold_the_unit_open(
    engine: AsyncEngine, open_unit: Authors
) -> None:
    await BaseService(open_unit).create_entity({"name": "Ada"})

    assert await open_unit.count() == 1
    assert await names(engine) == []


# R9: session factories and databases


async def test_a_factory_gives_each_call_a_session_of_its_own(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    authors = Authors(sessions)

    await authors.create({"name": "Ada"})

    assert await names(engine) == ["Ada"]
    with pytest.raises(UnitOfWorkError, match=r"unit_of_work\(\)"):
        _ = authors.db_session


async def test_db_session_is_the_session_of_the_open_unit(sessions: Sessions) -> None:
    authors = Authors(sessions)
    async with authors.unit_of_work():
        ada = await authors.create({"name": "Ada"})
        first = authors.db_session
        assert ada in first
        async with authors.unit_of_work():
            assert authors.db_session is first
    async with authors.unit_of_work():
        assert authors.db_session is not first


async def test_db_session_is_the_session_that_was_passed_in(sessions: Sessions) -> None:
    async with sessions() as session:
        assert Authors(session).db_session is session


async def test_requests_on_one_repository_do_not_talk_across(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    authors = Authors(sessions)

    async def request(number: int) -> int:
        async with authors.unit_of_work():
            await authors.create({"name": f"{number}"})
            session = authors.db_session
            await asyncio.sleep(0)
            assert authors.db_session is session
            if number == 3:
                raise PlannedError
            return id(session)

    results = []
    if engine.dialect.name == "sqlite":  # one writer at a time, and no queue
        for number in range(5):
            with suppress(PlannedError):
                results.append(await request(number))
    else:
        gathered = await asyncio.gather(
            *(request(n) for n in range(5)), return_exceptions=True
        )
        results = [r for r in gathered if isinstance(r, int)]
        assert len(set(results)) == 4

    assert len(results) == 4
    assert await names(engine) == ["0", "1", "2", "4"]


async def test_repositories_of_one_factory_share_its_units(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    authors, books = Authors(sessions), Repository[Book, int](sessions, Book)

    with pytest.raises(PlannedError):
        async with authors.unit_of_work():
            ada = await authors.create({"name": "Ada"})
            await books.create({"title": "b", "author_id": ada.id})
            raise PlannedError

    assert await names(engine) == []
    assert await books.count() == 0


async def test_a_factory_is_let_go_with_its_repositories() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    sessions = async_sessionmaker(engine)
    gone = weakref.ref(sessions)
    authors = Authors(sessions)
    assert authors.home is Authors(sessions).home

    del sessions, authors
    gc.collect()

    assert gone() is None
    await engine.dispose()


async def test_a_session_is_let_go_when_it_is_closed(sessions: Sessions) -> None:
    async with sessions() as session:
        await BaseService(Authors(session)).create_entity({"name": "Ada"})
    gone = weakref.ref(session)

    del session
    gc.collect()

    assert gone() is None
