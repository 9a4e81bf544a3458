"""The mixins on all kinds of mapped classes, and what is refused with them."""

import inspect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, assert_type
from uuid import UUID

import pytest
from sqlalchemy import ForeignKey, Interval, String
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from layerkit import ALL, AlreadyExistsError, MemoryDatabase, Repository, UsageError
from layerkit.repository import adapter_for
from layerkit.sql import (
    Database,
    SoftDeleteMixin,
    TimestampMixin,
    UTCDateTime,
    UUIDKeyMixin,
    VersionMixin,
    unique_live,
)
from tests.support.databases import new_tables


class Records(DeclarativeBase):
    """Hold the tables of these tests."""


class Note(UUIDKeyMixin, TimestampMixin, VersionMixin, SoftDeleteMixin, Records):
    __tablename__ = "mixed_notes"
    slug: Mapped[str] = mapped_column(String(20), index=True)
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    __table_args__ = (unique_live("slug", name="live_slug"),)


class Animal(TimestampMixin, Records):
    __tablename__ = "mixed_animals"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(20))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 - declarative's


class Dog(Animal):
    __tablename__ = "mixed_dogs"
    id: Mapped[int] = mapped_column(ForeignKey("mixed_animals.id"), primary_key=True)
    tricks: Mapped[int] = mapped_column(default=0)
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012 - declarative's


class Classes(MappedAsDataclass, DeclarativeBase):
    """Make dataclasses of mapped classes."""


class Card(UUIDKeyMixin, TimestampMixin, VersionMixin, SoftDeleteMixin, Classes):
    __tablename__ = "mixed_cards"
    name: Mapped[str] = mapped_column(String(20))


async def fresh(database: Database) -> None:
    for base in (Records, Classes):
        await new_tables(database.engine, base.metadata)


def test_the_fields_of_mixins_are_typed() -> None:
    def types(note: Note) -> None:
        assert_type(note.id, UUID)
        assert_type(note.created_at, datetime)
        assert_type(note.version, int)
        assert_type(note.deleted_at, datetime | None)

    assert callable(types)


async def test_a_mapped_dataclass_takes_the_mixins(sqlite: Database) -> None:
    await fresh(sqlite)
    for home in (sqlite, MemoryDatabase()):
        cards = Repository[Card, UUID](home, Card)

        made = await cards.create(Card(name="a"))
        changed = await cards.update(made.id, {"name": "b"})

        assert changed is not None
        assert (changed.version, changed.deleted_at) == (2, None)
        assert changed.updated_at >= made.created_at
    assert repr(Card(name="a")).endswith("Card(name='a')")


async def test_a_change_of_a_subclass_moves_the_stamp_of_its_parent(
    database: Database,
) -> None:
    await fresh(database)
    dogs = Repository[Dog, int](database, Dog)
    made = await dogs.create({"name": "Rex"})
    before = made.updated_at

    changed = await dogs.update(made.id, {"tricks": 3})
    assert changed is not None
    after = changed.updated_at
    async with dogs.unit_of_work():
        tracked = await dogs.get_by_id(made.id)
        assert tracked is not None
        tracked.tricks = 3

    assert after > before
    [read] = await dogs.get_all()
    assert (read.tricks, read.updated_at) == (3, after)


async def test_moments_are_kept_to_the_microsecond_and_come_back_in_utc(
    database: Database,
) -> None:
    await fresh(database)
    notes = Repository[Note, UUID](database, Note)
    east = timezone(timedelta(hours=2))
    due_at = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=east)

    made = await notes.create({"slug": "a", "due_at": due_at})
    read = await notes.get_by_id(made.id)

    assert read is not None
    assert read.due_at == due_at
    assert read.due_at.tzinfo is UTC


def test_what_is_added_to_a_moment_in_sql_is_no_moment() -> None:
    later = Note.due_at + timedelta(days=1)
    earlier = Note.due_at < datetime.now(UTC)

    assert isinstance(later.right.type, Interval)
    assert isinstance(earlier.right.type, UTCDateTime)


async def test_a_live_rule_is_named_on_every_dialect(database: Database) -> None:
    await fresh(database)
    notes = Repository[Note, UUID](database, Note)
    first = await notes.create({"slug": "a"})

    with pytest.raises(AlreadyExistsError) as taken:
        await notes.create({"slug": "a"})
    await notes.delete(first.id)
    await notes.create({"slug": "a"})

    assert (taken.value.constraint, taken.value.fields) == ("live_slug", ("slug",))


def test_a_live_rule_needs_to_know_what_was_deleted() -> None:
    class Bare(DeclarativeBase):
        pass

    with pytest.raises(UsageError, match="has no column deleted_at"):

        class Row(Bare):
            __tablename__ = "bare"
            id: Mapped[int] = mapped_column(primary_key=True)
            slug: Mapped[str]
            __table_args__ = (unique_live("slug"),)


def test_mapper_arguments_of_a_base_that_the_version_hides_are_refused() -> None:
    class Eager(DeclarativeBase):
        __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - declarative's

    class Lost(UUIDKeyMixin, VersionMixin, Eager):
        __tablename__ = "lost"

    class Kept(UUIDKeyMixin, VersionMixin, Eager):
        __tablename__ = "kept"
        __mapper_args__ = {**Eager.__mapper_args__, **VersionMixin.__mapper_args__}  # type: ignore[misc]  # noqa: RUF012 - declarative's

    with pytest.raises(UsageError, match=r"VersionMixin, which hide Eager's"):
        adapter_for(Lost)
    kept: Any = adapter_for(Kept)
    assert (kept.version, kept.mapper.eager_defaults) == ("version", True)


# A deleted_at without the mixin


class Own(DeclarativeBase):
    """Hold the tables of classes with a ``deleted_at`` of their own."""


class Plain(Own):
    __tablename__ = "own_plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Marked(Own):
    __tablename__ = "own_marked"
    id: Mapped[int] = mapped_column(primary_key=True)
    deleted_at: Mapped[datetime | None] = mapped_column(
        UTCDateTime, info={"layerkit.deleted": True, "layerkit.stamp": True}
    )


@dataclass
class Texted:
    """Have a field of the name that says nothing of a time."""

    id: int
    deleted_at: str | None = None


@pytest.mark.parametrize("entity", [Plain, Texted])
async def test_a_field_of_the_name_alone_is_told_how_to_hide_rows(
    entity: type[Any],
) -> None:
    repository = Repository[Any, int](MemoryDatabase(), entity)
    await repository.create({"id": 1})

    for ask in (repository.with_deleted, lambda: repository.restore(1)):
        with pytest.raises(UsageError) as refused:
            answer = ask()
            await answer if inspect.isawaitable(answer) else answer
        told = str(refused.value)
        assert f"the deleted_at of {entity.__name__} is a field like any other" in told
        assert "put SoftDeleteMixin of layerkit.sql in its place" in told
        assert "`datetime | None`" in told


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_column_that_is_marked_hides_rows(url: str, is_stored: bool) -> None:
    async with Database(url) as database:
        await database.create_all(Own.metadata)
        home = database if is_stored else MemoryDatabase()
        repository = Repository[Any, int](home, Marked)
        await repository.with_deleted().delete_where(ALL)
        await repository.create({"id": 1})

        assert await repository.delete(1) is True

        assert await repository.count() == 0
        assert await repository.with_deleted().count() == 1
        restored = await repository.restore(1)
        assert restored is not None
        assert restored.deleted_at is None
