"""Documents that nest deeply: refused before they are stored, and read all the same."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeAlias

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import JSON, text
from sqlalchemy.ext.mutable import MutableList
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.core.errors import ValidationError
from layerkit.redis import RedisDatabase
from layerkit.repository import ALL, Home, Key, MemoryDatabase, Repository
from layerkit.repository.entities.nesting import DEEPEST, deep_copy, is_equal
from layerkit.repository.entities.registry import copy_of
from layerkit.sql import Database


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Note(Base):
    """Have a document."""

    __tablename__ = "notes_nested"

    id: Mapped[int] = mapped_column(primary_key=True)
    doc: Mapped[Any] = mapped_column(JSON)


class Loose(BaseModel):
    """Have whatever there is."""

    id: Annotated[int | None, Key()] = None
    doc: Any


Notes: TypeAlias = Repository[Note, int]


def nested(levels: int, inside: Any = 1) -> Any:
    for level in range(levels):
        inside = {"a": inside} if level % 2 else [inside]
    return inside


def depth_of(value: Any) -> int:
    levels = 0
    while isinstance(value, list | dict):
        value = next(iter(value.values() if isinstance(value, dict) else value), 1)
        levels += 1
    return levels


async def change_in_unit(notes: Notes, doc: Any) -> None:
    async with notes.unit_of_work():
        note = await notes.get_by_id(1)
        assert note
        note.doc = doc


async def change_inside(notes: Notes, doc: Any) -> None:
    async with notes.unit_of_work():
        note = await notes.get_by_id(1)
        assert note
        note.doc.append(doc)


WRITES: dict[str, Callable[[Notes, Any], Awaitable[object]]] = {
    "create": lambda notes, doc: notes.create({"doc": doc}),
    "create of an entity": lambda notes, doc: notes.create(Note(doc=doc)),
    "create_many": lambda notes, doc: notes.create_many([{"doc": doc}]),
    "create_many returning": lambda notes, doc: notes.create_many(
        [{"doc": doc}], returning=True
    ),
    "update": lambda notes, doc: notes.update(1, {"doc": doc}),
    "update_where": lambda notes, doc: notes.update_where(ALL, {"doc": doc}),
    "upsert": lambda notes, doc: notes.upsert({"id": 1, "doc": doc}, key="id"),
    "upsert_many": lambda notes, doc: notes.upsert_many(
        [{"id": 1, "doc": doc}], key="id"
    ),
    "a tracked change": change_in_unit,
    "a change inside": change_inside,
}


@pytest.mark.parametrize("write", WRITES)
async def test_a_document_of_too_many_levels_is_refused(home: Home, write: str) -> None:
    notes = Repository[Note, int](home, Note)
    await notes.create({"id": 1, "doc": [1]})

    for levels in (DEEPEST + 1, 700, 50_000):
        with pytest.raises(ValidationError, match="deeper than 100 levels") as refusal:
            await WRITES[write](notes, nested(levels))
        assert refusal.value.fields == ("doc",)

    assert [note.doc for note in await notes.find(ALL)] == [[1]]


async def test_a_document_of_as_many_levels_as_may_be_is_read_back(
    home: Home, request: pytest.FixtureRequest
) -> None:
    notes = Repository[Note, int](home, Note)
    is_mariadb = request.node.callspec.params["home"] == "mysql"
    deepest = nested(31 if is_mariadb else DEEPEST)

    await notes.create_many([{"id": 1, "doc": deepest}])
    async with notes.unit_of_work():
        note = await notes.get_by_id(1)

    assert note
    assert note.doc == deepest


@pytest.fixture(params=["memory", "redis"])
async def plain_home(
    request: pytest.FixtureRequest, redis_url: str
) -> AsyncIterator[Home]:
    if request.param == "memory":
        yield MemoryDatabase()
        return
    prefix = request.getfixturevalue("redis_prefix")
    async with Redis.from_url(redis_url) as client:
        yield RedisDatabase(client, prefix=prefix)


@pytest.mark.parametrize("outer", [list, tuple, lambda held: {"a": held[0]}])
async def test_a_field_of_any_class_has_no_more_levels(
    plain_home: Home, outer: Callable[[Any], Any]
) -> None:
    loose = Repository[Loose, int](plain_home, Loose)
    itself: list[Any] = []
    itself.append(itself)

    await loose.create(Loose(doc=outer([nested(DEEPEST - 1)])))
    for doc in (outer([nested(DEEPEST)]), outer([nested(5_000)]), itself):
        with pytest.raises(ValidationError, match="deeper than 100 levels"):
            await loose.create({"doc": doc})


async def test_a_deeper_row_of_another_program_is_read_and_mended(url: str) -> None:
    async with Database(url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
            levels = 31 if "mysql" in url else 500
            deep = "[" * levels + "]" * levels
            insert = text("insert into notes_nested (id, doc) values (1, :deep)")
            await connection.execute(insert, {"deep": deep})
        notes = Repository[Note, int](database, Note)

        found = await notes.find(ALL)
        async with notes.unit_of_work():
            note = await notes.get_by_id(1)
            assert note
            twin = copy_of(note)
            note.doc = []

        assert depth_of(found[0].doc) == depth_of(twin.doc) == levels
        assert (await notes.find(ALL))[0].doc == []


def test_a_copy_shares_nothing_and_keeps_what_is_one() -> None:
    shared = {"x": [1]}
    value = [shared, shared, (shared,), MutableList([1])]
    value.append(value)

    twin = deep_copy(value)

    assert twin[0] is twin[1] is twin[2][0]
    assert twin[0] == shared
    assert twin[0] is not shared
    assert twin[0]["x"] is not shared["x"]
    assert type(twin[3]) is MutableList
    assert twin[4] is twin


def test_values_are_compared_as_python_does_it() -> None:
    around: list[Any] = [1]
    around.append(around)
    alike = [nested(3), {"a": [1, None]}, [float("nan")], [(1, 2)], [1.0], around]

    for value in alike:
        assert is_equal(value, deep_copy(value))
        assert not is_equal(value, [value])
    assert is_equal(nested(50_000), nested(50_000))
    assert is_equal({"a": [1, 2]}, {"a": [1.0, 2.0]})
    for one, other in (
        ({"a": [1]}, {"a": [2]}),
        ({"a": 1}, {"b": 1}),
        ([1], [1, 1]),
        ([1], {"a": 1}),
        ([[]], [()]),
    ):
        assert not is_equal(one, other)
