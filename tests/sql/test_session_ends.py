"""How a caller's transaction ends after an error in it was caught, or was not."""

import logging

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from layerkit.core.errors import AlreadyExistsError, UnitOfWorkError
from tests.support.authors import Authors, PlannedError, Sessions, names
from tests.support.library import Author


async def test_a_refused_write_that_is_caught_is_not_lost_without_a_word(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    async with sessions() as session, session.begin():
        authors = Authors(session)
        await authors.create(Author(name="first"))
        with pytest.raises(AlreadyExistsError):
            async with authors.unit_of_work():
                await authors.create(Author(name="first"))

    messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(messages) == 1
    assert "ended without a commit" in messages[0]
    assert "AlreadyExistsError was caught" in messages[0]


async def test_a_refused_write_that_leaves_the_transaction_is_no_cause_to_warn(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(AlreadyExistsError):
            async with session.begin():
                await authors.create(Author(name="first"))
                async with authors.unit_of_work():
                    await authors.create(Author(name="first"))

    assert not [r for r in caplog.records if r.levelno == logging.WARNING]


async def test_hooks_inside_a_savepoint_of_the_callers_go_with_it(
    sessions: Sessions,
) -> None:
    calls: list[str] = []
    async with sessions() as session:
        authors = Authors(session)
        async with authors.unit_of_work() as unit:
            unit.after_commit(lambda: calls.append("kept"))
            await authors.create(Author(name="kept"))
            with pytest.raises(PlannedError):
                async with session.begin_nested():
                    unit.after_commit(lambda: calls.append("dropped"))
                    await authors.create(Author(name="lost"))
                    raise PlannedError

        assert calls == ["kept"]
        assert await names(session.bind) == ["kept"]  # type: ignore[arg-type] # an engine


@pytest.mark.unmeasured
@pytest.mark.parametrize("how", ["commit", "rollback", "close"])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
async def test_a_session_that_is_ended_inside_a_unit_makes_it_rollback_only(
    sessions: Sessions, how: str, whose: str
) -> None:
    calls: list[str] = []
    async with sessions() as session:
        authors = Authors(session if whose == "theirs" else sessions)

        with pytest.raises(UnitOfWorkError, match="inside a unit of work"):
            async with authors.unit_of_work() as unit:
                unit.after_commit(lambda: calls.append("ran"))
                await authors.create({"name": "first"})
                await getattr(authors.db_session, how)()
        await authors.create({"name": "later"})

    assert calls == []


async def test_a_savepoint_left_open_does_not_hide_that_its_unit_failed(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    calls: list[str] = []
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(UnitOfWorkError, match="AlreadyExistsError"):
            async with authors.unit_of_work() as unit:
                unit.after_commit(lambda: calls.append("hook"))
                await authors.create({"name": "Ada"})
                await session.begin_nested()
                with pytest.raises(AlreadyExistsError):
                    await authors.create({"name": "Ada"})

    assert (await names(engine), calls) == ([], [])


async def test_a_savepoint_does_not_hide_that_its_session_was_ended(
    sessions: Sessions,
) -> None:
    authors = Authors(sessions)

    with pytest.raises(UnitOfWorkError, match="inside a unit of work"):
        async with authors.unit_of_work() as unit:
            await authors.create({"name": "first"})
            with pytest.raises(UnitOfWorkError):
                async with unit.savepoint():
                    await authors.db_session.rollback()
                    await authors.create({"name": "second"})
            await authors.create({"name": "third"})
