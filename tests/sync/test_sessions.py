"""Repositories, services and units on a session of a synchronous application."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from threading import Thread
from typing import ClassVar

import pytest
from sqlalchemy import Engine, create_engine, insert, select
from sqlalchemy.orm import Session, raiseload, selectinload, sessionmaker

from layerkit import (
    AlreadyExistsError,
    BaseService,
    Repository,
    UnitOfWorkError,
    UsageError,
    field,
)
from layerkit.sql import Database, SQLRepository
from layerkit.sql.session import unit_of
from layerkit.sync import iterate, run, savepoint, unit_of_work
from tests.support.library import Author, Base, Book


class AuthorRepository(SQLRepository[Author, int]):
    async def named(self, name: str) -> Author | None:
        return await self.find_one(field("name") == name)


class AuthorService(BaseService[Author, int]):
    async def create_and_fail(self, name: str) -> None:
        async with self.unit_of_work():
            await self.repository.create(Author(name=name))
            raise ZeroDivisionError

    async def create_twice(self, name: str) -> None:
        async with self.unit_of_work():
            await self.repository.create(Author(name=name))
            await self.repository.create(Author(name=name))


class EagerRepository(SQLRepository[Author, int]):
    load: ClassVar = (selectinload(Author.books),)


class StrictRepository(SQLRepository[Author, int]):
    load: ClassVar = (raiseload("*"),)


def stored(engine: Engine) -> list[str]:
    """Return the names that another connection sees."""
    with Session(engine) as other:
        return sorted(other.scalars(select(Author.name)))


def test_a_service_stores_and_commits(engine: Engine, session: Session) -> None:
    service = AuthorService(AuthorRepository(session))

    made = run(service.create_entity({"name": "Ada"}))

    assert stored(engine) == ["Ada"]
    assert run(service.get_entity(made.id)).name == "Ada"


def test_a_duplicate_is_named_by_its_fields_and_undone(
    engine: Engine, session: Session
) -> None:
    service = AuthorService(AuthorRepository(session))

    with pytest.raises(AlreadyExistsError) as caught:
        run(service.create_twice("Ada"))

    assert caught.value.fields == ("name",)
    assert stored(engine) == []


def test_a_block_is_one_unit_and_its_hooks_wait_for_the_commit(
    engine: Engine, session: Session
) -> None:
    authors = AuthorRepository(session)
    seen: list[list[str]] = []

    with unit_of_work(authors) as uow:
        ada = run(authors.create({"name": "Ada"}))
        uow.after_commit(lambda: seen.append(stored(engine)))
        ada.name = "Ada L."
        assert seen == []

    assert seen == [["Ada L."]]


def test_an_error_rolls_a_block_back_and_drops_its_hooks(
    engine: Engine, session: Session
) -> None:
    authors, called = AuthorRepository(session), list[str]()

    with pytest.raises(ZeroDivisionError), unit_of_work(authors) as uow:
        run(authors.create({"name": "Ada"}))
        uow.after_commit(lambda: called.append("hook"))
        raise ZeroDivisionError

    assert stored(engine) == []
    assert called == []


def test_a_savepoint_undoes_its_own_part(engine: Engine, session: Session) -> None:
    authors = AuthorRepository(session)

    with unit_of_work(authors) as uow:
        run(authors.create({"name": "Ada"}))
        with suppress(AlreadyExistsError), savepoint(uow):
            run(authors.create({"name": "Bob"}))
            run(authors.create({"name": "Ada"}))
        run(authors.create({"name": "Eve"}))

    assert stored(engine) == ["Ada", "Eve"]


def test_a_refused_write_in_a_block_allows_no_commit(
    engine: Engine, session: Session
) -> None:
    authors = AuthorRepository(session)

    with pytest.raises(UnitOfWorkError, match="savepoint"), unit_of_work(authors):
        run(authors.create({"name": "Ada"}))
        with suppress(AlreadyExistsError):
            run(authors.create({"name": "Ada"}))

    assert stored(engine) == []


def test_a_transaction_of_the_callers_is_joined(
    engine: Engine, session: Session
) -> None:
    service = AuthorService(AuthorRepository(session))
    called: list[list[str]] = []

    with session.begin():
        run(service.create_entity({"name": "Ada"}))
        with unit_of_work(service) as uow:
            uow.after_commit(lambda: called.append(stored(engine)))
        if engine.dialect.name != "sqlite":  # where another reader would wait
            assert stored(engine) == []
        assert called == []

    assert called == [["Ada"]]


def test_hooks_of_a_joined_unit_are_dropped_with_a_rollback(session: Session) -> None:
    authors, called = AuthorRepository(session), list[str]()

    with pytest.raises(ZeroDivisionError), session.begin():
        with unit_of_work(authors) as uow:
            run(authors.create({"name": "Ada"}))
            uow.after_commit(lambda: called.append("hook"))
        raise ZeroDivisionError

    assert called == []


def test_a_failed_unit_vetoes_the_callers_commit(
    engine: Engine, session: Session
) -> None:
    service = AuthorService(AuthorRepository(session))

    with (
        pytest.raises(UnitOfWorkError, match="savepoint"),
        session.begin(),
        suppress(ZeroDivisionError),
    ):
        run(service.create_and_fail("Ada"))

    assert stored(engine) == []


def test_a_rollback_only_transaction_that_is_closed_is_reported_once(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    service = AuthorService(AuthorRepository(session))

    transaction = session.begin()
    with suppress(AlreadyExistsError):
        run(service.create_twice("Ada"))
    with caplog.at_level(logging.WARNING, "layerkit.sql"):
        transaction.close()

    assert "AlreadyExistsError was caught in it" in caplog.text


def test_an_error_that_leaves_a_rollback_only_transaction_is_raised_by_itself(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    service = AuthorService(AuthorRepository(session))

    with (
        caplog.at_level(logging.WARNING, "layerkit.sql"),
        pytest.raises(KeyError),
        session.begin(),
    ):
        with suppress(ZeroDivisionError):
            run(service.create_and_fail("Ada"))
        raise KeyError

    assert "was caught in it" not in caplog.text


def test_verbs_go_on_after_a_block_on_the_same_session(session: Session) -> None:
    authors = AuthorRepository(session)

    with unit_of_work(authors):
        run(authors.create({"name": "Ada"}))

    assert run(authors.count()) == 1


def test_writes_of_the_callers_own_are_not_committed_by_a_unit(
    session: Session,
) -> None:
    session.add(Author(name="Own"))
    session.flush()

    with (
        pytest.raises(UnitOfWorkError, match=r"session\.begin"),
        unit_of_work(AuthorRepository(session)),
    ):
        pass


def test_a_session_that_is_closed_over_writes_is_reported(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "layerkit.sql"), Session(engine) as session:
        run(AuthorRepository(session).create({"name": "Ada"}))

    assert "AuthorRepository.create: 1" in caplog.text
    assert stored(engine) == []


def test_hooks_of_a_commit_inside_of_a_coroutine_run_before_run_returns(
    session: Session,
) -> None:
    authors, called = AuthorRepository(session), list[str]()

    async def hook() -> None:
        await asyncio.sleep(0)
        called.append("hook")

    async def work() -> None:
        with session.begin():
            async with authors.unit_of_work() as uow:
                await authors.create({"name": "Ada"})
                uow.after_commit(hook)

    run(work())

    assert called == ["hook"]


def test_a_session_factory_is_a_home(engine: Engine) -> None:
    authors = AuthorRepository(sessionmaker(engine))

    with unit_of_work(authors):
        ada = run(authors.create({"name": "Ada"}))
        run(authors.update(ada.id, {"rank": 1}))

    found = run(authors.named("Ada"))
    assert found is not None
    assert found.rank == 1


def test_a_session_itself_opens_a_unit(engine: Engine, session: Session) -> None:
    with unit_of_work(session):
        session.execute(insert(Author).values(name="Ada"))

    assert stored(engine) == ["Ada"]


def test_a_read_only_unit_refuses_writes(session: Session) -> None:
    authors = AuthorRepository(session)

    with (
        pytest.raises(UnitOfWorkError, match="read-only"),
        unit_of_work(authors, read_only=True),
    ):
        run(authors.create({"name": "Ada"}))


def test_relations_load_when_they_are_read(session: Session) -> None:
    authors = AuthorRepository(session)
    session.add(Author(name="Ada", books=[Book(title="Notes", text="long")]))
    session.commit()
    session.expunge_all()

    ada = run(authors.named("Ada"))

    assert ada is not None
    assert [book.title for book in ada.books] == ["Notes"]
    assert ada.books[0].text == "long"


def test_what_load_names_is_there_and_raiseload_is_kept(session: Session) -> None:
    session.add(Author(name="Ada", books=[Book(title="Notes")]))
    session.commit()

    session.expunge_all()
    (eager,) = run(EagerRepository(session).get_all())
    assert "books" in vars(eager)

    session.expunge_all()
    (strict,) = run(StrictRepository(session).get_all())
    with pytest.raises(Exception, match="books"):
        _ = strict.books


def test_what_was_loaded_stays_readable_after_a_failed_unit(session: Session) -> None:
    service = AuthorService(AuthorRepository(session))
    ada = run(service.create_entity({"name": "Ada"}))

    with suppress(AlreadyExistsError):
        run(service.create_twice("Bob"))

    assert ada.name == "Ada"


def test_statements_of_ones_own_run_at_once(session: Session) -> None:
    authors = AuthorRepository(session)

    async def work() -> int | None:
        async with authors.unit_of_work():
            await authors.db_session.execute(insert(Author).values(name="Ada"))
        return await authors.db_session.scalar(select(Author.id))

    assert run(work()) is not None
    assert authors.db_session.sync_session is session


def test_an_async_connection_of_a_sync_session_is_refused(session: Session) -> None:
    authors = AuthorRepository(session)

    with pytest.raises(UsageError, match=r"sync_session\.connection"):
        run(authors.db_session.connection())


def test_streams_are_iterated(session: Session) -> None:
    authors = AuthorRepository(session)
    run(authors.create_many({"name": f"n{n}"} for n in range(5)))

    names = [author.name for author in iterate(authors.stream(batch_size=2))]

    assert names == [f"n{n}" for n in range(5)]


def test_a_stream_that_is_left_half_way_is_closed(session: Session) -> None:
    authors = AuthorRepository(session)
    run(authors.create_many({"name": f"n{n}"} for n in range(5)))
    stream = authors.stream(batch_size=2)

    first = next(iter(iterate(stream)))

    assert first.name == "n0"
    assert list(iterate(stream)) == []


def test_a_session_is_freed_without_the_garbage_collector(engine: Engine) -> None:
    session = Session(engine)
    run(AuthorRepository(session).get_all())
    session.close()
    gone = weakref.ref(session)
    gc.disable()
    try:
        del session
        assert gone() is None
    finally:
        gc.enable()


def test_a_unit_without_a_holder_of_its_session_says_so() -> None:
    unit = unit_of(Session())

    with pytest.raises(UnitOfWorkError, match="gone"):
        _ = unit.session


def test_a_second_repository_shares_the_unit_of_a_session(session: Session) -> None:
    with unit_of_work(AuthorRepository(session)):
        ada = run(AuthorRepository(session).create({"name": "Ada"}))
        book = run(
            Repository[Book, int](session, Book).create(
                {"title": "Notes", "author_id": ada.id}
            )
        )

    assert book.author_id == ada.id


def test_a_database_of_a_sync_factory_makes_tables_and_answers(engine: Engine) -> None:
    Base.metadata.drop_all(engine)
    database = Database(sessionmaker(engine))

    run(database.create_all(Base.metadata))
    run(database.ping())

    assert run(AuthorRepository(database).count()) == 0
    with pytest.raises(UsageError, match="no AsyncEngine"):
        _ = database.engine


def test_an_engine_is_refused_with_the_session_factory() -> None:
    engine = create_engine("sqlite://")

    with pytest.raises(UsageError, match=r"sessionmaker\(engine\)"):
        AuthorRepository(engine)  # type: ignore[arg-type] # a mistake on purpose
    with pytest.raises(UsageError, match=r"sessionmaker\(engine\)"):
        Database(engine)  # type: ignore[arg-type] # a mistake on purpose


def test_who_uses_the_session_of_an_open_unit_is_told_what_it_is() -> None:
    authors = AuthorRepository(Session(create_engine("sqlite://")))
    told: list[str] = []

    def count() -> None:
        with pytest.raises(UnitOfWorkError) as refused:
            run(authors.count())
        told.append(str(refused.value).partition(":")[0])

    def elsewhere(work: Callable[[], None]) -> None:
        thread = Thread(target=work)
        thread.start()
        thread.join()

    with unit_of_work(authors):
        inside = copy_context()
        elsewhere(count)
        Context().run(count)
    elsewhere(lambda: inside.run(count))

    verb = "AuthorRepository.count from"
    assert told == [
        f"{verb} another thread than the open unit's",
        f"{verb} another context than the open unit's",
        f"{verb} a thread that outlived its unit of work",
    ]
