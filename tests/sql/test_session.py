"""Units of work on a session of the caller's own: joined, adopted or refused."""

import asyncio
import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from layerkit.core.errors import (
    AlreadyExistsError,
    NotSupportedError,
    UnitOfWorkError,
    ValidationError,
)
from layerkit.repository import MemoryDatabase, Repository, home_of
from layerkit.service import BaseService
from layerkit.sql import Database, SQLRepository
from layerkit.unit_of_work import UnitOfWork
from tests.support.authors import Authors, PlannedError, RecordingSink, Sessions, names
from tests.support.library import Author, Book

# R0: one state for a session


async def test_repositories_of_one_session_share_its_unit(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors, again = Authors(session), Authors(session)
        books = SQLRepository[Book, int](session, Book)
        with pytest.raises(PlannedError):
            async with authors.unit_of_work():
                await authors.create({"name": "Ada"})
                async with again.unit_of_work():
                    assert await again.count() == 1
                await books.create({"title": "b", "author_id": 1})
                raise PlannedError
        assert await again.count() == 0

    assert await names(engine) == []


# R1: no transaction, so ours


async def test_a_unit_on_a_fresh_session_commits(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        async with authors.unit_of_work():
            await authors.create({"name": "Ada"})
        assert await names(engine) == ["Ada"]
        async with authors.unit_of_work():
            await authors.create({"name": "Bob"})

    assert await names(engine) == ["Ada", "Bob"]


@pytest.mark.defect("R13")
async def test_a_failed_unit_on_a_fresh_session_leaves_nothing(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(PlannedError):
            async with authors.unit_of_work():
                await authors.create({"name": "Ada"})
                raise PlannedError
        async with authors.unit_of_work():
            await authors.create({"name": "Bob"})

    assert await names(engine) == ["Bob"]


# R2: begun by itself, by a read: adopted


async def test_a_transaction_that_a_read_began_is_adopted(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        await session.execute(select(Author))
        assert session.in_transaction()
        async with authors.unit_of_work():
            await authors.create({"name": "Ada"})

    assert await names(engine) == ["Ada"]


async def test_an_attribute_set_to_what_it_was_is_no_write(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        async with authors.unit_of_work():
            ada = await authors.create({"name": "Ada"})
        found = await session.get(Author, ada.id)
        assert found is not None
        found.name = "Ada"
        async with authors.unit_of_work():
            await authors.create({"name": "Bob"})

    assert await names(engine) == ["Ada", "Bob"]


# R3: begun by itself, with writes of the caller's: refused


async def write_pending(session: AsyncSession) -> None:
    session.add(Author(name="mine"))


async def write_flushed(session: AsyncSession) -> None:
    session.add(Author(name="mine"))
    await session.flush()


async def write_statement(session: AsyncSession) -> None:
    await session.execute(insert(Author).values(name="mine"))


async def write_bare(session: AsyncSession) -> None:
    await Authors(session).create({"name": "mine"})


async def write_attribute(session: AsyncSession) -> None:
    await Authors(session).create({"name": "mine"})
    await session.commit()
    found = await session.get(Author, 1)
    assert found is not None
    found.name = "changed"


async def write_delete(session: AsyncSession) -> None:
    await Authors(session).create({"name": "mine"})
    await session.commit()
    await session.delete(await session.get(Author, 1))


@pytest.mark.parametrize(
    "write",
    [
        write_pending,
        write_flushed,
        write_statement,
        write_bare,
        write_attribute,
        write_delete,
    ],
)
async def test_a_transaction_with_writes_of_the_callers_is_refused_with_remedies(
    engine: AsyncEngine, sessions: Sessions, write: Any
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        await write(session)
        with pytest.raises(UnitOfWorkError) as refused:
            await BaseService(authors).create_entity({"name": "service"})
        await session.rollback()
        async with authors.unit_of_work():
            await authors.create({"name": "after"})

    for remedy in ("session.begin()", "commit or roll back", "unit_of_work()"):
        assert remedy in str(refused.value)
    assert "service" not in await names(engine)
    assert "changed" not in await names(engine)
    assert "after" in await names(engine)


async def test_writes_from_before_the_first_repository_are_seen(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        await write_flushed(session)
        with pytest.raises(UnitOfWorkError):
            await BaseService(Authors(session)).create_entity({"name": "service"})

    assert await names(engine) == []


async def test_a_savepoint_of_a_transaction_that_began_by_itself_is_refused(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        await session.execute(select(Author))
        async with session.begin_nested():
            with pytest.raises(UnitOfWorkError, match=r"session\.begin\(\)"):
                await BaseService(authors).create_entity({"name": "service"})

    assert await names(engine) == []


# R4: begun by the caller: joined, never committed by us


async def test_a_transaction_of_the_callers_is_joined_and_left_to_them(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        service = BaseService(Authors(session))
        await service.create_entity({"name": "Ada"})
        await service.create_entity({"name": "Bob"})
        if "postgresql" in str(engine.url):
            assert await names(engine) == []

    assert await names(engine) == ["Ada", "Bob"]


@pytest.mark.defect("R13")
async def test_the_callers_rollback_takes_our_writes_and_hooks_with_it(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    calls: list[str] = []
    with pytest.raises(PlannedError):
        async with sessions() as session, session.begin():
            session.add(Author(name="theirs"))
            async with Authors(session).unit_of_work() as unit:
                await Authors(session).create({"name": "ours"})
                unit.after_commit(lambda: calls.append("hook"))
            raise PlannedError

    assert (await names(engine), calls) == ([], [])


@pytest.mark.defect("R37")
async def test_hooks_of_a_joined_unit_are_awaited_after_the_callers_commit(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    seen: list[object] = []
    sink = RecordingSink()

    async def hook() -> None:
        await asyncio.sleep(0)
        seen.append(await names(engine))

    async with sessions() as session:
        async with session.begin():
            async with Authors(session).unit_of_work(events=sink) as unit:
                await Authors(session).create({"name": "Ada"})
                unit.after_commit(hook)
                unit.emit("event")
            seen.append("left")
            assert sink.published == []
        seen.append("after")

    assert seen == ["left", ["Ada"], "after"]
    assert sink.published == ["event"]


async def test_hooks_of_a_joined_unit_run_once(sessions: Sessions) -> None:
    calls: list[str] = []
    async with sessions() as session:
        async with session.begin(), Authors(session).unit_of_work() as unit:
            unit.after_commit(lambda: calls.append("hook"))
        async with session.begin():
            await session.execute(select(Author))

    assert calls == ["hook"]


async def test_hooks_go_with_the_callers_savepoint_that_they_ran_in(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    calls: list[str] = []

    async def work(session: AsyncSession, name: str) -> None:
        async with Authors(session).unit_of_work() as unit:
            await Authors(session).create({"name": name})
            unit.after_commit(lambda: calls.append(name))

    async with sessions() as session, session.begin():
        await work(session, "root")
        async with session.begin_nested():
            await work(session, "kept")
        with pytest.raises(PlannedError):
            async with session.begin_nested():
                await work(session, "lost")
                async with session.begin_nested():
                    await work(session, "lost too")
                raise PlannedError

    assert calls == ["root", "kept"]
    assert await names(engine) == ["kept", "root"]


async def test_a_savepoint_of_the_callers_undoes_a_failed_unit_and_goes_on(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        service = BaseService(Authors(session))
        await service.create_entity({"name": "Ada"})
        for _ in range(2):
            with pytest.raises(AlreadyExistsError):
                async with session.begin_nested():
                    await service.create_entity({"name": "Ada"})
        with pytest.raises(PlannedError):
            async with session.begin_nested(), service.unit_of_work():
                await service.create_entity({"name": "lost"})
                raise PlannedError
        await service.create_entity({"name": "Bob"})

    assert await names(engine) == ["Ada", "Bob"]


async def test_a_savepoint_of_a_joined_unit_lets_an_error_pass(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        authors = Authors(session)
        async with authors.unit_of_work() as unit:
            await authors.create({"name": "Ada"})
            with pytest.raises(AlreadyExistsError):
                async with unit.savepoint():
                    await authors.create({"name": "Ada"})
            await authors.create({"name": "Bob"})

    assert await names(engine) == ["Ada", "Bob"]


# R5: a unit that failed after a write


async def test_a_failed_inner_unit_vetoes_the_callers_commit(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    calls: list[str] = []
    with pytest.raises(UnitOfWorkError, match="can only roll back"):
        async with sessions() as session, session.begin():
            authors = Authors(session)
            async with authors.unit_of_work() as unit:
                unit.after_commit(lambda: calls.append("hook"))
                await authors.create({"name": "Ada"})
            with pytest.raises(PlannedError):
                async with authors.unit_of_work():
                    await authors.create({"name": "Bob"})
                    raise PlannedError
            with pytest.raises(UnitOfWorkError):
                async with authors.unit_of_work():
                    pass

    assert (await names(engine), calls) == ([], [])


async def test_a_refused_flush_undoes_the_callers_transaction_hooks_included(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    calls: list[str] = []
    async with sessions() as session, session.begin():
        authors = Authors(session)
        async with authors.unit_of_work() as unit:
            unit.after_commit(lambda: calls.append("hook"))
            await authors.create({"name": "Ada"})
        with pytest.raises(AlreadyExistsError):
            async with authors.unit_of_work():
                await authors.create({"name": "Ada"})
        with pytest.raises(UnitOfWorkError, match="AlreadyExistsError"):
            async with authors.unit_of_work():
                pass
        # SQLAlchemy leaves the block without an error, and without a commit.

    assert (await names(engine), calls) == ([], [])


async def test_a_vetoed_session_works_again_after_its_rollback(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(UnitOfWorkError):
            async with session.begin():
                with pytest.raises(PlannedError):
                    async with authors.unit_of_work():
                        await authors.create({"name": "Ada"})
                        raise PlannedError
        async with session.begin():
            await BaseService(authors).create_entity({"name": "Bob"})

    assert await names(engine) == ["Bob"]


async def test_a_joined_unit_that_failed_before_writing_rolls_nothing_back(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        service = BaseService(Authors(session))
        await service.create_entity({"name": "Ada"})
        with pytest.raises(ValidationError):
            await service.create_entity({"nope": 1})
        await service.create_entity({"name": "Bob"})

    assert await names(engine) == ["Ada", "Bob"]


async def test_what_the_caller_wrote_before_a_joined_unit_that_failed_is_kept(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        authors = Authors(session)
        await authors.create({"name": "Ada"})
        session.add(Author(name="Bob"))
        with pytest.raises(PlannedError):
            async with authors.unit_of_work():
                await authors.count()
                raise PlannedError

    assert await names(engine) == ["Ada", "Bob"]


async def test_a_changed_attribute_of_a_joined_unit_that_failed_is_not_committed(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        async with session.begin():
            ada = await authors.create({"name": "Ada"})
        with pytest.raises(UnitOfWorkError, match="PlannedError"):
            async with session.begin():
                with pytest.raises(PlannedError):
                    async with authors.unit_of_work():
                        ada.name = "Eve"
                        raise PlannedError

    assert await names(engine) == ["Ada"]


@pytest.mark.defect("R11")
async def test_a_refused_bare_write_that_is_caught_cannot_be_committed_unnoticed(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        # After a refused flush, SQLAlchemy itself leaves the block without a commit.
        flushes = not engine.dialect.update_returning
        with (
            nullcontext()
            if flushes
            else pytest.raises(UnitOfWorkError, match="AlreadyExistsError")
        ):
            async with session.begin():
                await authors.create({"name": "Ada"})
                bob = await authors.create({"name": "Bob"})
                with pytest.raises(AlreadyExistsError):
                    await authors.update(bob.id, {"name": "Ada"})

    assert await names(engine) == []


async def test_a_verb_after_a_refused_one_says_that_the_transaction_has_failed(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        await authors.create({"name": "Ada"})
        with pytest.raises(AlreadyExistsError):
            await authors.create({"name": "Ada"})
        with pytest.raises(UnitOfWorkError, match="roll the session back"):
            await authors.count()
        await session.rollback()
        assert await authors.count() == 0


# R6: verbs outside any unit


@pytest.mark.defect("R13")
async def test_bare_writes_are_flushed_and_left_to_the_caller(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        ada = await authors.create({"name": "Ada"})
        await authors.update(ada.id, {"rank": 1})
        assert await authors.exists(ada.id) is True
        assert await names(engine) == []
        await session.commit()

    assert await names(engine) == ["Ada"]


async def test_a_session_closed_over_bare_writes_warns_once(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        for name in ("Ada", "Bob"):
            await authors.create({"name": name})
        await authors.delete(1)

    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "layerkit.sql")
    assert "3 writes are gone" in record.message
    assert "Authors.create: 2" in record.message
    assert "Authors.delete: 1" in record.message


@pytest.mark.parametrize("end", ["commit", "rollback", "begin", "read", "unit"])
async def test_a_session_that_was_ended_does_not_warn(
    sessions: Sessions, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        match end:
            case "begin":
                async with session.begin():
                    await authors.create({"name": "Ada"})
            case "read":
                await authors.count()
            case "unit":
                await BaseService(authors).create_entity({"name": "Ada"})
            case _:
                await authors.create({"name": "Ada"})
                await getattr(session, end)()

    assert caplog.records == []


async def test_a_session_of_the_callers_is_run_once(sessions: Sessions) -> None:
    async with sessions() as session:
        home = home_of(session)
        authors = Repository[Author, int](session, Author)

        async def work(_: UnitOfWork) -> str:
            return (await authors.create({"name": "Ada"})).name

        with pytest.raises(NotSupportedError, match="can't be begun again"):
            await home.run(work, attempts=2)
        assert await home.run(work) == "Ada"
        assert await authors.count() == 1


async def test_a_session_signs_cursors_with_the_secret_of_its_engine(
    engine: AsyncEngine,
) -> None:
    secret = "an-open-secret-of-tests"
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    elsewhere = MemoryDatabase(cursor_secret=secret)
    variant = AsyncSession(engine.execution_options(logging_token="x"))
    async with Database(engine, cursor_secret=secret) as database, sessions() as own:
        homes = (database, own, sessions, variant)
        keys = [home_of(home).cursor_key() for home in homes]

    assert set(keys) == {elsewhere.cursor_key()}


async def test_a_session_without_a_database_signs_with_a_key_of_the_process(
    tmp_path: Path,
) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'own.db'}")
    bound_by_class = AsyncSession(binds={Author: engine})

    keys = [home_of(s).cursor_key() for s in (AsyncSession(engine), bound_by_class)]

    assert set(keys) == {MemoryDatabase().cursor_key()}
    await engine.dispose()
