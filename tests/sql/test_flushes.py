"""Rules that a flush or a COMMIT breaks are named, whosever verb it was."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import AlreadyExistsError, ConflictError, Repository, ValidationError
from layerkit.sql import Database


class Records(DeclarativeBase):
    """Hold the tables of these tests."""


class Shelf(Records):
    __tablename__ = "flush_shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column("shelf_code", String(20), unique=True)


class Box(Records):
    __tablename__ = "flush_boxes"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column("box_label", String(20))
    shelf: Mapped[int | None] = mapped_column(
        "shelf_id", ForeignKey("flush_shelves.id", name="box_shelf")
    )
    __table_args__ = (UniqueConstraint("box_label", name="one_label"),)


class Late(Records):
    """Have rules that PostgreSQL and SQLite check at the COMMIT."""

    __tablename__ = "flush_late"
    id: Mapped[int] = mapped_column(primary_key=True)
    box: Mapped[int | None] = mapped_column(
        "box_id",
        ForeignKey(
            "flush_boxes.id", name="late_box", deferrable=True, initially="DEFERRED"
        ),
    )


class Shelves(Repository[Shelf, int]): ...


class Boxes(Repository[Box, int]): ...


class Lates(Repository[Late, int]): ...


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Records.metadata.drop_all)
            tables = Records.metadata.sorted_tables
            if database.dialect.name == "mysql":  # it has no deferrable rules
                tables.remove(Records.metadata.tables[Late.__tablename__])
            await connection.run_sync(Records.metadata.create_all, tables=tables)
        yield database


async def test_a_tracked_change_that_another_verb_flushes_is_named_by_its_fields(
    opened: Database,
) -> None:
    shelves, boxes = Shelves(opened), Boxes(opened)
    await boxes.create_many([{"label": "a"}, {"label": "b"}])

    with pytest.raises(AlreadyExistsError) as taken:
        async with opened.unit_of_work():
            box = await boxes.get_by_id(2)
            assert box is not None
            box.label = "a"
            await shelves.count()

    assert (taken.value.constraint, taken.value.fields) == ("one_label", ("label",))


@pytest.mark.parametrize("ends", ["commit", "savepoint"])
async def test_what_the_end_of_a_unit_flushes_is_named_by_its_fields(
    opened: Database, ends: str
) -> None:
    boxes = Boxes(opened)
    await boxes.create_many([{"label": "a"}, {"label": "b"}])

    with pytest.raises(AlreadyExistsError) as taken:
        async with opened.unit_of_work() as unit:
            box = await boxes.get_by_id(2)
            assert box is not None
            if ends == "savepoint":
                async with unit.savepoint():
                    box.label = "a"
            box.label = "a"

    assert (taken.value.constraint, taken.value.fields) == ("one_label", ("label",))


async def test_a_reference_that_a_flush_breaks_is_named_by_its_field(
    opened: Database,
) -> None:
    boxes = Boxes(opened)
    await boxes.create({"label": "a"})

    with pytest.raises(ConflictError) as missing:
        async with opened.unit_of_work():
            [box] = await boxes.get_all()
            box.shelf = 99

    assert missing.value.kind == "foreign_key"
    if opened.dialect.name != "sqlite":  # which does not say which reference
        assert missing.value.constraint == "box_shelf"
        assert missing.value.fields == ("shelf",)


async def test_what_is_still_referred_to_is_no_field_of_the_one_that_goes(
    opened: Database,
) -> None:
    shelves, boxes = Shelves(opened), Boxes(opened)
    shelf = await shelves.create({"code": "s"})
    await boxes.create({"label": "a", "shelf": shelf.id})

    with pytest.raises(ConflictError) as held:
        await shelves.delete(shelf.id)

    assert (held.value.kind, held.value.fields) == ("foreign_key", ())


async def test_a_rule_that_the_commit_checks_is_named_by_its_fields(
    opened: Database,
) -> None:
    if opened.dialect.name == "mysql":
        pytest.skip("MariaDB has no deferrable rules")
    lates = Lates(opened)

    with pytest.raises(ConflictError) as missing:
        async with opened.unit_of_work():
            await lates.create({"box": 99})

    assert missing.value.kind == "foreign_key"
    if opened.dialect.name == "postgresql":
        assert missing.value.constraint == "late_box"
        assert missing.value.fields == ("box",)
    assert await lates.count() == 0


async def test_on_a_session_of_the_callers_it_is_named_as_well(
    opened: Database,
) -> None:
    async with AsyncSession(opened.engine) as session:
        boxes = Boxes(session)
        await boxes.create_many([{"label": "a"}, {"label": "b"}])
        await session.commit()

        with pytest.raises(AlreadyExistsError) as taken:
            async with boxes.unit_of_work():
                box = await boxes.get_by_id(2)
                assert box is not None
                box.label = "a"

    assert (taken.value.constraint, taken.value.fields) == ("one_label", ("label",))


async def test_without_a_verb_the_columns_are_named_as_the_driver_does(
    opened: Database,
) -> None:
    with pytest.raises(ValidationError) as empty:
        async with opened.unit_of_work():
            opened.session().add(Shelf())

    assert empty.value.fields == ("shelf_code",)
