"""Keys: filled by the home where nothing has set them, refused where they are None."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

from layerkit.core.errors import AlreadyExistsError, UsageError, ValidationError
from layerkit.repository import (
    InMemoryRepository,
    Key,
    MemoryDatabase,
    Repository,
    adapter_for,
)


def in_memory(entity: type[Any]) -> InMemoryRepository[Any, Any]:
    return InMemoryRepository(model_class=entity)


@dataclass
class Plain:
    title: str
    id: int = field(init=False)


@dataclass(slots=True)
class Slotted:
    title: str
    id: int = field(init=False)


@dataclass(frozen=True)
class Frozen:
    title: str
    id: int = field(init=False)


@dataclass(frozen=True, slots=True)
class FrozenSlotted:
    title: str
    id: int = field(init=False)


@pydantic_dataclass
class Validated:
    title: str
    id: int = field(init=False)


class Model(BaseModel):
    title: str
    id: int


def unset(entity: type[Any], title: str) -> Any:
    return (
        entity.model_construct(title=title)
        if issubclass(entity, BaseModel)
        else entity(title)
    )


FILLED = [Plain, Slotted, Frozen, FrozenSlotted, Validated, Model]


@pytest.mark.parametrize("entity", FILLED)
async def test_a_key_that_the_constructor_does_not_take_is_filled(
    entity: type[Any],
) -> None:
    things = in_memory(entity)
    given = unset(entity, "a")

    created = await things.create(given)
    await things.create_many([unset(entity, "b"), unset(entity, "c")])

    assert created is given
    assert given.id == 1
    assert [(t.id, t.title) for t in await things.get_all()] == [
        (1, "a"), (2, "b"), (3, "c"),
    ]  # fmt: skip


@pytest.mark.parametrize("entity", FILLED)
async def test_an_entity_has_no_id_before_it_is_stored(entity: type[Any]) -> None:
    things = in_memory(entity)

    assert things.id_of(unset(entity, "a")) is None
    with pytest.raises(ValidationError, match="needs a value"):
        await things.upsert(unset(entity, "a"), key="id")


@pytest.mark.parametrize("entity", FILLED[:5])
async def test_a_key_that_the_constructor_does_not_take_is_filled_from_a_mapping(
    entity: type[Any],
) -> None:
    things = in_memory(entity)

    assert (await things.create({"title": "a"})).id == 1
    async with things.unit_of_work():
        inside = await things.create({"title": "b"})
        assert inside.id == 2
        await things.update(2, {"title": "c"})
    assert inside.title == "c"


async def test_a_field_that_nothing_has_set_is_missed_like_one_left_out() -> None:
    @dataclass
    class Thing:
        code: str = field(init=False)
        note: str | None = field(init=False)
        id: int | None = None

    things = in_memory(Thing)
    coded = Thing()
    coded.code = "x"

    with pytest.raises(ValidationError, match="a Thing needs code"):
        await things.create(Thing())
    assert (await things.create(coded)).note is None


async def test_a_default_of_the_key_is_a_key_like_any_other() -> None:
    @dataclass
    class Zero:
        title: str
        id: int = 0

    zeros = in_memory(Zero)

    assert (await zeros.create(Zero("a"))).id == 0
    with pytest.raises(AlreadyExistsError):
        await zeros.create(Zero("b"))


# Ids that are None


@dataclass
class Note:
    text: str = ""
    id: int | None = None
    deleted_at: datetime | None = None


@dataclass
class Seat:
    row: Annotated[str, Key()]
    number: Annotated[int, Key()]
    text: str = ""


ASKED = {
    "get_by_id": lambda things, key: things.get_by_id(key),
    "lock": lambda things, key: things.get_by_id(key, lock="wait"),
    "exists": lambda things, key: things.exists(key),
    "update": lambda things, key: things.update(key, {"text": "a"}),
    "update nothing": lambda things, key: things.update(key, {}),
    "delete": lambda things, key: things.delete(key),
    "get_many": lambda things, key: things.get_many([key]),
}


@pytest.mark.parametrize("verb", ASKED)
@pytest.mark.parametrize("entity", [Note, Seat])
async def test_a_verb_refuses_the_id_of_what_is_not_stored(
    verb: str, entity: type[Any]
) -> None:
    things = Repository[Any, Any](MemoryDatabase(), entity)

    with pytest.raises(UsageError, match="no id before it is stored"):
        await ASKED[verb](things, None if entity is Note else ("a", None))


async def test_restore_refuses_the_id_of_what_is_not_stored() -> None:
    notes = in_memory(Note)

    with pytest.raises(UsageError, match="id, got None: an entity has no id before"):
        await notes.restore(Note().id)


def test_an_id_with_too_many_parts_is_refused_without_that_hint() -> None:
    seats = adapter_for(Seat)

    with pytest.raises(UsageError, match=r"row, number, got \('a', 1, 2\)$"):
        seats.key_of(("a", 1, 2))
