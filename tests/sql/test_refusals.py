"""What the database refuses of SQL of one's own, as it leaves a unit of work."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound
from sqlalchemy.ext.asyncio import AsyncEngine

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    ConflictError,
    TimeoutExceededError,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.repository import MemoryDatabase
from layerkit.service import BaseService
from layerkit.sql import Database, SQLRepository
from layerkit.sql.database import SessionHome
from layerkit.unit_of_work import UnitOfWork
from tests.support.authors import Authors, Sessions, names
from tests.support.library import Author, Book, Loan

Work = Callable[[Authors], Awaitable[Any]]


async def duplicate(authors: Authors) -> None:
    await authors.db_session.execute(insert(Author).values(name="Ada"))


async def duplicate_by_flush(authors: Authors) -> None:
    authors.db_session.add(Author(name="Ada"))
    await authors.db_session.flush()


async def missing_reference(authors: Authors) -> None:
    await authors.db_session.execute(insert(Loan).values(book_id=99))


async def missing_table(authors: Authors) -> None:
    await authors.db_session.execute(text("SELECT * FROM nowhere"))


async def a_slow_statement(authors: Authors) -> None:
    session = authors.db_session
    match session.get_bind().dialect.name:
        case "postgresql":
            await session.execute(text("SET LOCAL statement_timeout = 20"))
            await session.execute(text("SELECT pg_sleep(20)"))
        case "mysql" | "mariadb":
            slow = "SET STATEMENT max_statement_time = 0.02 FOR SELECT SLEEP(20)"
            await session.execute(text(slow))
        case other:
            pytest.fail(f"{other} has no limit to how long a statement takes")


REFUSED: dict[str, tuple[Work, type[AppException]]] = {
    "duplicate": (duplicate, AlreadyExistsError),
    "duplicate, flushed": (duplicate_by_flush, AlreadyExistsError),
    "missing reference": (missing_reference, ConflictError),
    "missing table": (missing_table, UsageError),
    "too slow": (a_slow_statement, TimeoutExceededError),
}


@pytest.fixture(params=["session", "begun", "factory", "database"])
async def authors(
    request: pytest.FixtureRequest, engine: AsyncEngine, sessions: Sessions
) -> Any:
    """Authors on each kind of home, with Ada among them."""
    await Authors(sessions).create({"name": "Ada"})
    if request.param == "session":
        async with sessions() as session:
            yield Authors(session)
    elif request.param == "begun":
        async with sessions() as session:
            await session.begin()
            yield Authors(session)
    else:
        yield Authors(sessions if request.param == "factory" else Database(engine))


async def refused_by(engine: AsyncEngine) -> list[str]:
    """Return what the database of *engine* refuses."""
    if engine.dialect.name != "sqlite":
        return [*REFUSED]
    async with engine.connect() as connection:
        checks = await connection.scalar(text("PRAGMA foreign_keys"))
    left_out = {"too slow", "" if checks else "missing reference"}
    return [kind for kind in REFUSED if kind not in left_out]


async def in_a_unit(authors: Authors, work: Work) -> None:
    async with authors.unit_of_work():
        await work(authors)


async def in_an_inner_unit(authors: Authors, work: Work) -> None:
    async with authors.unit_of_work(), authors.unit_of_work():
        await work(authors)


async def in_a_savepoint(authors: Authors, work: Work) -> None:
    async with authors.unit_of_work() as unit, unit.savepoint():
        await work(authors)


async def in_a_service(authors: Authors, work: Work) -> None:
    async with BaseService[Author, int](authors).unit_of_work():
        await work(authors)


async def in_a_units_run(authors: Authors, work: Work) -> None:
    async def repeated(_: UnitOfWork) -> None:
        await work(authors)

    await authors.home.run(repeated, attempts=1)


PLACES = [in_a_unit, in_an_inner_unit, in_a_savepoint, in_a_service, in_a_units_run]


@pytest.mark.unmeasured
async def test_no_error_of_a_driver_leaves_a_unit(
    engine: AsyncEngine, authors: Authors
) -> None:
    for kind in await refused_by(engine):
        work, expected = REFUSED[kind]
        for place in PLACES:
            with pytest.raises(AppException) as refused:
                await place(authors, work)
            if isinstance(authors.home, SessionHome):
                await authors.db_session.rollback()

            told = (kind, place.__name__, type(refused.value))
            assert told == (kind, place.__name__, expected)
            assert refused.value.__cause__ is not None
            if isinstance(refused.value, AlreadyExistsError):
                assert isinstance(refused.value.__cause__, IntegrityError)
                assert refused.value.fields == ("name",)


async def test_a_refusal_that_leaves_a_savepoint_is_undone_and_the_unit_goes_on(
    authors: Authors,
) -> None:
    async with authors.unit_of_work() as unit:
        await authors.create({"name": "Bob"})
        with pytest.raises(AlreadyExistsError):
            async with unit.savepoint():
                await authors.create({"name": "Eve"})
                await duplicate(authors)
        await authors.create({"name": "Flo"})
        await authors.db_session.flush()
        assert [a.name for a in await authors.get_all()] == ["Ada", "Bob", "Flo"]


async def test_a_refusal_that_leaves_an_inner_unit_makes_the_outer_one_rollback_only(
    engine: AsyncEngine, authors: Authors
) -> None:
    with pytest.raises(UnitOfWorkError, match="rollback-only after AlreadyExistsError"):
        async with authors.unit_of_work():
            with pytest.raises(AlreadyExistsError):
                await in_a_unit(authors, duplicate)

    assert await names(engine) == ["Ada"]


async def test_a_refusal_that_is_caught_inside_is_never_taken_for_a_commit(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    await Authors(sessions).create({"name": "Ada"})
    ran: list[str] = []
    for authors in (Authors(sessions), Authors(sessions())):
        name = f"Bob {len(ran)}"
        try:
            async with authors.unit_of_work() as unit:
                unit.after_commit(partial(ran.append, name))
                await authors.db_session.execute(insert(Author).values(name=name))
                with pytest.raises(IntegrityError):
                    await duplicate(authors)
        except UnitOfWorkError:
            assert engine.dialect.name == "postgresql"

    assert await names(engine) == ["Ada", *ran]
    assert (ran == []) is (engine.dialect.name == "postgresql")


async def test_a_caught_refusal_that_a_savepoint_of_ones_own_undid_is_stored(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    authors = Authors(sessions)
    async with authors.unit_of_work():
        await authors.create({"name": "Ada"})
        with pytest.raises(IntegrityError):
            async with authors.db_session.begin_nested():
                await duplicate(authors)

    assert await names(engine) == ["Ada"]


async def test_a_lock_that_sqlite_waits_for_too_long_is_translated(
    tmp_path: Path,
) -> None:
    address = f"sqlite:///{tmp_path / 'busy.db'}"
    async with Database(address, busy_timeout_seconds=0.05) as database:
        await database.create_all(Author.metadata)
        authors = Authors(database)
        async with authors.unit_of_work():
            await authors.create({"name": "Ada"})

            async def other() -> None:
                async with database.unit_of_work(read_only=True):
                    await duplicate(authors)

            with pytest.raises(UnavailableError) as refused:
                await asyncio.create_task(other(), context=contextvars.Context())

    assert refused.value.kind == "lock_timeout"
    assert refused.value.retryable is True


async def test_a_server_that_is_not_there_is_translated() -> None:
    async with Database("postgresql://nobody@127.0.0.1:1/nowhere") as database:
        with pytest.raises(UnavailableError) as refused:
            async with database.unit_of_work():
                await database.session().execute(text("SELECT 1"))

    assert isinstance(refused.value.__cause__, OSError)


async def test_what_no_driver_raised_leaves_as_it_is(sqlite: Database) -> None:
    authors = Authors(sqlite)
    await authors.create_many([{"name": "Ada"}, {"name": "Bob"}])

    async def raising(error: Exception) -> None:
        async with authors.unit_of_work():
            await authors.db_session.execute(text("SELECT 1"))
            raise error

    async def reading(_: Any) -> None:
        async with authors.unit_of_work():
            await authors.db_session.run_sync(_open_nothing)

    for error in (ConnectionError("mail"), UnicodeError("text"), ValueError("own")):
        with pytest.raises(type(error)):
            await raising(error)
    with pytest.raises(FileNotFoundError):
        await reading(None)
    with pytest.raises(TimeoutError):
        async with authors.unit_of_work(), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    for where, kind in (("x", NoResultFound), ("%", MultipleResultsFound)):
        query = select(Author).where(Author.name.like(where))
        with pytest.raises(kind):
            async with authors.unit_of_work():
                (await authors.db_session.execute(query)).scalar_one()


def _open_nothing(_: Any) -> None:
    Path("nowhere/at/all").read_text(encoding="utf-8")


async def test_a_finder_of_ones_own_translates_what_it_opens_a_unit_for(
    database: Database,
) -> None:
    class Books(SQLRepository[Book, int]):
        async def add(self, title: str) -> None:
            async with self.unit_of_work():
                values = {"id": 1, "title": title}
                await self.db_session.execute(insert(Book).values(values))

    books = Books(database)
    await books.add("a")

    with pytest.raises(AlreadyExistsError):
        await books.add("b")
    async with MemoryDatabase().unit_of_work():
        with pytest.raises(AlreadyExistsError):
            await books.add("c")


async def test_a_session_outside_any_unit_stays_its_owners(sessions: Sessions) -> None:
    await Authors(sessions).create({"name": "Ada"})
    async with sessions() as session:
        authors = Authors(session)

        with pytest.raises(IntegrityError):
            await duplicate(authors)
