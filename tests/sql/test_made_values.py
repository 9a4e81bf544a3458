"""Values that the database, or a type, makes: readable, in the unit and after it."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import JSON, Computed, DateTime, String, func
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedSQLExpression,
    column_property,
    mapped_column,
)

from layerkit import ALL, Repository, ValidationError
from layerkit.sql import Database
from tests.support.databases import new_tables
from tests.support.statements import sent


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Crate(Base):
    """Have a column that the database computes, and one that it stamps."""

    __tablename__ = "crates"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(10), unique=True)
    size: Mapped[int] = mapped_column(default=1)
    volume: Mapped[int] = mapped_column(Computed("size * size", persisted=True))
    changed: Mapped[datetime | None] = mapped_column(DateTime, onupdate=func.now())
    label: MappedSQLExpression[str] = column_property(name + "!")


class Note(Base):
    """Hold a value that is changed from inside."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSON))


@pytest.fixture
async def crates(database: Database) -> Repository[Crate, int]:
    await new_tables(database.engine, Base.metadata)
    return Repository[Crate, int](database, Crate)


@pytest.mark.defect("R44")
async def test_what_the_database_makes_of_a_tracked_change_is_readable(
    crates: Repository[Crate, int],
) -> None:
    await crates.create_many([{"name": "a"}, {"name": "b"}])

    async with crates.unit_of_work() as unit:
        a, b = await crates.get_all()
        a.size = b.size = 3
        await crates.count()
        seen = a.volume
        async with unit.savepoint():
            a.size = 4
        inside = a.volume
        b.size = 5

    assert (seen, inside, a.volume, b.volume) == (9, 16, 16, 25)
    assert a.changed is not None
    assert b.changed is not None


async def test_what_a_flush_has_expired_is_read_by_one_statement(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)
    crates = Repository[Crate, int](sqlite, Crate)
    await crates.create_many([{"name": str(n)} for n in range(20)])

    with sent(sqlite.engine) as statements:
        async with crates.unit_of_work():
            for crate in await crates.get_all():
                crate.size = 2

    assert [s.partition(" ")[0] for s in statements].count("SELECT") == 2


async def test_an_sql_expression_of_the_mapping_follows_every_verb(
    crates: Repository[Crate, int],
) -> None:
    created = await crates.create({"name": "a"})
    updated = await crates.update(created.id, {"name": "b"})
    upserted = await crates.upsert({"name": "b", "size": 2}, key="name")
    async with crates.unit_of_work():
        held = await crates.get_by_id(created.id)
        assert held is not None
        await crates.update_where(ALL, {"name": "c"})

    assert updated is not None
    assert (created.label, updated.label) == ("a!", "b!")
    assert (upserted.label, upserted.volume, held.label) == ("b!", 4, "c!")


async def test_a_value_that_is_changed_from_inside_stays_tracked(
    database: Database, crates: Repository[Crate, int]
) -> None:
    notes = Repository[Note, int](crates.home, Note)
    async with database.unit_of_work() as unit:
        note = await notes.create({"tags": {"a": 1}})
        await notes.update(note.id, {"tags": {"b": 1}})
        await notes.update_where(ALL, {"tags": {"c": 1}})
        note.tags["d"] = 1
        with pytest.raises(LookupError):
            async with unit.savepoint():
                note.tags["e"] = 1
                raise LookupError
        note.tags["f"] = 1

    found = await notes.get_by_id(note.id)
    assert found is not None
    assert found.tags == {"c": 1, "d": 1, "f": 1}


async def test_a_value_that_the_database_computes_is_not_written(
    crates: Repository[Crate, int],
) -> None:
    made = await crates.create({"name": "a"})

    for data in ({"name": "b", "volume": 5}, Crate(name="b", volume=5)):
        with pytest.raises(ValidationError, match="computes volume") as refused:
            await crates.create(data)
        assert refused.value.fields == ("volume",)
    with pytest.raises(ValidationError, match="volume"):
        await crates.create_many([{"name": "b", "volume": 5}])
    with pytest.raises(ValidationError, match="volume"):
        await crates.upsert({"name": "b", "volume": 5}, key="name")
    with pytest.raises(ValidationError, match="can't be changed"):
        await crates.update(made.id, {"volume": 5})
    with pytest.raises(ValidationError, match="can't be changed"):
        async with crates.unit_of_work():
            held = await crates.get_by_id(made.id)
            assert held is not None
            held.volume = 5

    assert await crates.count() == 1
