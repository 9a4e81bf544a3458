"""Upserts that add: where a new entity of each class starts from."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from layerkit.core.schemas import BaseSchema
from layerkit.repository import Inc, MemoryDatabase, Repository, Unique

NAMES = ("bare", "null", "given", "made")


@dataclass
class Counter:
    name: Annotated[str, Unique()]
    bare: int
    null: int | None = None
    given: int = 5
    made: int = field(default_factory=lambda: 7)
    id: int | None = None


class CounterModel(BaseModel):
    name: Annotated[str, Unique()]
    bare: int
    null: int | None = None
    given: int = 5
    made: int = Field(default_factory=lambda: 7)
    id: int | None = None


class Hit(BaseSchema):
    name: str
    bare: Any = None
    given: Any = 9


@pytest.mark.parametrize("entity", [Counter, CounterModel])
async def test_a_field_starts_from_its_default_or_from_0(entity: type[Any]) -> None:
    counters = Repository[Any, int](MemoryDatabase(), entity)
    hit: dict[str, Any] = {"name": "a"} | dict.fromkeys(NAMES, Inc(2))

    first = await counters.upsert(hit, key="name")
    second = await counters.upsert(hit, key="name")

    assert [getattr(first, name) for name in NAMES] == [2, 2, 7, 9]
    assert [getattr(second, name) for name in NAMES] == [4, 4, 9, 11]


async def test_a_schema_adds_by_the_fields_that_were_set() -> None:
    counters = Repository[Any, int](MemoryDatabase(), Counter)

    first = await counters.upsert(Hit(name="a", bare=Inc(1)), key="name")
    await counters.update(first.id, {"given": 1})
    second = await counters.upsert(Hit(name="a", bare=Inc(1)), key="name")

    assert (first.bare, first.given) == (1, 9)
    assert (second.bare, second.given) == (2, 1)
