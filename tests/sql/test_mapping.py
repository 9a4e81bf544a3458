"""The user's mapping: every verb respects its rules, or refuses."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Dialect, FetchedValue, Integer, String, TypeDecorator, event
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

from layerkit import (
    ALL,
    ConflictError,
    Inc,
    NotSupportedError,
    Repository,
    StaleDataError,
    UsageError,
    field,
)
from layerkit.sql import Database, UTCDateTime, UUIDKeyMixin, VersionMixin
from tests.support.library import (
    Author,
    Book,
    Checked,
    Manager,
    Seat,
    Ticket,
    Versioned,
)
from tests.support.library import Base as LibraryBase
from tests.support.statements import sent


async def test_a_version_column_of_ones_own_moves_by_every_verb(
    database: Database,
) -> None:
    rows = Repository[Versioned, int](database, Versioned)
    made = await rows.create({"name": "a"})

    updated = await rows.update(made.id, {"hits": Inc(1)}, expected_version=1)
    await rows.update_where(ALL, {"hits": Inc(1)})
    await rows.upsert({"id": made.id, "name": "b"}, key="id")
    async with rows.unit_of_work():
        held = await rows.get_by_id(made.id)
        assert held is not None
        held.hits += 1

    found = await rows.get_by_id(made.id)
    assert updated is not None
    assert found is not None
    assert (found.name, found.hits, found.version) == ("b", 3, 5)
    with pytest.raises(StaleDataError):
        await rows.delete(made.id, expected_version=4)
    assert await rows.create_many([{"name": "x"}, {"name": "y"}]) == 2
    assert await rows.count(field("version") == 1) == 2


async def test_a_version_that_the_mapping_counts_otherwise_goes_by_its_flush(
    sqlite: Database,
) -> None:
    class Base(DeclarativeBase): ...

    class Row(Base):
        __tablename__ = "leaps"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(10))
        version: Mapped[int] = mapped_column()
        __mapper_args__ = {  # noqa: RUF012 - declarative's
            "version_id_col": version,
            "version_id_generator": lambda version: (version or 0) + 10,
        }

    await sqlite.create_all(Base.metadata)
    rows = Repository[Row, int](sqlite, Row)
    await rows.create_many([{"name": "a"}, {"name": "b"}])

    await rows.update_where(ALL, {"name": "c"})
    one = await rows.update(1, {"name": "d"}, expected_version=20)

    assert one is not None
    assert one.version == 30
    with pytest.raises(NotSupportedError, match="use create and update"):
        await rows.upsert({"id": 1, "name": "e"}, key="id")


async def test_a_version_that_is_no_number_is_kept_and_guarded_by_a_condition(
    sqlite: Database,
) -> None:
    class Base(DeclarativeBase): ...

    class Row(Base):
        __tablename__ = "etags"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(10))
        etag: Mapped[str] = mapped_column(String(32))
        __mapper_args__ = {  # noqa: RUF012 - declarative's
            "version_id_col": etag,
            "version_id_generator": lambda _: uuid4().hex,
        }

    await sqlite.create_all(Base.metadata)
    rows = Repository[Row, int](sqlite, Row)
    made = await rows.create({"name": "a"})

    updated = await rows.update(1, {"name": "b"}, when=field("etag") == made.etag)
    await rows.update_where(ALL, {"name": "c"})

    found = await rows.get_by_id(1)
    assert updated is not None
    assert found is not None
    assert len({made.etag, updated.etag, found.etag}) == 3
    with pytest.raises(ConflictError):
        await rows.update(1, {"name": "d"}, when=field("etag") == made.etag)
    with pytest.raises(UsageError, match=r"Row\.etag holds str"):
        await rows.delete(1, expected_version=1)


async def test_a_version_that_the_server_counts_is_respected(postgres_url: str) -> None:
    class Base(DeclarativeBase): ...

    class Row(Base):
        __tablename__ = "counted_by_server"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(10))
        xmin: Mapped[int] = mapped_column(
            Integer, system=True, server_default=FetchedValue()
        )
        __mapper_args__ = {  # noqa: RUF012 - declarative's
            "version_id_col": xmin,
            "version_id_generator": False,
        }

    async with Database(postgres_url) as database:
        await database.create_all(Base.metadata)
        rows = Repository[Row, int](database, Row)
        made = await rows.create({"name": "a"})

        updated = await rows.update(made.id, {"name": "b"}, expected_version=made.xmin)
        async with rows.unit_of_work():
            held = await rows.get_by_id(made.id)
            assert held is not None
            held.name = "c"

        assert updated is not None
        assert len({made.xmin, updated.xmin, held.xmin}) == 3
        with pytest.raises(StaleDataError):
            await rows.delete(made.id, expected_version=updated.xmin)


async def test_validators_see_what_every_verb_writes(database: Database) -> None:
    rows = Repository[Checked, int](database, Checked)
    made = await rows.create({"name": " a "})

    await rows.create_many([{"name": " b "}, Checked(name=" c ")])
    await rows.upsert({"id": made.id, "name": " d "}, key="id")
    await rows.update_where(field("name") == "b", {"name": " e "})
    await rows.update(made.id, {"name": " f "})

    found = await rows.find(ALL, field("name").asc())
    assert [row.name for row in found] == ["c", "e", "f"]


class Logged(DeclarativeBase):
    """Hold the table of flush events."""


class Entry(Logged):
    __tablename__ = "entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(10))


SEEN: list[str] = []
for moment in ("before_insert", "after_update", "before_delete"):
    event.listen(Entry, moment, lambda *_, what=moment: SEEN.append(what))


class Color(StrEnum):
    """Be stored by name, as SQLAlchemy does it, and be a text all the same."""

    RED = "r"


class Lowered(TypeDecorator[str]):
    """Store texts in lower case."""

    impl = String(20)
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and value.lower()


async def test_filters_go_by_the_types_of_the_columns(database: Database) -> None:
    class Typed(DeclarativeBase): ...

    class Paint(Typed):
        __tablename__ = "paints"
        id: Mapped[int] = mapped_column(primary_key=True)
        color: Mapped[Color]
        code: Mapped[str] = mapped_column(Lowered)

    await database.create_all(Typed.metadata)
    paints = Repository[Paint, int](database, Paint)
    await paints.delete_where(ALL)
    await paints.create({"color": Color.RED, "code": "AB1"})

    for where in (
        field("color") == Color.RED,
        field("color").in_([Color.RED]),
        field("code") == "Ab1",
        field("code").in_(["aB1"]),
        field("code").contains("b1"),
        field("code").startswith("ab"),
        field("code").iendswith("B1"),
    ):
        assert await paints.count(where) == 1, where
    assert await paints.count(field("code").contains("AB")) == 0


async def test_flush_events_hear_of_every_entity(sqlite: Database) -> None:
    await sqlite.create_all(Logged.metadata)
    entries = Repository[Entry, int](sqlite, Entry)
    SEEN.clear()

    await entries.create_many([{"name": "a"}, {"name": "b"}])
    changed = await entries.update_where(ALL, {"name": "c"})
    deleted = await entries.delete_where(ALL)

    assert (changed, deleted) == (2, 2)
    moments = ("before_insert", "after_update", "before_delete")
    assert [moment for moment in moments for _ in "ab"] == SEEN
    with pytest.raises(NotSupportedError, match="use create and update"):
        await entries.upsert({"id": 1, "name": "a"}, key="id")
    with pytest.raises(NotSupportedError, match="use create and update"):
        await entries.upsert_many([{"id": 1, "name": "a"}], key="id")


async def test_sessions_may_be_bound_by_the_base_of_their_classes(
    database: Database,
) -> None:
    by_base = async_sessionmaker(binds={LibraryBase: database.engine})
    books = Repository[Book, int](by_base, Book)

    made = await books.create({"title": "a"})
    await books.upsert({"id": made.id, "title": "b"}, key="id")
    await books.update(made.id, {"title": "c"})
    async with by_base() as session:
        held = await Repository[Book, int](session, Book).find(field("title") == "c")

    assert [book.id for book in held] == [made.id]


async def test_joined_inheritance_is_written_to_both_tables(database: Database) -> None:
    managers = Repository[Manager, int](database, Manager)

    await managers.create_many([{"name": "a", "budget": 1}, {"name": "b"}])
    await managers.update_where(field("name") == "b", {"budget": 5, "name": "c"})
    await managers.delete_where(field("budget") == 1)

    [left] = await managers.get_all()
    assert (left.name, left.budget, left.kind) == ("c", 5, "manager")
    with pytest.raises(NotSupportedError, match="inheritance"):
        await managers.upsert({"id": 1, "name": "a"}, key="id")


async def test_cascades_of_the_mapping_run_in_bulk_too(database: Database) -> None:
    authors = Repository[Author, int](database, Author)
    books = Repository[Book, int](database, Book)
    await authors.create(Author(name="a", books=[Book(title="x"), Book(title="y")]))
    await authors.create_many([Author(name="b", books=[Book(title="z")])])

    assert await books.count() == 3
    assert await authors.delete_where(field("name") == "a") == 1

    assert [book.title for book in await books.get_all()] == ["z"]


async def test_what_refers_to_another_is_deleted_by_one_statement(
    sqlite: Database,
) -> None:
    books = Repository[Book, int](sqlite, Book)
    await books.create_many([{"title": "a"}, {"title": "b"}])

    with sent(sqlite.engine) as statements:
        await books.delete_where(ALL)

    assert len(statements) == 1


async def test_a_bulk_verb_keeps_what_is_loaded_of_relationships(
    sqlite: Database,
) -> None:
    authors = Repository[Author, int](sqlite, Author)
    async with authors.unit_of_work():
        author = await authors.create(Author(name="a", books=[Book(title="x")]))

        await authors.update_where(ALL, {"rank": 7})

        assert (author.rank, [book.title for book in author.books]) == (7, ["x"])


async def test_columns_of_other_names_and_keys_of_two_are_upserted(
    database: Database,
) -> None:
    seats = Repository[Seat, tuple[str, int]](database, Seat)
    await seats.create_many([{"row": "a", "number": 1, "guest": "Ada", "night": 1}])

    moved = await seats.upsert(
        {"row": "b", "number": 2, "guest": "Ada", "night": 1}, key=("night", "guest")
    )
    await seats.upsert_many(
        [{"row": "a", "number": 1, "guest": "Bob"}], key=("row", "number")
    )

    [seat] = await seats.get_all()
    assert (moved.row, moved.number) == ("a", 1)
    assert (seat.guest, seat.night) == ("Bob", 1)


async def test_an_imperative_mapping_has_all_verbs(database: Database) -> None:
    tickets = Repository[Ticket, str](database, Ticket)

    await tickets.create_many([Ticket("a"), {"code": "b", "price": 2}])
    await tickets.upsert({"code": "a", "price": 9}, key="code")
    await tickets.update_where(field("price") > 5, {"price": Inc(1)})

    found = await tickets.find(ALL, field("price").desc())
    assert [(ticket.code, ticket.price) for ticket in found] == [("a", 10), ("b", 2)]


async def test_a_batch_with_what_is_stored_already_is_refused(sqlite: Database) -> None:
    tickets = Repository[Ticket, str](sqlite, Ticket)

    async with tickets.unit_of_work() as unit:
        stored = await tickets.create(Ticket("a"))
        with pytest.raises(Exception, match="code already exists"):
            async with unit.savepoint():
                await tickets.create_many([stored])

    assert await tickets.count() == 1


def test_a_naive_moment_is_nobodys_time() -> None:
    moments = UTCDateTime()

    with pytest.raises(ValueError, match="naive"):
        moments.process_bind_param(datetime(2026, 1, 1), sqlite_dialect())  # noqa: DTZ001 - the point
    assert moments.process_bind_param(None, sqlite_dialect()) is None


class Hidden(DeclarativeBase):
    """Hold what a mistake would leave without a version."""


def test_mapper_arguments_that_hide_the_version_are_refused() -> None:
    class Row(UUIDKeyMixin, VersionMixin, Hidden):
        __tablename__ = "hidden"
        __mapper_args__ = {"eager_defaults": True}  # type: ignore[misc]  # noqa: RUF012 - the mistake

    with pytest.raises(UsageError, match="hide VersionMixin's"):
        Repository[Row, Any](Database("sqlite://"), Row)


async def test_keys_of_the_client_are_known_before_anything_is_sent(
    sqlite: Database,
) -> None:
    class Keyed(UUIDKeyMixin, Hidden):
        __tablename__ = "keyed"
        name: Mapped[str] = mapped_column(String(10))

    await sqlite.create_all(Hidden.metadata)
    rows = Repository[Keyed, Any](sqlite, Keyed)

    await rows.create_many([{"name": str(n)} for n in range(100)])

    keys = [row.id for row in await rows.find(ALL, field("id").asc())]
    assert [row.name for row in await rows.get_many(keys)] == [
        str(n) for n in range(100)
    ]
    assert {key.version for key in keys} == {7}
