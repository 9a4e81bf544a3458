"""Inheritance in one table: parents that find children, children on their own."""

import pytest
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, selectin_polymorphic

from layerkit import ALL, NotSupportedError, Repository, field
from layerkit.sql import Database, SQLRepository
from tests.support.databases import new_tables


class Base(DeclarativeBase):
    """Hold the table of this file."""


class Animal(Base):
    """Be the parent of inheritance in one table."""

    __tablename__ = "animals"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012 - declarative's


class Dog(Animal):
    bark: Mapped[str | None] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012 - declarative's


class Cat(Animal):
    lives: Mapped[int | None] = mapped_column()
    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012 - declarative's


class Animals(SQLRepository[Animal, int]):
    load = (selectin_polymorphic(Animal, [Dog, Cat]),)


@pytest.fixture
async def animals(database: Database) -> Animals:
    await new_tables(database.engine, Base.metadata)
    return Animals(database)


async def test_a_parent_finds_its_children_with_their_own_columns(
    animals: Animals,
) -> None:
    await animals.create(Animal(name="a"))
    await animals.create_many([Dog(name="b", bark="wuff"), Cat(name="c", lives=9)])

    found = await animals.find(ALL, field("name").asc())

    assert [type(one) for one in found] == [Animal, Dog, Cat]
    assert isinstance(found[1], Dog)
    assert isinstance(found[2], Cat)
    assert (found[1].bark, found[2].lives) == ("wuff", 9)


async def test_a_child_in_the_table_of_its_parent_reaches_no_other(
    animals: Animals,
) -> None:
    dogs = Repository[Dog, int](animals.home, Dog)
    dog = await dogs.create({"name": "a", "bark": "wuff"})
    cat = await animals.create(Cat(name="b"))

    assert await dogs.get_by_id(cat.id) is None
    assert await dogs.get_many([cat.id, dog.id]) != []
    assert not await dogs.exists(cat.id)
    assert await dogs.update(cat.id, {"name": "x"}) is None
    assert not await dogs.delete(cat.id)
    assert await dogs.update_where(ALL, {"bark": "woof"}) == 1
    assert await dogs.count() == 1
    assert (await dogs.paginate(total="exact")).total == 1
    with pytest.raises(NotSupportedError, match="inheritance"):
        await dogs.upsert({"id": dog.id, "name": "x"}, key="id")
    assert await dogs.delete_where(ALL) == 1
    assert [one.name for one in await animals.get_all()] == ["b"]
