"""MemoryDatabase: one writer at a time, rules inside a unit, savepoints, tracking."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import pytest
from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository import (
    ALL,
    Inc,
    InMemoryRepository,
    MemoryDatabase,
    Repository,
    Unique,
    adapter_for,
)
from layerkit.repository import field as by
from tests.support.entities import MappedItem


@dataclass
class Room:
    name: Annotated[str, Unique()]
    beds: int | None = None
    tags: list[str] = field(default_factory=list)
    id: int | None = None


@dataclass
class Guest:
    name: str
    id: int | None = None


def open_rooms(**options: Any) -> Repository[Room, int]:
    return Repository(MemoryDatabase(**options), Room)


async def stored(rooms: Repository[Room, int]) -> dict[str, int | None]:
    return {room.name: room.beds for room in await rooms.get_all()}


# One writer at a time


async def test_a_write_waits_for_the_unit_that_writes() -> None:
    rooms = open_rooms()
    wrote, go_on = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def first() -> None:
        async with rooms.unit_of_work():
            await rooms.create({"name": "a"})
            wrote.set()
            await go_on.wait()
            order.append("first")

    async def second() -> None:
        await wrote.wait()
        assert await rooms.count() == 0
        go_on.set()
        await rooms.create({"name": "b"})
        order.append("second")

    await asyncio.gather(first(), second())

    assert order == ["first", "second"]
    assert await stored(rooms) == {"a": None, "b": None}


async def test_a_write_that_waits_too_long_is_unavailable() -> None:
    rooms = open_rooms(lock_timeout_seconds=0.01)
    wrote, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with rooms.unit_of_work():
            await rooms.create({"name": "a"})
            wrote.set()
            await go_on.wait()

    holder = asyncio.create_task(hold())
    await wrote.wait()
    with pytest.raises(UnavailableError, match=r"0\.01 seconds") as refused:
        await rooms.create({"name": "b"})
    go_on.set()
    await holder

    assert refused.value.retryable
    assert await stored(rooms) == {"a": None}


async def test_a_waiter_that_is_cancelled_gives_up_its_turn() -> None:
    rooms = open_rooms()
    wrote, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with rooms.unit_of_work():
            await rooms.create({"name": "a"})
            wrote.set()
            await go_on.wait()

    holder = asyncio.create_task(hold())
    await wrote.wait()
    waiter = asyncio.create_task(rooms.create({"name": "b"}))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    go_on.set()
    await holder
    await rooms.create({"name": "c"})

    assert await stored(rooms) == {"a": None, "c": None}


@pytest.mark.defect("R19")
async def test_deleting_what_is_absent_is_false_and_frees_the_lock() -> None:
    rooms = open_rooms(lock_timeout_seconds=0.01)

    assert await rooms.delete(5) is False
    assert (await rooms.create({"name": "a"})).id == 1


@pytest.mark.defect("E18")
def test_a_database_serves_a_second_event_loop() -> None:
    rooms = open_rooms(lock_timeout_seconds=1)

    async def contend(*names: str) -> None:
        await asyncio.gather(*(rooms.create({"name": name}) for name in names))

    asyncio.run(contend("a", "b", "c"))
    asyncio.run(contend("d", "e"))

    async def count() -> int:
        return await rooms.count()

    assert asyncio.run(count()) == 5


async def test_two_running_event_loops_do_not_write_at_once() -> None:
    rooms = open_rooms()
    executor = asyncio.get_running_loop().run_in_executor

    async def write_too() -> None:
        with pytest.raises(UsageError, match="one home for each loop"):
            await rooms.create({"name": "b"})

    async with rooms.unit_of_work():
        await rooms.create({"name": "a"})
        await executor(None, asyncio.run, write_too())

    await executor(None, asyncio.run, rooms.create({"name": "c"}))
    assert await stored(rooms) == {"a": None, "c": None}


def test_a_unit_that_a_dead_loop_left_open_does_not_block_the_next() -> None:
    rooms = open_rooms(lock_timeout_seconds=0.01)

    async def abandon() -> None:
        unit = rooms.unit_of_work()
        await unit.__aenter__()
        await rooms.create({"name": "a"})

    async def work() -> dict[str, int | None]:
        await rooms.create({"name": "b"})
        return await stored(rooms)

    asyncio.run(abandon())
    names: list[dict[str, int | None]] = []
    other = threading.Thread(target=lambda: names.append(asyncio.run(work())))
    other.start()
    other.join()

    assert names == [{"b": None}]


# Rules inside a unit


@pytest.mark.defect("R18")
async def test_two_entities_of_one_unit_may_swap_a_unique_value_by_way_of_a_third() -> (
    None
):
    rooms = open_rooms()
    for name in "ab":
        await rooms.create({"name": name})

    async with rooms.unit_of_work():
        await rooms.update(1, {"name": "c"})
        await rooms.update(2, {"name": "a"})
        await rooms.update(1, {"name": "b"})

    assert [room.name for room in await rooms.get_all()] == ["b", "a"]
    with pytest.raises(AlreadyExistsError):
        await rooms.create({"name": "a"})
    assert (await rooms.create({"name": "c"})).name == "c"


@pytest.mark.defect("R18")
async def test_a_unique_value_given_up_in_a_unit_can_be_taken_in_it() -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a"})

    async with rooms.unit_of_work():
        await rooms.delete(1)
        await rooms.create({"name": "a", "beds": 2})

    assert await stored(rooms) == {"a": 2}
    with pytest.raises(AlreadyExistsError):
        await rooms.create({"name": "a"})


@pytest.mark.defect("R18")
async def test_a_unique_value_given_up_by_an_attribute_can_be_taken_at_once() -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a"})

    async with rooms.unit_of_work():
        room = await rooms.get_by_id(1)
        assert room is not None
        room.name = "b"
        await rooms.create({"name": "a"})

    assert sorted(await stored(rooms)) == ["a", "b"]


@pytest.mark.defect("R18")
async def test_two_new_entities_of_one_unit_collide() -> None:
    rooms = open_rooms()

    with pytest.raises(AlreadyExistsError):
        async with rooms.unit_of_work():
            await rooms.create({"name": "a"})
            await rooms.create({"name": "a"})

    assert await rooms.count() == 0


async def test_a_collection_in_a_unique_field_is_refused_by_name() -> None:
    @dataclass
    class Tagged:
        tags: Annotated[Any, Unique()]
        id: int | None = None

    tagged = InMemoryRepository[Any, int](model_class=Tagged)

    with pytest.raises(ValidationError, match="tags must be unique") as refused:
        await tagged.create({"tags": ["a"]})

    assert refused.value.fields == ("tags",)


async def test_a_deleted_key_can_be_used_again() -> None:
    rooms = open_rooms()
    await rooms.create(Room("a", id=1))

    async with rooms.unit_of_work():
        await rooms.delete(1)
        assert await rooms.exists(1) is False
        await rooms.create(Room("b", id=1))

    assert await stored(rooms) == {"b": None}


async def test_a_generated_key_is_not_given_twice_after_a_rollback() -> None:
    rooms = open_rooms()
    with pytest.raises(ZeroDivisionError):
        async with rooms.unit_of_work():
            await rooms.create({"name": "a"})
            raise ZeroDivisionError

    assert (await rooms.create({"name": "b"})).id == 2


async def test_a_deleted_entity_is_gone_for_the_rest_of_its_unit() -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a"})

    async with rooms.unit_of_work():
        room = await rooms.get_by_id(1)
        assert room is not None
        room.beds = 3
        await rooms.delete(1)
        assert await rooms.get_by_id(1) is None
        assert await rooms.update(1, {"beds": 1}) is None
        assert await rooms.find(ALL) == []

    assert await rooms.count() == 0


# Tracking


@pytest.mark.defect("R44")
async def test_a_changed_list_inside_an_entity_is_stored() -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a"})

    async with rooms.unit_of_work():
        room = await rooms.get_by_id(1)
        assert room is not None
        room.tags.append("sea")
        assert (await rooms.find(by("name") == "a"))[0].tags == ["sea"]

    found = await rooms.get_by_id(1)
    assert found is not None
    assert found.tags == ["sea"]


@pytest.mark.defect("R44")
async def test_an_update_keeps_what_an_attribute_had_changed() -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a", "beds": 1})

    async with rooms.unit_of_work():
        room = await rooms.get_by_id(1)
        assert room is not None
        room.beds = 5
        updated = await rooms.update(1, {"beds": Inc(1)})
        assert updated is room
        assert room.beds == 6


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("beds", "two", ValidationError), ("name", None, ValidationError)],
)
async def test_a_bad_value_in_an_attribute_is_refused_by_the_commit(
    name: str, value: object, error: type[Exception]
) -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a", "beds": 1})

    with pytest.raises(error, match=name):
        async with rooms.unit_of_work():
            room = await rooms.get_by_id(1)
            setattr(room, name, value)

    assert await stored(rooms) == {"a": 1}


async def test_a_changed_key_is_refused_by_the_commit() -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a"})

    with pytest.raises(UsageError, match="key of a Room was changed: id"):
        async with rooms.unit_of_work():
            room = await rooms.get_by_id(1)
            assert room is not None
            room.id = 2

    assert await rooms.get_by_id(1) == Room("a", id=1)


async def test_what_was_read_in_a_unit_is_let_go_with_it() -> None:
    rooms = open_rooms()
    await rooms.create({"name": "a"})
    async with rooms.unit_of_work():
        room = await rooms.get_by_id(1)
    assert room is not None

    room.beds = 9
    async with rooms.unit_of_work():
        await rooms.count()

    assert await stored(rooms) == {"a": None}


# Savepoints


async def test_a_savepoint_undoes_creates_updates_and_deletes() -> None:
    rooms = open_rooms()
    for name in "ab":
        await rooms.create({"name": name, "beds": 1})

    async with rooms.unit_of_work() as unit:
        first = await rooms.get_by_id(1)
        assert first is not None
        await rooms.update(1, {"beds": 2})
        with pytest.raises(ZeroDivisionError):
            async with unit.savepoint():
                await rooms.update(1, {"beds": 3})
                await rooms.delete(2)
                await rooms.create({"name": "c"})
                assert await stored(rooms) == {"a": 3, "c": None}
                raise ZeroDivisionError
        assert first.beds == 2
        assert await stored(rooms) == {"a": 2, "b": 1}
        assert await rooms.get_by_id(1) is first
        await rooms.create({"name": "c", "beds": 4})

    assert await stored(rooms) == {"a": 2, "b": 1, "c": 4}


async def test_savepoints_nest() -> None:
    rooms = open_rooms()

    async with rooms.unit_of_work() as unit:
        async with unit.savepoint():
            await rooms.create({"name": "kept"})
            with pytest.raises(ZeroDivisionError):
                async with unit.savepoint():
                    await rooms.update(1, {"beds": 2})
                    await rooms.create({"name": "lost"})
                    raise ZeroDivisionError
            with pytest.raises(AlreadyExistsError):
                async with unit.savepoint():
                    await rooms.create({"name": "kept"})
        await rooms.create({"name": "last"})

    assert await stored(rooms) == {"kept": None, "last": None}


async def test_an_attribute_changed_in_a_savepoint_is_checked_at_its_end() -> None:
    rooms = open_rooms()
    for name in "ab":
        await rooms.create({"name": name})

    async with rooms.unit_of_work() as unit:
        room = await rooms.get_by_id(2)
        assert room is not None
        with pytest.raises(AlreadyExistsError):
            async with unit.savepoint():
                room.name = "a"
        room.beds = 4

    assert await stored(rooms) == {"a": None, "b": 4}


# Read-only units, and what is refused


async def test_a_read_only_unit_reads_beside_one_that_writes() -> None:
    rooms = open_rooms(lock_timeout_seconds=0.01)
    wrote, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with rooms.unit_of_work():
            await rooms.create({"name": "a"})
            wrote.set()
            await go_on.wait()

    holder = asyncio.create_task(hold())
    await wrote.wait()
    async with rooms.unit_of_work(read_only=True):
        assert await rooms.count() == 0
        with pytest.raises(UnitOfWorkError, match="read-only"):
            await rooms.delete(1)
    go_on.set()
    await holder


async def test_a_database_may_stand_in_a_with_block() -> None:
    async with MemoryDatabase() as database:
        rooms = Repository[Room, int](database, Room)
        await rooms.create({"name": "a"})

    assert await rooms.count() == 1


async def test_units_of_two_databases_do_not_mix() -> None:
    rooms, others = open_rooms(), open_rooms()

    with pytest.raises(ZeroDivisionError):
        async with rooms.unit_of_work():
            await rooms.create({"name": "a"})
            await others.create({"name": "b"})
            raise ZeroDivisionError

    assert (await rooms.count(), await others.count()) == (0, 1)


async def test_a_null_stays_null_when_it_is_incremented() -> None:
    rooms = InMemoryRepository[Room, int](model_class=Room)
    await rooms.create({"name": "a"})

    updated = await rooms.update(1, {"beds": Inc(1)})

    assert updated is not None
    assert updated.beds is None


# What is unchanged, and what it costs to know


@dataclass
class Reading:
    value: float | str  # open: a float alone would have to be finite
    id: int | None = None


@dataclass(slots=True)
class SlottedReading:
    value: float | str
    id: int | None = None


@pytest.mark.parametrize("kind", [Reading, SlottedReading])
async def test_a_nan_is_read_in_a_read_only_unit(kind: type[Any]) -> None:
    readings = Repository[Any, int](MemoryDatabase(), kind)
    made = await readings.create(kind(value=float("nan")))

    async with readings.unit_of_work(read_only=True):
        found = await readings.get_by_id(made.id)
        assert found is not None
        found.value = float("nan")

    assert [str(r.value) for r in await readings.find(ALL)] == ["nan"]


class Uncopied:
    """Count how often it is copied."""

    copies = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "Uncopied":
        type(self).copies += 1
        return self


@dataclass
class Holder:
    held: Uncopied
    id: int | None = None


async def test_a_verb_copies_nothing_of_the_objects_that_did_not_change() -> None:
    holders = Repository[Holder, int](MemoryDatabase(), Holder)
    async with holders.unit_of_work():
        await holders.create(Holder(Uncopied()))
        before = Uncopied.copies
        await holders.create(Holder(Uncopied()))
        first = Uncopied.copies - before
        for _ in range(10):
            await holders.create(Holder(Uncopied()))

        assert Uncopied.copies - before == 11 * first


@dataclass
class Watched:
    """Count how often one of them is looked at."""

    looks: ClassVar[int] = 0
    name: str
    id: int | None = None

    @override
    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            Watched.looks += 1
        return object.__getattribute__(self, name)


async def test_a_verb_looks_once_at_each_object_however_much_it_writes() -> None:
    things = Repository[Watched, int](MemoryDatabase(), Watched)

    async def looks(number: int) -> int:
        new = [{"name": "b"} for _ in range(number)]
        before = Watched.looks
        await things.create_many(new)
        return Watched.looks - before

    async with things.unit_of_work():
        held = [await things.create(Watched("a")) for _ in range(9)]

        assert await looks(50) == await looks(1)
        assert len(held) == 9


async def test_a_new_mapped_object_is_unchanged_where_a_field_was_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = adapter_for(MappedItem)
    items = Repository[MappedItem, int](MemoryDatabase(), MappedItem)
    held, looked = adapter.held, []

    def look(entity: MappedItem) -> Mapping[str, Any]:
        looked.append(entity)
        return held(entity)

    async with items.unit_of_work():
        item = await items.create(MappedItem(name="a"))
        monkeypatch.setattr(adapter, "held", look)
        await items.count()

        assert looked == []
        item.name = "b"
        await items.count()
        assert looked


@pytest.mark.parametrize("kind", [Reading, SlottedReading])
async def test_what_was_changed_and_let_go_is_stored(kind: type[Any]) -> None:
    readings = Repository[Any, int](MemoryDatabase(), kind)
    async with readings.unit_of_work():
        for at in range(250):
            (await readings.create(kind("new"))).value = at

    found = await readings.find(ALL, limit=250)
    assert [reading.value for reading in found] == list(range(250))


async def test_a_part_of_an_object_that_was_let_go_is_still_its_part() -> None:
    rooms = open_rooms()
    async with rooms.unit_of_work():
        tags = [(await rooms.create(Room(f"r{at}"))).tags for at in range(250)]
        for one in tags:
            one.append("sea")

    assert [room.tags for room in await rooms.find(ALL, limit=250)] == [["sea"]] * 250


async def test_an_object_read_again_in_a_savepoint_that_is_undone_is_the_tracked() -> (
    None
):
    readings = Repository[Reading, int](MemoryDatabase(), Reading)
    await readings.create(Reading("a"))
    async with readings.unit_of_work() as unit:
        await readings.get_by_id(1)
        with pytest.raises(ZeroDivisionError):
            async with unit.savepoint():
                for _ in range(250):
                    await readings.create(Reading("b"))
                found = await readings.get_by_id(1)
                raise ZeroDivisionError
        assert found is not None
        found.value = "c"

    assert await readings.find(ALL) == [Reading("c", 1)]


async def test_a_unique_value_that_a_savepoint_gave_up_is_taken_again_after_it() -> (
    None
):
    rooms = open_rooms()
    async with rooms.unit_of_work() as unit:
        first = await rooms.create({"name": "a"})
        assert first.id is not None
        with pytest.raises(ValueError, match="undo"):
            async with unit.savepoint():
                await rooms.update(first.id, {"name": "b"})
                await rooms.create({"name": "a"})
                raise ValueError("undo")

        await rooms.create({"name": "b"})
        async with unit.savepoint():
            await rooms.create({"name": "c"})
        with pytest.raises(AlreadyExistsError):
            async with unit.savepoint():
                await rooms.create({"name": "a"})

    assert await stored(rooms) == {"a": None, "b": None, "c": None}


async def test_a_unique_value_is_kept_by_the_entity_that_has_it() -> None:
    rooms = open_rooms()
    async with rooms.unit_of_work() as unit:
        room = await rooms.create({"name": "a"})
        assert room.id is not None
        async with unit.savepoint():
            await rooms.update(room.id, {"name": "b"})
            await rooms.update(room.id, {"name": "a"})

    assert await stored(rooms) == {"a": None}


@dataclass
class Named:
    name: str


@dataclass(slots=True)
class HalfSlotted(Named):
    size: int = 0
    id: int | None = None


async def test_a_change_of_a_slot_beside_a_dict_is_stored() -> None:
    things = Repository[HalfSlotted, int](MemoryDatabase(), HalfSlotted)
    async with things.unit_of_work():
        made = await things.create(HalfSlotted("a"))
        made.size = 3
        assert await things.count(by("size") == 3) == 1
        made.name = "b"

    assert await things.get_by_id(1) == HalfSlotted("b", 3, 1)


async def test_a_change_beside_a_collection_that_is_no_field_is_stored() -> None:
    guests = Repository[Guest, int](MemoryDatabase(), Guest)
    guest = Guest("a")
    vars(guest)["_callers_own"] = ["b"]
    async with guests.unit_of_work():
        await guests.create(guest)
        guest.name = "c"

    assert await guests.get_by_id(1) == Guest("c", 1)


# What has no order


async def test_values_of_an_open_type_without_an_order_are_a_usage_error() -> None:
    @dataclass
    class Loose:
        value: Any
        id: int | None = None

    things = Repository[Loose, int](MemoryDatabase(), Loose)
    await things.create(Loose({"a": 1}))
    await things.create(Loose({"b": 1}))

    with pytest.raises(UsageError, match="value holds values without an order"):
        await things.find(ALL, order_by=by("value").asc())
    with pytest.raises(UsageError, match="value holds values without an order"):
        await things.find(by("value") < 3)
    with pytest.raises(UsageError, match="holds a dict, which has no text"):
        await things.find(by("value").contains("a"))
