"""SQLModel's table classes as entities: who validates what."""

from collections.abc import AsyncIterator
from typing import Any

import pydantic
import pytest
from sqlmodel import Field, SQLModel

from layerkit.core.errors import AlreadyExistsError, ValidationError
from layerkit.repository import MemoryDatabase, Repository
from layerkit.sql import Database


class HeroBase(SQLModel):
    name: str = Field(min_length=2, unique=True)
    age: int | None = Field(default=None, ge=0)


class Hero(HeroBase, table=True):
    __tablename__ = "sqlmodel_heroes"
    id: int | None = Field(default=None, primary_key=True)


class HeroCreate(HeroBase):
    pass


class Heroes(Repository[Hero, int]):
    pass


@pytest.fixture(params=["memory", "sqlite"])
async def heroes(request: pytest.FixtureRequest) -> AsyncIterator[Heroes]:
    if request.param == "memory":
        yield Heroes(MemoryDatabase())
        return
    async with Database("sqlite://") as database:
        await database.create_all(SQLModel.metadata)
        yield Heroes(database)


async def test_a_table_class_is_stored_and_asked_for_by_its_own_id(
    heroes: Heroes,
) -> None:
    made = await heroes.create(HeroCreate(name="Ada", age=36))

    found = await heroes.get_by_id(made.id)

    assert found is not None
    assert (found.id, found.name, found.age) == (1, "Ada", 36)
    with pytest.raises(AlreadyExistsError):
        await heroes.create({"name": "Ada"})


@pytest.mark.parametrize(
    "given", [{"name": "Ada", "age": "old"}, {"age": 1}, {"nam": "Ada"}]
)
async def test_a_mapping_is_checked_for_its_fields_and_their_types(
    heroes: Heroes, given: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        await heroes.create(given)
    assert await heroes.count() == 0


async def test_the_rules_of_a_schema_are_kept_by_the_schema(heroes: Heroes) -> None:
    with pytest.raises(pydantic.ValidationError):
        await heroes.create(HeroCreate(name="A"))


async def test_a_table_class_validates_only_where_it_is_asked_to(
    heroes: Heroes,
) -> None:
    await heroes.create({"name": "A"})  # as Hero(name="A") takes it

    with pytest.raises(pydantic.ValidationError):
        Hero.model_validate({"name": "B"})
    checked = await heroes.create(Hero.model_validate({"name": "Ada"}))
    assert checked.id == 2
