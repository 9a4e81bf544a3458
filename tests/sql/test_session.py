"""Units of work on a session of the caller's own: joined, adopted or refused."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from layerkit.core.errors import (
    AlreadyExistsError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository import Repository
from layerkit.service import BaseService
from layerkit.sql import Database, SQLRepository
from tests.sql.conftest import make_tables
from tests.support.library import Author, Book


class Failure(Exception):
    """What a test raises."""


class Authors(SQLRepository[Author, int]):
    pass


class RecordingSink:
    def __init__(self) -> None:
        self.published: list[object] = []

    def check(self, event: object) -> None: ...

    async def before_commit(self, events: Sequence[object]) -> None: ...

    async def after_commit(self, events: Sequence[object]) -> None:
        self.published.extend(events)


@pytest.fixture(params=["sqlite-ours", "sqlite-bare", "postgresql", "mariadb"])
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[AsyncEngine]:
    """An engine that Database has set up, or one as users make them."""
    file = tmp_path / "session.db"
    servers = {"postgresql": "postgres", "mariadb": "mysql"}
    if request.param == "sqlite-ours":
        made = Database(f"sqlite:///{file}").engine
    elif request.param == "sqlite-bare":
        made = create_async_engine(f"sqlite+aiosqlite:///{file}")
    else:
        server = servers[request.param]
        made = create_async_engine(request.getfixturevalue(f"library_{server}_url"))
    await make_tables(made)
    yield made
    await made.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions as SQLAlchemy makes them: they expire on commit."""
    return async_sessionmaker(engine)


async def names(engine: AsyncEngine) -> list[str]:
    """Return what another connection sees."""
    async with engine.connect() as connection:
        found = await connection.scalars(select(Author.name).order_by(Author.name))
        return list(found)


Sessions = async_sessionmaker[AsyncSession]


# R0: one state for a session


async def test_repositories_of_one_session_share_its_unit(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        authors, again = Authors(session), Authors(session)
        books = SQLRepository[Book, int](session, Book)
        with pytest.raises(Failure):
            async with authors.unit_of_work():
                await authors.create({"name": "Ada"})
                async with again.unit_of_work():
                    assert await again.count() == 1
                await books.create({"title": "b", "author_id": 1})
                raise Failure
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
        with pytest.raises(Failure):
            async with authors.unit_of_work():
                await authors.create({"name": "Ada"})
                raise Failure
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
    with pytest.raises(Failure):
        async with sessions() as session, session.begin():
            session.add(Author(name="theirs"))
            async with Authors(session).unit_of_work() as unit:
                await Authors(session).create({"name": "ours"})
                unit.after_commit(lambda: calls.append("hook"))
            raise Failure

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
        async with session.begin():
            async with Authors(session).unit_of_work() as unit:
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
        with pytest.raises(Failure):
            async with session.begin_nested():
                await work(session, "lost")
                async with session.begin_nested():
                    await work(session, "lost too")
                raise Failure

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
        with pytest.raises(Failure):
            async with session.begin_nested():
                async with service.unit_of_work():
                    await service.create_entity({"name": "lost"})
                    raise Failure
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
            with pytest.raises(Failure):
                async with authors.unit_of_work():
                    await authors.create({"name": "Bob"})
                    raise Failure
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
                with pytest.raises(Failure):
                    async with authors.unit_of_work():
                        await authors.create({"name": "Ada"})
                        raise Failure
        async with session.begin():
            await BaseService(authors).create_entity({"name": "Bob"})

    assert await names(engine) == ["Bob"]


async def test_a_joined_unit_that_failed_before_writing_dooms_nothing(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        service = BaseService(Authors(session))
        await service.create_entity({"name": "Ada"})
        with pytest.raises(ValidationError):
            await service.create_entity({"nope": 1})
        await service.create_entity({"name": "Bob"})

    assert await names(engine) == ["Ada", "Bob"]


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
    engine: AsyncEngine, sessions: Sessions
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


# R7: commits


@pytest.mark.defect("R11")
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
        with pytest.raises(Failure):
            async with authors.unit_of_work():
                ada.rank = 7
                await authors.count()
                raise Failure

        assert ada.rank == 1
        again = await authors.get_by_id(ada.id)
        assert again is ada


async def test_what_a_failed_unit_made_is_not_taken_for_stored(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(Failure):
            async with authors.unit_of_work():
                lost = await authors.create({"name": "lost"})
                raise Failure

        assert lost.name == "lost"
        assert await authors.get_by_id(lost.id) is None


async def test_a_commit_that_fails_late_is_translated_and_runs_no_hook(
    library_postgres_url: str,
) -> None:
    engine = create_async_engine(library_postgres_url)
    await make_tables(engine)
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


async def test_db_session_is_the_session_that_was_passed_in(
    sessions: Sessions,
) -> None:
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
                raise Failure
            return id(session)

    results = []
    if engine.dialect.name == "sqlite":  # one writer at a time, and no queue
        for number in range(5):
            with suppress(Failure):
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

    with pytest.raises(Failure):
        async with authors.unit_of_work():
            ada = await authors.create({"name": "Ada"})
            await books.create({"title": "b", "author_id": ada.id})
            raise Failure

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
                raise Failure

        with pytest.raises(Failure):
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
            async with authors.unit_of_work() as unit:
                async with unit.savepoint():
                    await authors.create({"name": "Ada"})
                    await session.rollback()


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
