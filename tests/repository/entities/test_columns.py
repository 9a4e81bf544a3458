"""Many new rows, looked at a column at a time: what is let through, and what not."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.core.errors import ValidationError
from layerkit.repository import MemoryDatabase, Repository, field
from layerkit.repository.entities.fields import FieldInfo
from layerkit.repository.entities.limits import Limits
from layerkit.sql import Database

NUMBER = FieldInfo("n", int, limits=Limits(least=0, greatest=9))
TEXT = FieldInfo("t", str, limits=Limits(length=3))
DAY = FieldInfo("d", date)
PLAIN: Sequence[tuple[FieldInfo, list[Any]]] = [
    (NUMBER, [0, None, 9]),
    (NUMBER, [None]),
    (TEXT, ["", None, "abc"]),
    (FieldInfo("t", str), ["x" * 99]),
    (DAY, [date(2026, 1, 1), None]),
    (FieldInfo("f", float), [None]),
]
DOUBTFUL: Sequence[tuple[FieldInfo, list[Any]]] = [
    (NUMBER, [1, 10]),
    (NUMBER, [-1, 1]),
    (NUMBER, [1, True]),
    (TEXT, ["abcd"]),
    (TEXT, ["a", "\0"]),
    (TEXT, ["é"]),
    (TEXT, ["a", 1]),
    (FieldInfo("f", float), [1.0]),
    (FieldInfo("j", dict, limits=Limits(json=True)), [None]),
]


@pytest.mark.parametrize(("info", "values"), PLAIN)
def test_what_is_stored_as_it_is_passes(info: FieldInfo, values: list[Any]) -> None:
    assert info.all_as_is(values)
    assert all(map(info.as_is, values))


@pytest.mark.parametrize(("info", "values"), DOUBTFUL)
def test_one_doubtful_value_sends_all_to_the_slow_look(
    info: FieldInfo, values: list[Any]
) -> None:
    assert not info.all_as_is(values)
    assert not all(map(info.as_is, values))


class Base(DeclarativeBase):
    """Hold the table."""


class Item(Base):
    """Hold what is looked at a column at a time."""

    __tablename__ = "column_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    qty: Mapped[int] = mapped_column(default=0)


@dataclass
class Note:
    id: str
    text: str


@pytest.fixture
async def items() -> AsyncIterator[Repository[Item, int]]:
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        yield Repository(database, Item)


def rows(kind: type, *given: tuple[str | None, int]) -> list[Any]:
    """Return new rows as entities or as mappings."""
    return [kind(code=code, qty=qty) for code, qty in given]


@pytest.mark.parametrize("kind", [Item, dict])
async def test_many_new_rows_outside_of_a_view_are_refused(
    items: Repository[Item, int], kind: type
) -> None:
    view = items.scoped(field("qty") >= 5)

    with pytest.raises(ValidationError, match="outside of the scope"):
        await view.create_many(rows(kind, ("a", 5), ("b", 4)))

    assert await items.count() == 0


async def test_many_new_rows_get_the_defaults_of_a_view(
    items: Repository[Item, int],
) -> None:
    view = items.scoped(defaults={"qty": 7})

    await view.create_many([{"code": "a"}, {"code": "b"}])

    assert [item.qty for item in await items.get_all()] == [7, 7]


@pytest.mark.parametrize("kind", [Item, dict])
async def test_a_null_among_many_new_rows_is_refused(
    items: Repository[Item, int], kind: type
) -> None:
    with pytest.raises(ValidationError) as caught:
        await items.create_many(rows(kind, ("a", 1), (None, 2)))

    assert caught.value.fields == ("code",)


async def test_many_new_rows_may_have_different_fields(
    items: Repository[Item, int],
) -> None:
    await items.create_many([{"code": "a"}, {"code": "b", "qty": 2}])

    assert [item.qty for item in await items.get_all()] == [0, 2]


async def test_an_upsert_of_many_changes_no_key_of_what_is_there(
    items: Repository[Item, int],
) -> None:
    await items.create_many([{"code": "a", "qty": 1}])

    await items.upsert_many(
        [{"id": 98, "code": "a", "qty": 2}, {"id": 99, "code": "b", "qty": 3}],
        key="code",
    )

    stored = [(item.id, item.qty) for item in await items.get_all()]
    assert stored == [(1, 2), (99, 3)]


async def test_what_one_of_many_new_entities_holds_besides_its_fields_is_refused() -> (
    None
):
    more: Any = Note("b", "b")
    more.colour = "red"

    with pytest.raises(ValidationError) as caught:
        await Repository[Note, str](MemoryDatabase(), Note).create_many(
            [Note("a", "a"), more]
        )

    assert caught.value.fields == ("colour",)


async def test_a_null_among_many_new_entities_in_memory_is_refused() -> None:
    missing: Any = None

    with pytest.raises(ValidationError) as caught:
        await Repository[Note, str](MemoryDatabase(), Note).create_many(
            [Note("a", "a"), Note("b", missing)]
        )

    assert caught.value.fields == ("text",)


async def test_a_name_that_only_one_of_many_new_rows_has_is_looked_at(
    items: Repository[Item, int],
) -> None:
    with pytest.raises(ValidationError) as caught:
        await items.create_many([{"code": "a"}, {"code": "b", "colour": "red"}])

    assert caught.value.fields == ("colour",)
