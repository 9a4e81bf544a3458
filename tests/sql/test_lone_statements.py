"""Which verbs outside of a unit are one statement, which needs no transaction."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import (
    Connection,
    DateTime,
    ForeignKey,
    Numeric,
    String,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    column_property,
    mapped_column,
    relationship,
    selectinload,
)

from layerkit.core.errors import UnitOfWorkError
from layerkit.repository import Repository
from layerkit.sql import Database, SQLRepository
from layerkit.unit_of_work import UnitOfWork, current_unit
from tests.support.databases import new_tables

SQLITE, POSTGRESQL, MARIADB = "sqlite://", "postgresql://h/d", "mariadb://h/d"
READ, INSERT, CHANGE = "read", "insert", "change"
UPDATE, DELETE, UPSERT = "update", "delete", "upsert"
ALL_VERBS = {READ, INSERT, CHANGE, UPDATE, DELETE, UPSERT}


class Base(DeclarativeBase):
    """Hold the tables."""


class Plain(Base):
    """Have nothing that a statement does not return."""

    __tablename__ = "lone_plain"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)


class Dated(Base):
    """Hold what may be stored so that no reader understands it."""

    __tablename__ = "lone_dated"

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]


class Stamped(Base):
    """Hold what the database makes, and may not be understood."""

    __tablename__ = "lone_stamped"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    made: Mapped[datetime] = mapped_column(DateTime, server_default=func.now())


class Priced(Base):
    """Hold what SQLite stores in many forms."""

    __tablename__ = "lone_priced"

    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[float] = mapped_column(Numeric(10, 2))


class Counted(Base):
    """Have what only a SELECT returns."""

    __tablename__ = "lone_counted"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


Counted.length = column_property(func.length(Counted.name))


class Late(Base):
    """Read what the database makes when somebody asks."""

    __tablename__ = "lone_late"
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - declarative's

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(server_default="1")


class Animal(Base):
    """Be the root of classes in one table."""

    __tablename__ = "lone_animals"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 - declarative's

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))


class Dog(Animal):
    """Have a table beside that of its root."""

    __tablename__ = "lone_dogs"
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012 - declarative's

    id: Mapped[int] = mapped_column(ForeignKey("lone_animals.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


class Box(Base):
    """Be deleted with its things, by the mapping."""

    __tablename__ = "lone_boxes"

    id: Mapped[int] = mapped_column(primary_key=True)
    things: Mapped[list["Thing"]] = relationship(cascade="all")


class Thing(Base):
    """Be in a box, which each read brings along."""

    __tablename__ = "lone_things"

    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int | None] = mapped_column(ForeignKey("lone_boxes.id"))
    box: Mapped[Box | None] = relationship(lazy="joined", viewonly=True)


class Shelf(Base):
    """Leave its books to the foreign keys of the database."""

    __tablename__ = "lone_shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list["Book"]] = relationship(passive_deletes=True)


class Book(Base):
    """Stand on a shelf."""

    __tablename__ = "lone_books"

    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(
        ForeignKey("lone_shelves.id", ondelete="SET NULL")
    )


class Heard(Base):
    """Have listeners of the caller's to what is inserted."""

    __tablename__ = "lone_heard"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


class Watched(Base):
    """Have a listener to what an attribute is set to."""

    __tablename__ = "lone_watched"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


def hear(*_: object) -> None:
    """Change nothing."""


event.listen(Heard, "before_insert", hear)
event.listen(Watched.name, "set", hear)


def single(entity: type[Any], url: str, given: Any) -> set[str]:
    """Return the verbs that are one statement."""
    backend: Any = SQLRepository(Database(url), entity)._backend
    new = given if isinstance(given, entity) else entity()
    changes = given if isinstance(given, dict) else {"id": 1}
    given_to = {INSERT: new, CHANGE: changes, UPDATE: changes}
    return {verb for verb in ALL_VERBS if backend.at_once(verb, given_to.get(verb))}


@pytest.mark.parametrize(
    ("entity", "url", "verbs"),
    [
        (Plain, SQLITE, ALL_VERBS),
        (Plain, POSTGRESQL, ALL_VERBS),
        (Plain, MARIADB, {READ}),
        (Dated, SQLITE, ALL_VERBS - {CHANGE, UPSERT}),
        (Stamped, SQLITE, ALL_VERBS - {INSERT, CHANGE, UPSERT}),
        (Priced, SQLITE, ALL_VERBS - {CHANGE, UPSERT}),
        (Counted, SQLITE, {READ}),
        (Late, SQLITE, {READ}),
        (Animal, SQLITE, {READ}),
        (Dog, SQLITE, {READ}),
        (Box, SQLITE, ALL_VERBS - {DELETE}),
        (Thing, SQLITE, set()),
        (Shelf, SQLITE, ALL_VERBS - {DELETE}),
        (Shelf, POSTGRESQL, ALL_VERBS),
        (Heard, SQLITE, ALL_VERBS - {INSERT, UPSERT}),
        (Watched, SQLITE, ALL_VERBS - {CHANGE, UPDATE, UPSERT}),
    ],
)
def test_verbs_that_are_one_statement(
    entity: type[Any], url: str, verbs: set[str]
) -> None:
    assert single(entity, url, None) == verbs


def test_an_entity_with_others_to_be_stored_is_no_single_statement() -> None:
    assert INSERT not in single(Box, SQLITE, Box(things=[Thing()]))


def test_a_change_of_nothing_is_no_single_statement() -> None:
    assert CHANGE not in single(Plain, SQLITE, {})


def test_options_that_load_more_take_a_transaction() -> None:
    class Boxes(SQLRepository[Box, int]):
        load = (selectinload(Box.things),)

    backend = Boxes(Database(SQLITE))._backend

    assert not backend.at_once("read")
    assert not backend.at_once("change", {"id": 1})


async def test_a_write_that_somebody_listens_to_is_in_a_unit() -> None:
    units: list[UnitOfWork | None] = []

    def note(_: Connection) -> None:
        units.append(current_unit())

    async with Database(SQLITE) as database:
        await new_tables(database.engine, Base.metadata)
        items = Repository[Plain, int](database, Plain)
        event.listen(database.engine.sync_engine, "begin", note)
        units.clear()

        await items.create({"name": "a"})
        await items.count()

    heard, read = units
    assert heard is not None
    assert read is None


async def test_new_objects_of_a_nested_block_that_failed_undo_the_whole(
    sqlite: Database,
) -> None:
    await new_tables(sqlite.engine, Base.metadata)
    items = Repository[Plain, int](sqlite, Plain)

    async def fail() -> None:
        async with items.unit_of_work():
            sqlite.session().add(Plain(name="a"))
            raise ZeroDivisionError

    with pytest.raises(UnitOfWorkError, match="rollback-only"):
        async with items.unit_of_work():
            with pytest.raises(ZeroDivisionError):
                await fail()

    async with sqlite.engine.connect() as connection:
        assert (await connection.execute(select(Plain.id))).all() == []


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite:///{tmp_path / 'lone.db'}") as database:
        await new_tables(database.engine, Base.metadata)
        yield database


async def test_a_lone_verb_takes_no_turn_of_aiosqlite_but_those_of_its_statement(
    file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    plain = Repository[Plain, int](file, Plain)
    await plain.create({"name": "first"})  # the connection is open, the class known
    execute: Any = aiosqlite.Connection._execute

    async def counted(connection: Any, work: Any, *given: Any, **named: Any) -> Any:
        turns.append(getattr(work, "__name__", "other"))
        return await execute(connection, work, *given, **named)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)

    await plain.get_by_id(1)
    read, turns[:] = [*turns], []
    await plain.create({"name": "second"})

    assert read == ["cursor", "execute", "fetchall", "close"]
    assert turns == ["cursor", "execute", "close"]


async def test_a_transaction_begun_by_hand_after_a_lone_verb_is_undone(
    file: Database,
) -> None:
    plain = Repository[Plain, int](file, Plain)
    await plain.create({"name": "kept"})

    async with file.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("BEGIN")
        await driver.execute("INSERT INTO lone_plain (name) VALUES ('lost')")

    assert [p.name for p in await plain.get_all()] == ["kept"]
    async with file.unit_of_work():  # which could not begin inside of another
        await plain.create({"name": "new"})
    assert await plain.count() == 2


async def test_a_unit_after_a_lone_verb_ends_on_the_connection_it_began_on(
    file: Database,
) -> None:
    plain = Repository[Plain, int](file, Plain)
    await plain.count()

    with pytest.raises(LookupError):
        async with file.unit_of_work():
            await plain.create({"name": "lost"})
            raise LookupError
    async with file.unit_of_work():
        await plain.create({"name": "kept"})

    async with Database(file.engine.url) as other:
        found = await Repository[Plain, int](other, Plain).get_all()
    assert [p.name for p in found] == ["kept"]


async def test_who_comes_to_listen_between_two_verbs_is_heard(file: Database) -> None:
    plain = Repository[Plain, int](file, Plain)
    began: list[str] = []

    def note(connection: Connection) -> None:
        began.append(connection.get_execution_options()["layerkit_begin"])

    await plain.create({"name": "first"})
    event.listen(file.engine.sync_engine, "begin", note)
    await plain.create({"name": "second"})
    event.remove(file.engine.sync_engine, "begin", note)
    await plain.create({"name": "third"})

    assert began == ["IMMEDIATE"]


async def test_a_connection_that_was_used_alone_may_begin_and_end_after_it(
    file: Database,
) -> None:
    async with file.engine.connect() as connection:
        await connection.execution_options(layerkit_begin="NOT")
        await connection.execute(select(Plain))
        await connection.rollback()
        await connection.execution_options(layerkit_begin="IMMEDIATE")
        await connection.execute(insert(Plain).values(name="kept"))
        await connection.commit()
        await connection.execute(insert(Plain).values(name="lost"))

    found = await Repository[Plain, int](file, Plain).get_all()
    assert [plain.name for plain in found] == ["kept"]
