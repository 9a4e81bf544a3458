"""What a unit reads again of what it holds, after statements past its session."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import CHAR, JSON, String, func
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column

from layerkit.repository import ALL, Inc, Repository, field
from layerkit.sql import Database, SQLRepository, statements
from layerkit.sql.statements import Statements
from tests.support.databases import new_tables

pytestmark = pytest.mark.unmeasured


class Base(DeclarativeBase):
    """Hold the tables."""


class Box(Base):
    __tablename__ = "held_boxes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    qty: Mapped[int] = mapped_column(default=0)
    made: Mapped[str | None] = mapped_column(String(20), onupdate=func.lower("MADE"))
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    more: Mapped[str | None] = deferred(mapped_column(String(20)))


class Country(Base):
    __tablename__ = "held_countries"
    code: Mapped[str] = mapped_column(CHAR(4), primary_key=True)
    qty: Mapped[int] = mapped_column(default=0)


class Boxes(SQLRepository[Box, int]):
    async def one(self, box_id: int) -> Box:
        """Return the box with this id, which is there."""
        found = await self.get_by_id(box_id)
        assert found is not None
        return found


@pytest.fixture
async def boxes(url: str) -> AsyncIterator[Boxes]:
    """Thirty boxes, numbered from 1."""
    async with Database(url) as database:
        await new_tables(database.engine, Base.metadata)
        boxes = Boxes(database)
        await boxes.create_many({"name": f"b{n}"} for n in range(1, 31))
        yield boxes


def returns(boxes: Boxes) -> bool:
    """Tell whether an UPDATE returns what it hits."""
    assert isinstance(boxes.home, Database)
    return boxes.home.engine.dialect.update_returning


def read(sent: Statements) -> int:
    """Return how many boxes were read again by their keys at most, in one statement."""
    again = [sql for sql in sent.sql if sql.startswith("SELECT held_boxes.id, held")]
    return max(sql.count(" OR ") + 1 for sql in again)


async def test_an_update_of_many_reads_again_what_it_has_hit_alone(
    boxes: Boxes,
) -> None:
    async with boxes.unit_of_work():
        held = await boxes.find(ALL)
        held[29].name = "pending"
        with statements() as seen:
            count = await boxes.update_where(field("id") <= 3, {"qty": Inc(5)})

        assert count == 3
        assert [box.qty for box in held] == [5] * 3 + [0] * 27
        assert [box.made for box in held[:4]] == ["made"] * 3 + [None]
        assert held[29].name == "pending"
        assert read(seen) == (3 if returns(boxes) else 30)

    assert await boxes.count(field("name") == "pending") == 1


async def test_an_update_that_hits_nothing_reads_nothing_again(boxes: Boxes) -> None:
    async with boxes.unit_of_work():
        held = await boxes.find(ALL)
        with statements(max=1):
            assert await boxes.update_where(field("qty") == 9, {"name": "x"}) == 0
        with statements(max=1):
            assert await boxes.delete_where(field("qty") == 9) == 0

        assert len(held) == 30


async def test_a_delete_of_many_forgets_what_it_has_hit_and_reads_nothing_again(
    boxes: Boxes,
) -> None:
    async with boxes.unit_of_work() as uow:
        held = await boxes.find(ALL)
        with pytest.raises(RuntimeError):
            async with uow.savepoint():
                with statements(max=1):
                    assert await boxes.delete_where(field("id") <= 3) == 3
                assert [await boxes.get_by_id(n) for n in (1, 2, 3)] == [None] * 3
                raise RuntimeError

        assert await boxes.get_by_id(1) is held[0]


async def test_an_upsert_of_many_reads_again_what_it_has_hit_alone(
    boxes: Boxes,
) -> None:
    async with boxes.unit_of_work():
        held = await boxes.find(ALL)
        items = [{"name": name, "qty": 5} for name in ("b1", "b2", "new")]
        with statements() as seen:
            assert await boxes.upsert_many(items, key="name") == 3

        assert [box.qty for box in held] == [5] * 2 + [0] * 28
        assert read(seen) == (2 if returns(boxes) else 30)


async def test_nothing_is_returned_where_no_object_of_the_class_is_held(
    boxes: Boxes,
) -> None:
    countries = Repository[Country, str](boxes.home, Country)
    async with boxes.unit_of_work():
        held = await countries.create({"code": "at"})
        with statements() as seen:
            await boxes.update_where(field("id") <= 3, {"qty": 5})
            await boxes.delete_where(field("id") <= 3)
            items = [{"name": name, "qty": 5} for name in ("b7", "b8")]
            await boxes.upsert_many(items, key="name")

        assert held.code.strip() == "at"
        assert not any("RETURNING" in sql for sql in seen.sql)


async def test_an_object_whose_key_is_read_otherwise_than_it_was_given_is_read_again(
    boxes: Boxes,
) -> None:
    assert isinstance(boxes.home, Database)
    countries = SQLRepository[Country, str](boxes.home, Country)
    async with countries.unit_of_work():
        one, other = Country(code="at"), Country(code="de")
        countries.db_session.add_all([one, other])  # past the verbs, which see to it
        await countries.update_where(ALL, {"qty": 5})
        quantities = [one.qty, other.qty]
        await countries.delete_where(ALL)

        assert quantities == [5, 5]
        assert one not in countries.db_session


async def by_update(boxes: Boxes) -> None:
    await boxes.update(1, {"name": "x"})


async def by_update_of_many(boxes: Boxes) -> None:
    await boxes.update_where(field("id") == 1, {"name": "x"})


async def by_upsert(boxes: Boxes) -> None:
    await boxes.upsert({"id": 1, "name": "x"}, key="id")


async def by_upsert_of_many(boxes: Boxes) -> None:
    await boxes.upsert_many([{"id": 1, "name": "x"}], key="id")


async def by_attribute(boxes: Boxes) -> None:
    (await boxes.one(1)).name = "x"


async def by_written_attribute(boxes: Boxes) -> None:
    (await boxes.one(1)).name = "x"
    await boxes.count()


async def by_locked_read(boxes: Boxes) -> None:
    box = await boxes.one(1)
    await boxes.db_session.execute(_renaming())
    assert (await boxes.get_by_id(1, lock="wait")) is box
    assert box.name == "x"


async def by_refresh(boxes: Boxes) -> None:
    box = await boxes.one(1)
    await boxes.db_session.execute(_renaming())
    await boxes.db_session.refresh(box)
    assert box.name == "x"


async def by_read_of_what_has_expired(boxes: Boxes) -> None:
    await boxes.db_session.execute(_renaming())
    first, *_ = await boxes.find(ALL)
    assert first.name == "x"


def _renaming() -> Any:
    """Return a statement of the caller's own, of which the session knows nothing."""
    table: Any = Box.__table__
    return table.update().where(table.c.id == 1).values(name="x")


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        by_update,
        by_update_of_many,
        by_upsert,
        by_upsert_of_many,
        by_attribute,
        by_written_attribute,
        by_locked_read,
        by_refresh,
        by_read_of_what_has_expired,
    ],
)
async def test_an_undone_savepoint_reads_again_what_was_filled_in_it_alone(
    boxes: Boxes, change: Callable[[Boxes], Awaitable[None]], is_nested: bool
) -> None:
    async with boxes.unit_of_work() as uow:
        held = await boxes.find(ALL)
        await boxes.update_where(field("id") > 20, {"qty": 1})
        if change is by_read_of_what_has_expired:
            boxes.db_session.expire(held[0], ["name"])
        with statements() as seen, pytest.raises(RuntimeError):
            async with uow.savepoint():
                if is_nested:
                    async with uow.savepoint():
                        await change(boxes)
                else:
                    await change(boxes)
                raise RuntimeError

        assert [box.name for box in held] == [f"b{n}" for n in range(1, 31)]
        hits_all = not returns(boxes) and change in {
            by_update_of_many,
            by_upsert_of_many,
        }
        assert read(seen) == (30 if hits_all else 1)
        with statements(max=0):
            assert await boxes.get_by_id(30) is held[29]


async def test_what_was_first_read_in_an_undone_savepoint_is_read_again(
    boxes: Boxes,
) -> None:
    async with boxes.unit_of_work() as uow:
        with pytest.raises(RuntimeError):
            async with uow.savepoint():
                await boxes.update_where(field("id") == 1, {"name": "x"})
                held = await boxes.one(1)
                assert held.name == "x"
                raise RuntimeError

        assert held.name == "b1"
        held.qty = 7

    assert (await boxes.one(1)).qty == 7


@pytest.mark.parametrize("is_written", [True, False])
async def test_an_undone_savepoint_takes_back_what_was_changed_inside_a_list(
    boxes: Boxes, is_written: bool
) -> None:
    async with boxes.unit_of_work() as uow:
        held = await boxes.one(1)
        with pytest.raises(RuntimeError):
            async with uow.savepoint():
                held.tags.append("x")
                if is_written:
                    await boxes.count()
                raise RuntimeError

        assert held.tags == []

    assert (await boxes.one(1)).tags == []


async def test_a_savepoint_that_changed_nothing_reads_nothing_again(
    boxes: Boxes,
) -> None:
    async with boxes.unit_of_work() as uow:
        held = await boxes.find(ALL)
        with statements(max=0), pytest.raises(RuntimeError):
            async with uow.savepoint():
                raise RuntimeError

        assert len(held) == 30


async def test_what_has_expired_of_a_held_object_is_read_with_it(boxes: Boxes) -> None:
    async with boxes.unit_of_work():
        held = await boxes.one(1)
        boxes.db_session.expire(held, ["name"])

        assert (await boxes.one(1)).name == "b1"
