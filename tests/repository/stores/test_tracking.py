"""What a unit notices of changed objects, and which of them a verb looks at."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar
from weakref import WeakValueDictionary, ref

import pytest
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

from layerkit.core.errors import AlreadyExistsError, ValidationError
from layerkit.repository import ALL, MemoryDatabase, Repository, Unique, adapter_for
from layerkit.repository import field as stored
from layerkit.repository.stores.tracking import Tracking


@dataclass
class Plain:
    name: str
    tags: list[str] = field(default_factory=list)
    id: int | None = None


@dataclass(frozen=True)
class Frozen:
    name: str
    id: int | None = None


@dataclass(slots=True)
class Slotted:
    name: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class FrozenSlotted:
    name: str
    id: int | None = None


class Model(BaseModel):
    name: str
    id: int | None = None


class FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    id: int | None = None


@dataclass
class Named:
    name: Annotated[str, Unique()]
    note: str = ""
    id: int | None = None


@dataclass(slots=True)
class SlottedNamed:
    name: Annotated[str, Unique()]
    id: int | None = None


class NamedModel(BaseModel):
    name: Annotated[str, Unique()]
    id: int | None = None


class Base(DeclarativeBase): ...


class MappedNamed(Base):
    __tablename__ = "mapped_named"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    nick: Mapped[str | None] = mapped_column(unique=True)


@dataclass
class Watched:
    """Count how often one of them is looked at, and how often at its name alone."""

    looks: ClassVar[int] = 0
    names: ClassVar[int] = 0
    name: str
    id: int | None = None

    @override
    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            Watched.looks += 1
        elif name == "name":
            Watched.names += 1
        return object.__getattribute__(self, name)


@dataclass
class UniquelyWatched(Watched):
    name: Annotated[str, Unique()]


def by_attribute(entity: Any) -> None:
    entity.name = "new"


def by_dict(entity: Any) -> None:
    entity.__dict__["name"] = "new"


def by_whole_dict(entity: Any) -> None:
    entity.__dict__ = {**entity.__dict__, "name": "new"}


def past_the_class(entity: Any) -> None:
    object.__setattr__(entity, "name", "new")


def by_descriptor(entity: Any) -> None:
    type(entity).__dict__["name"].__set__(entity, "new")


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *((Plain, change) for change in (by_attribute, by_dict, past_the_class)),
        (Plain, by_whole_dict),
        *((Frozen, change) for change in (by_dict, past_the_class)),
        *((Slotted, change) for change in (by_attribute, past_the_class)),
        (Slotted, by_descriptor),
        (FrozenSlotted, past_the_class),
        *((Model, change) for change in (by_attribute, by_dict, past_the_class)),
        *((FrozenModel, change) for change in (by_dict, past_the_class)),
    ],
)
async def test_a_change_is_seen_by_every_verb_and_stored_however_it_is_made(
    kind: type[Any], change: Callable[[Any], None], is_kept: bool
) -> None:
    things = Repository[Any, int](MemoryDatabase(), kind)
    ids = [(await things.create(kind(name="old"))).id for _ in range(3)]
    new, kept = stored("name") == "new", []

    async with things.unit_of_work():
        for entity_id in ids:
            entity = await things.get_by_id(entity_id)
            change(entity)
            kept += [entity] if is_kept else []
            del entity
        one = await things.scoped(new).get_by_id(ids[0])
        some = await things.scoped(new).get_many(ids[:2])
        seen = [await things.scoped(new).exists(ids[1]), await things.count(new)]

    assert one is not None
    assert len(some) == 2
    assert seen == [True, 3]
    assert await things.count(new) == 3


class Place:
    """Be a value that can change."""

    def __init__(self, at: int) -> None:
        self.at = at

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.at == other.at

    @override
    def __hash__(self) -> int:
        return 0


@dataclass
class Placed:
    place: Place
    id: int | None = None


async def test_what_is_changed_inside_a_value_is_seen_though_its_entity_is_let_go() -> (
    None
):
    things = Repository[Placed, int](MemoryDatabase(), Placed)
    for _ in range(100):
        await things.create(Placed(Place(1)))

    async with things.unit_of_work():
        places = [thing.place for thing in await things.find(ALL)]
        await things.count()
        places[7].at = 2

        assert await things.count(stored("place") == Place(2)) == 1


@pytest.mark.parametrize("hold", [WeakValueDictionary, dict])
async def test_what_is_held_and_changed_late_is_seen(hold: Callable[..., Any]) -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)
    for at in range(100):
        await things.create(Named(str(at)))

    async with things.unit_of_work():
        known = hold({t.id: t for t in await things.find(ALL)})
        await things.count()
        known[7].name = "new"

        assert await things.count(stored("name") == "new") == 1


async def test_the_commit_looks_at_what_verbs_pass_over() -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)

    async with things.unit_of_work():
        held = [vars(await things.create(Named(str(at)))) for at in range(100)]
        await things.count()
        held[7]["name"] = "new"

    assert await things.count(stored("name") == "new") == 1


@pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="it counts no references"
)
async def test_a_verb_passes_over_what_nobody_can_reach() -> None:
    things = Repository[Watched, int](MemoryDatabase(), Watched)

    async with things.unit_of_work():
        for _ in range(300):
            await things.create(Watched("a"))
        await things.count()
        await things.count()
        before = Watched.looks
        await things.count()

        assert Watched.looks - before < 100


UNCOUNTED = """
import asyncio
import sys
from dataclasses import dataclass

del sys.getrefcount
from layerkit import ALL, InMemoryRepository

@dataclass
class Thing:
    name: str
    id: int | None = None

async def main():
    things = InMemoryRepository(model_class=Thing)
    async with things.unit_of_work():
        for at in range(100):
            (await things.create(Thing("old"))).name = f"new {at}"
            await things.count()
            await things.count()
    return {thing.name for thing in await things.find(ALL)}

assert asyncio.run(main()) == {f"new {at}" for at in range(100)}
"""


def test_an_interpreter_that_counts_no_references_looks_at_every_object() -> None:
    command = [sys.executable, "-c", UNCOUNTED]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr


async def test_what_is_read_again_is_looked_at_again() -> None:
    things = Repository[Watched, int](MemoryDatabase(), Watched)

    async with things.unit_of_work():
        ids = [(await things.create(Watched("a"))).id for _ in range(100)]
        await things.count()
        found = await things.get_by_id(ids[0])
        assert found is not None
        found.name = "new"

        assert await things.count(stored("name") == "new") == 1


@pytest.mark.parametrize("verb", ["create", "get", "get_many", "exists", "update"])
async def test_a_verb_that_goes_by_a_key_looks_at_no_other_object(verb: str) -> None:
    things = Repository[Watched, int](MemoryDatabase(), Watched)
    id_ = (await things.create(Watched("a"))).id
    verbs: dict[str, Callable[[], Any]] = {
        "create": lambda: things.create(Watched("b")),
        "get": lambda: things.get_by_id(id_),
        "get_many": lambda: things.get_many([id_]),
        "exists": lambda: things.exists(id_),
        "update": lambda: things.update(id_, {"name": "b"}),
    }

    async def looks(number: int) -> int:
        async with things.unit_of_work():
            held = [await things.create(Watched("a")) for _ in range(number)]
            before = Watched.looks
            await verbs[verb]()
            seen = Watched.looks - before
            del held
        return seen

    assert await looks(100) == await looks(1)


async def test_a_new_unique_value_looks_at_no_other_field_of_what_is_unchanged() -> (
    None
):
    things = Repository[UniquelyWatched, int](MemoryDatabase(), UniquelyWatched)

    async def looks(number: int) -> int:
        async with things.unit_of_work():
            held = [
                await things.create(UniquelyWatched(f"{number} {at}"))
                for at in range(number)
            ]
            await things.update(held[0].id, {"name": f"{number} moved"})
            before = Watched.looks
            await things.create(UniquelyWatched(f"{number}"))
            seen = Watched.looks - before
            del held
        return seen

    assert await looks(100) == await looks(1)


async def test_what_was_changed_and_let_go_is_seen_after_many_new_unique_values() -> (
    None
):
    things = Repository[Named, int](MemoryDatabase(), Named)

    async with things.unit_of_work():
        for at in range(300):
            (await things.create(Named(f"{at}"))).note = "changed"

        assert await things.count(stored("note") == "changed") == 300


async def test_a_verb_compares_unique_values_once_however_many_it_stores() -> None:
    things = Repository[UniquelyWatched, int](MemoryDatabase(), UniquelyWatched)

    async with things.unit_of_work():
        held = [await things.create(UniquelyWatched(f"{at}")) for at in range(100)]
        before = Watched.names
        await things.create_many({"name": f"new {at}"} for at in range(50))

        assert Watched.names - before < 500
        assert len(held) == 100


@pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="it counts no references"
)
async def test_a_new_unique_value_passes_over_what_nobody_can_reach() -> None:
    things = Repository[UniquelyWatched, int](MemoryDatabase(), UniquelyWatched)

    async with things.unit_of_work():
        for at in range(300):
            await things.create(UniquelyWatched(f"{at}"))
        before = Watched.names
        await things.create(UniquelyWatched("last"))

        assert Watched.names - before < 200


async def test_an_update_of_another_object_leaves_a_bad_value_to_the_commit() -> None:
    things = Repository[Any, int](MemoryDatabase(), Slotted)
    one, other = [await things.create(Slotted("a")) for _ in range(2)]
    uow = things.unit_of_work()

    await uow.__aenter__()
    found = await things.get_by_id(one.id)
    assert found is not None
    found.name = 5
    assert await things.update(other.id, {"name": "b"})
    with pytest.raises(ValidationError, match="name"):
        await uow.__aexit__(None, None, None)


async def test_a_new_entity_collides_with_an_attribute_that_was_changed() -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)

    with pytest.raises(AlreadyExistsError):
        async with things.unit_of_work():
            held = await things.create(Named("a"))
            held.name = "b"
            await things.create(Named("b"))
            pytest.fail("the commit is too late")


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *((Named, change) for change in (by_dict, by_whole_dict, past_the_class)),
        (SlottedNamed, by_attribute),
        (SlottedNamed, by_descriptor),
        *((NamedModel, change) for change in (by_attribute, by_dict)),
        *((MappedNamed, change) for change in (by_attribute, by_dict)),
    ],
)
async def test_a_new_entity_collides_with_a_change_between_two_new_ones(
    kind: type[Any], change: Callable[[Any], None], is_read: bool
) -> None:
    things = Repository[Any, int](MemoryDatabase(), kind)
    for at in range(3):
        await things.create(kind(name=f"stored {at}"))

    with pytest.raises(AlreadyExistsError):
        async with things.unit_of_work():
            held = [await things.create(kind(name=f"first {at}")) for at in range(3)]
            held += await things.find(stored("name").startswith("stored"))
            await things.create(kind(name="watched"))
            held.append(await things.create(kind(name="last")))
            change(held[4] if is_read else held[-1])
            await things.create(kind(name="new"))
            pytest.fail("the commit is too late")


async def test_a_new_entity_may_take_what_another_has_given_up_between() -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)

    async with things.unit_of_work():
        held = [await things.create(Named(name)) for name in "abc"]
        held[1].name = "d"
        new = await things.create(Named("b"))

    assert {one.name for one in await things.find(ALL)} == set("abcd")
    assert new.name == "b"


async def test_a_value_that_a_savepoint_took_back_is_a_change_if_it_is_set_again() -> (
    None
):
    things = Repository[Named, int](MemoryDatabase(), Named)

    with pytest.raises(AlreadyExistsError):
        async with things.unit_of_work() as uow:
            held = await things.create(Named("a"))
            await things.create(Named("other"))
            with pytest.raises(RuntimeError):
                async with uow.savepoint():
                    await things.update(held.id, {"name": "b"})
                    await things.upsert({"name": "other"}, key="name")
                    raise RuntimeError
            held.name = "b"
            await things.create(Named("b"))
            pytest.fail("the commit is too late")


async def test_what_lacks_an_attribute_hides_no_change_of_others() -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)

    with pytest.raises(AlreadyExistsError):
        async with things.unit_of_work():
            bare, held = [await things.create(Named(name)) for name in "ab"]
            del bare.name
            held.name = "c"
            await things.create(Named("c"))
            pytest.fail("the commit is too late")


async def test_a_new_entity_collides_with_what_was_read_again_and_changed() -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)

    with pytest.raises(AlreadyExistsError):
        async with things.unit_of_work():
            ids = [(await things.create(Named(f"{at}"))).id for at in range(100)]
            found = await things.get_by_id(ids[0])
            assert found is not None
            found.name = "new"
            await things.create(Named("new"))
            pytest.fail("the commit is too late")


async def test_an_update_collides_with_an_attribute_that_was_changed() -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)

    with pytest.raises(AlreadyExistsError):
        async with things.unit_of_work():
            held, other = [await things.create(Named(name)) for name in "ac"]
            held.name = "b"
            await things.update(other.id, {"name": "b"})
            pytest.fail("the commit is too late")


async def test_changed_attributes_are_written_in_the_order_they_were_read_in() -> None:
    things = Repository[Named, int](MemoryDatabase(), Named)
    made = [await things.create(Named(name)) for name in "ab"]

    async with things.unit_of_work():
        first, second = [await things.get_by_id(one.id) for one in made]
        assert first is not None
        assert second is not None
        first.name, second.name = "c", "a"
        found = await things.get_by_id(second.id)

        assert found is second

    assert [one.name for one in await things.find(ALL)] == ["c", "a"]


async def test_what_a_savepoint_changed_comes_back_to_what_it_was_before() -> None:
    things = Repository[Plain, int](MemoryDatabase(), Plain)
    names = ["written", "pending", "removed", "left alone"]
    async with things.unit_of_work() as uow:
        made = [await things.create(Plain(name)) for name in names]
        made[3].name = "changed before"
        with pytest.raises(RuntimeError):
            async with uow.savepoint():
                await things.update(made[0].id, {"name": "x"})
                async with uow.savepoint():
                    await things.update(made[0].id, {"name": "y"})
                    await things.delete(made[2].id)
                made[1].name = "x"
                raise RuntimeError

        assert [one.name for one in made] == [*names[:3], "changed before"]
        assert await things.find(ALL) == made
        made[2].name = "tracked"

    stored_names = {one.name for one in await things.find(ALL)}
    assert stored_names == {"written", "pending", "tracked", "changed before"}


async def test_what_an_inner_savepoint_read_outlives_the_outer_one() -> None:
    things = Repository[Plain, int](MemoryDatabase(), Plain)
    id_ = (await things.create(Plain("a"))).id
    async with things.unit_of_work() as uow:
        with pytest.raises(RuntimeError):
            async with uow.savepoint():
                await things.update(id_, {"name": "x"})
                with pytest.raises(RuntimeError):
                    async with uow.savepoint():
                        held = await things.update(id_, {"name": "y"})
                        raise RuntimeError
                raise RuntimeError

        assert held is not None
        assert held.name == "a"
        held.name = "b"

    assert [one.name for one in await things.find(ALL)] == ["b"]


async def test_what_an_inner_savepoint_read_comes_back_with_the_outer_one() -> None:
    things = Repository[Plain, int](MemoryDatabase(), Plain)
    await things.create(Plain("a"))
    async with things.unit_of_work() as uow:
        with pytest.raises(RuntimeError):
            async with uow.savepoint():
                await things.update_where(ALL, {"name": "x"})
                with pytest.raises(RuntimeError):
                    async with uow.savepoint():
                        [held] = await things.find(ALL)
                        raise RuntimeError
                raise RuntimeError

        assert held.name == "a"


async def test_a_unit_keeps_no_object_beyond_its_end() -> None:
    things = Repository[Plain, int](MemoryDatabase(), Plain)
    async with things.unit_of_work():
        weak = ref(await things.create(Plain("a")))

        assert weak() is not None

    assert weak() is None


def test_objects_of_a_class_without_unique_fields_never_collide() -> None:
    assert not Tracking().may_collide(adapter_for(Plain))
