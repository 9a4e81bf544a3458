"""Changes of loaded entities: written before reads, and checked like any update."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import JSON, TypeDecorator
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, MemoryDatabase, Repository, field
from layerkit.sql import Database
from tests.support.authors import Authors, Sessions
from tests.support.databases import new_tables
from tests.support.library import Author, Book, Loan, Seat, Versioned


class Base(DeclarativeBase):
    pass


class Boxed(TypeDecorator[Any]):
    impl = JSON
    cache_ok = True


class Sheet(Base):
    __tablename__ = "sheets"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[Any] = mapped_column(JSON, nullable=True)
    boxed: Mapped[Any] = mapped_column(Boxed, nullable=True)
    lasts: Mapped[timedelta | None]
    stage: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": stage, "version_id_generator": False}  # noqa: RUF012 - declarative's

    @validates("lasts")
    def _check(self, _: str, value: timedelta | None) -> timedelta | None:
        if value == timedelta(0):
            raise LookupError("no time")
        return value


@pytest.fixture
async def sheets(database: Database) -> Repository[Sheet, int]:
    await new_tables(database.engine, Base.metadata)
    return Repository[Sheet, int](database, Sheet)


# Written before other statements


@pytest.fixture
def lazy(engine: AsyncEngine) -> Sessions:
    """Sessions that write nothing before they are told to."""
    return async_sessionmaker(engine, autoflush=False)


async def change(authors: Authors) -> Author:
    author = await authors.create({"name": "Ada"})
    author.name = "Bob"
    found = await authors.find(field("name") == "Bob")
    assert found == [author]
    author.name = "Cid"
    updated = await authors.update(author.id, {"rank": 1})
    assert updated is author
    return author


async def test_a_database_of_sessions_without_autoflush_loses_no_change(
    lazy: Sessions,
) -> None:
    authors = Authors(Database(lazy))

    async with authors.unit_of_work():
        await change(authors)

    (stored,) = await authors.find(ALL)
    assert (stored.name, stored.rank) == ("Cid", 1)


async def test_a_session_without_autoflush_loses_no_change(lazy: Sessions) -> None:
    async with lazy() as session:
        authors = Authors(session)
        async with authors.unit_of_work():
            await change(authors)
        assert session.autoflush is False

    (stored,) = await Authors(Database(lazy)).find(ALL)
    assert (stored.name, stored.rank) == ("Cid", 1)


async def test_a_bare_verb_leaves_autoflush_to_the_session(lazy: Sessions) -> None:
    async with lazy() as session, session.begin():
        authors = Authors(session)
        author = await authors.create({"name": "Ada"})
        author.name = "Bob"

        assert await authors.find(field("name") == "Bob") == []


# Checked like an update


def set_type(loan: Loan) -> None:
    loan.copies = "many"  # type: ignore[assignment] # the mistake


def set_null(loan: Loan) -> None:
    loan.copies = None  # type: ignore[assignment] # the mistake


def remove_value(loan: Loan) -> None:
    del loan.copies


def set_key(loan: Loan) -> None:
    loan.id = 77


MISTAKES: list[tuple[Callable[[Loan], None], type[AppException], str]] = [
    (set_type, ValidationError, "copies: int"),
    (set_null, ValidationError, "copies must not be null"),
    (remove_value, ValidationError, "copies must not be null"),
    (set_key, UsageError, "the key of a Loan was changed: id"),
]


async def new_loan(home: Any) -> tuple[Repository[Loan, int], int]:
    book = await Repository[Book, int](home, Book).create({"title": "a"})
    loans = Repository[Loan, int](home, Loan)
    return loans, (await loans.create({"book_id": book.id})).id


async def loaded(loans: Repository[Loan, int], loan_id: int) -> Loan:
    loan = await loans.get_by_id(loan_id)
    assert loan is not None
    return loan


@pytest.mark.parametrize(("mistake", "kind", "said"), MISTAKES)
async def test_a_tracked_change_is_checked_by_the_commit(
    database: Database,
    mistake: Callable[[Loan], None],
    kind: type[AppException],
    said: str,
) -> None:
    loans, loan_id = await new_loan(database)

    with pytest.raises(kind, match=said):
        async with loans.unit_of_work():
            mistake(await loaded(loans, loan_id))

    assert (await loaded(loans, loan_id)).copies == 1


@pytest.mark.parametrize(("mistake", "kind", "said"), MISTAKES)
async def test_a_tracked_change_that_a_read_would_flush_makes_the_unit_rollback_only(
    sqlite: Database,
    mistake: Callable[[Loan], None],
    kind: type[AppException],
    said: str,
) -> None:
    loans, loan_id = await new_loan(sqlite)

    with pytest.raises(UnitOfWorkError, match="can only roll back"):
        async with loans.unit_of_work():
            mistake(await loaded(loans, loan_id))
            with pytest.raises(kind, match=said):
                await loans.count()

    assert (await loaded(loans, loan_id)).copies == 1


async def test_a_tracked_change_is_checked_around_a_unit_of_another_home(
    sqlite: Database,
) -> None:
    loans, loan_id = await new_loan(sqlite)

    with pytest.raises(UnitOfWorkError, match="rollback-only after ValidationError"):
        async with loans.unit_of_work():
            set_type(await loaded(loans, loan_id))
            async with MemoryDatabase().unit_of_work():
                with pytest.raises(ValidationError, match="copies: int"):
                    await loans.count()


async def test_a_tracked_change_on_a_session_is_checked_in_a_unit(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        loans, loan_id = await new_loan(session)
        await session.commit()

        with pytest.raises(ValidationError, match="copies: int"):
            async with loans.unit_of_work():
                set_type(await loaded(loans, loan_id))


async def test_a_session_outside_of_a_unit_stays_the_callers(
    sessions: Sessions,
) -> None:
    async with sessions() as session, session.begin():
        loans, loan_id = await new_loan(session)
        set_key(await loaded(loans, loan_id))
        await session.flush()

        assert await loans.exists(77)


async def test_a_version_that_the_mapping_counts_is_not_set(sqlite: Database) -> None:
    items = Repository[Versioned, int](sqlite, Versioned)
    item = await items.create({"name": "a"})

    with pytest.raises(ValidationError, match="the version of a Versioned"):
        async with items.unit_of_work():
            found = await items.get_by_id(item.id)
            assert found is not None
            found.version = 9


async def test_a_version_of_the_callers_own_counting_is_set(
    sheets: Repository[Sheet, int],
) -> None:
    sheet = await sheets.create(Sheet(stage=1))

    async with sheets.unit_of_work():
        found = await sheets.get_by_id(sheet.id)
        assert found is not None
        found.data, found.stage = 1, 2

    assert await sheets.exists(sheet.id)
    assert [s.stage for s in await sheets.find(ALL)] == [2]


async def test_an_attribute_may_be_set_to_sql(sqlite: Database) -> None:
    loans, loan_id = await new_loan(sqlite)

    async with loans.unit_of_work():
        loan: Any = await loaded(loans, loan_id)
        loan.copies = Loan.copies + 1

    assert (await loaded(loans, loan_id)).copies == 2


# Errors of Python in the middle of a verb


@pytest.mark.defect("R12")
async def test_an_own_error_of_the_mapping_passes_and_makes_the_unit_rollback_only(
    sheets: Repository[Sheet, int],
) -> None:
    sheet = await sheets.create(Sheet(stage=1))

    with pytest.raises(UnitOfWorkError, match="rollback-only after LookupError"):
        async with sheets.unit_of_work():
            with pytest.raises(LookupError, match="no time"):
                await sheets.update(sheet.id, {"data": 5, "lasts": timedelta(0)})

    assert [s.data for s in await sheets.find(ALL)] == [None]


# JSON's own null


async def test_a_null_in_json_is_found_as_one(sheets: Repository[Sheet, int]) -> None:
    async with sheets.unit_of_work():
        await sheets.create(Sheet(stage=1, data=None, boxed=None))
        await sheets.create(Sheet(stage=2))
        await sheets.create(Sheet(stage=3, data="null", boxed={"a": None}))

    for name in ("data", "boxed"):
        missing = await sheets.find(field(name).is_null())
        there = await sheets.find(~field(name).is_null())
        assert [sheet.stage for sheet in missing] == [1, 2], name
        assert [sheet.stage for sheet in there] == [3], name


async def test_a_refusal_at_the_commit_names_fields_and_not_columns(
    database: Database,
) -> None:
    seats = Repository[Seat, tuple[str, int]](database, Seat)
    await seats.create({"row": "A", "number": 1, "guest": "Ada", "night": 1})
    await seats.create({"row": "A", "number": 2, "guest": "Bob", "night": 1})

    with pytest.raises(AlreadyExistsError) as refused:
        async with seats.unit_of_work():
            bob = await seats.get_by_id(("A", 2))
            assert bob is not None
            bob.guest = "Ada"

    assert (refused.value.constraint, refused.value.fields) == (
        "one_seat_a_night",
        ("guest", "night"),
    )


async def test_an_update_by_objects_may_set_what_a_view_had_confined(
    sheets: Repository[Sheet, int],
) -> None:
    hour = timedelta(hours=1)
    view = sheets.scoped(field("lasts") == hour)
    made = await view.create({"id": 1})

    async with sheets.unit_of_work():
        held = await view.get_by_id(made.id)
        changed = await sheets.update(made.id, {"lasts": 2 * hour})

        assert changed is held

    assert await sheets.count(field("lasts") == 2 * hour) == 1


async def test_what_is_changed_after_an_update_by_objects_is_checked_again(
    sheets: Repository[Sheet, int],
) -> None:
    await sheets.create({"id": 1})

    with pytest.raises(ValidationError, match="lasts"):
        async with sheets.unit_of_work():
            held = await sheets.update(1, {"lasts": timedelta(hours=1)})
            assert held is not None
            held.lasts = 5  # type: ignore[assignment] # as a caller may get it wrong


async def test_what_a_read_has_flushed_counts_as_written_where_its_block_fails(
    sheets: Repository[Sheet, int],
) -> None:
    await sheets.create({"id": 1})

    with pytest.raises(UnitOfWorkError):
        async with sheets.unit_of_work():
            held = await sheets.get_by_id(1)
            assert held is not None
            with pytest.raises(RuntimeError):
                async with sheets.unit_of_work():
                    held.lasts = timedelta(hours=1)
                    await sheets.count()
                    raise RuntimeError

    assert await sheets.count(field("lasts").is_null()) == 1
