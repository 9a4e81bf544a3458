"""Repository: which entity, which home, what it refuses before anything is done."""

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import pytest

from layerkit.core.errors import ConflictError, UsageError, ValidationError
from layerkit.repository import (
    ALL,
    InMemoryRepository,
    MemoryDatabase,
    Page,
    Repository,
    Specification,
    field,
    home_of,
    register_home,
)

T = TypeVar("T")


@dataclass
class Pen:
    colour: str
    length: int | None = None
    id: int | None = None


@dataclass
class Ink:
    id: int | None = None


@dataclass
class Mark:
    text: str
    size: int = 0
    id: int | None = None

    def __post_init__(self) -> None:
        made: Any = self.text if self.text == "wrong" else len(self.text)
        self.size = made


class PenRepository(Repository[Pen, int]):
    async def red(self) -> list[Pen]:
        return await self.find(field("colour") == "red")


# The entity class


def test_the_entity_comes_from_the_generic_argument() -> None:
    assert PenRepository(MemoryDatabase()).model_class is Pen


def test_the_entity_comes_from_a_class_attribute() -> None:
    class Pens(Repository[Any, int]):
        model_class = Pen

    assert Pens(MemoryDatabase()).model_class is Pen


def test_the_entity_comes_from_an_argument() -> None:
    assert Repository[Any, int](MemoryDatabase(), Pen).model_class is Pen
    assert InMemoryRepository[Any, int](model_class=Ink).model_class is Ink


def test_an_argument_goes_before_what_the_class_says() -> None:
    @dataclass
    class GelPen(Pen):
        pass

    assert PenRepository(MemoryDatabase(), GelPen).model_class is GelPen


def test_a_subclass_inherits_the_entity_and_may_name_another() -> None:
    class Special(PenRepository):
        pass

    class Inks(Special, Repository[Ink, int]):
        pass

    assert Special(MemoryDatabase()).model_class is Pen
    assert Inks(MemoryDatabase()).model_class.__name__ == "Ink"


def test_a_generic_base_of_ones_own_passes_the_entity_on() -> None:
    class Audited(Repository[T, int], Generic[T]):
        pass

    class Mixin(Generic[T]):
        pass

    class AuditedPens(Mixin[Ink], Audited[Pen]):
        pass

    assert AuditedPens(MemoryDatabase()).model_class is Pen
    with pytest.raises(UsageError):
        Audited[Pen](MemoryDatabase())


def test_a_repository_without_an_entity_says_how_to_name_one() -> None:
    class Nameless(Repository[Any, int]):
        pass

    with pytest.raises(UsageError, match=r"Nameless does not know its entity.*\[User"):
        Nameless(MemoryDatabase())


# The home


@pytest.mark.parametrize("home", [None, 5, "sqlite://", object(), Pen])
def test_what_is_no_home_is_refused_by_its_type(home: Any) -> None:
    with pytest.raises(UsageError, match=f"got a {type(home).__name__}"):
        PenRepository(home)


def test_a_home_can_be_registered() -> None:
    class Box:
        pass

    database = MemoryDatabase()
    register_home(lambda source: database if isinstance(source, Box) else None)

    assert home_of(Box()) is database
    assert home_of(database) is database


async def test_repositories_of_one_home_share_its_units() -> None:
    database = MemoryDatabase()
    pens, again = PenRepository(database), PenRepository(database)
    inks = Repository[Ink, int](database, Ink)

    with pytest.raises(ZeroDivisionError):
        async with pens.unit_of_work():
            await pens.create({"colour": "red"})
            await inks.create({})
            assert await again.count() == 1
            raise ZeroDivisionError

    assert (await again.count(), await inks.count()) == (0, 0)
    assert pens.home is again.home is database


async def test_each_in_memory_repository_has_a_database_of_its_own() -> None:
    first, second = (InMemoryRepository[Pen, int](model_class=Pen) for _ in range(2))

    await first.create({"colour": "red"})

    assert await second.count() == 0


async def test_a_finder_of_ones_own_is_written_in_specifications() -> None:
    pens = PenRepository(MemoryDatabase())
    for colour in ("red", "blue", "red"):
        await pens.create({"colour": colour})

    assert [pen.id for pen in await pens.red()] == [1, 3]


def test_the_id_of_an_entity_is_its_key() -> None:
    assert PenRepository(MemoryDatabase()).id_of(Pen("red", id=3)) == 3


# Filters and orders


@pytest.mark.defect("R1")
@pytest.mark.defect("R2")
@pytest.mark.parametrize("where", [None, True, {}, {"colour": "red"}, "ALL", [ALL]])
async def test_a_filter_is_a_specification(where: Any) -> None:
    pens = PenRepository(MemoryDatabase())

    for verb in (pens.find, pens.find_one, pens.count, pens.paginate):
        with pytest.raises(UsageError, match="Specification"):
            await verb(where)


async def test_an_unknown_field_is_refused_everywhere() -> None:
    pens = PenRepository(MemoryDatabase())
    where = (field("colour") == "red") & ~(field("nope") == 1)

    for verb in (pens.find, pens.find_one, pens.count, pens.paginate):
        with pytest.raises(UsageError, match="Pen has no field 'nope'; it has colour"):
            await verb(where)
    with pytest.raises(UsageError, match="'nope'"):
        await pens.find(ALL, field("nope").asc())
    with pytest.raises(UsageError, match="'nope'"):
        await pens.paginate(order_by=[field("colour").asc(), field("nope").desc()])
    with pytest.raises(UsageError, match="'nope'"):
        await pens.update(1, {"length": 1}, when=where)


async def test_an_order_is_an_order() -> None:
    pens = PenRepository(MemoryDatabase())

    with pytest.raises(UsageError, match="order_by takes"):
        await pens.find(ALL, "colour")  # type: ignore[arg-type] # what is tested
    with pytest.raises(UsageError, match="order_by takes"):
        await pens.find(ALL, field("colour"))  # type: ignore[arg-type] # what is tested


async def test_an_order_by_the_key_is_not_doubled() -> None:
    pens = PenRepository(MemoryDatabase())
    for colour in "ab":
        await pens.create({"colour": colour})

    found = await pens.find(ALL, [field("id").desc(), field("colour").asc()])

    assert [pen.id for pen in found] == [2, 1]


@pytest.mark.defect("R15")
async def test_a_range_with_both_bounds_gives_each_once() -> None:
    pens = PenRepository(MemoryDatabase())
    for length in (1, 2, 3, None):
        await pens.create({"colour": "red", "length": length})

    found = await pens.find(field("length").between(1, 2))

    assert [pen.length for pen in found] == [1, 2]


@pytest.mark.defect("R5")
async def test_an_option_of_one_call_ends_with_it() -> None:
    pens = PenRepository(MemoryDatabase())
    for length in (1, 2, 3):
        await pens.create({"colour": "red", "length": length})

    await pens.find(field("length") > 1, field("length").desc(), skip=1, limit=1)
    await pens.paginate(field("length") > 2, size=1, total=1)

    assert [pen.id for pen in await pens.get_all()] == [1, 2, 3]
    assert [pen.id for pen in await pens.find(ALL)] == [1, 2, 3]
    assert await pens.count() == 3


async def test_pages_refuse_what_they_cannot_mean() -> None:
    pens = PenRepository(MemoryDatabase())

    for call in ({"size": 0}, {"size": 10_000}, {"offset": -1}, {"total": "many"}):
        with pytest.raises(UsageError):
            await pens.paginate(**call)
    with pytest.raises(UsageError):
        await pens.count(cap=0)


def test_a_page_is_a_frozen_value() -> None:
    page = Page([1], total=1)

    assert page == Page([1], 1, False, None, None)
    with pytest.raises(AttributeError):
        page.total = 2  # type: ignore[misc] # what is tested


class Tint(Enum):
    DARK = "d"
    LIGHT = "l"


@dataclass(frozen=True)
class Nib:
    width: int


@dataclass
class Sketch:
    tint: Tint
    data: dict  # type: ignore[type-arg] # a class, as a column of such values says
    nib: Nib
    done: bool
    id: int | None = None


def open_sketches() -> Repository[Sketch, int]:
    return Repository[Sketch, int](MemoryDatabase(), Sketch)


@pytest.mark.parametrize("name", ["tint", "data", "nib"])
async def test_what_backends_sort_differently_is_no_order(name: str) -> None:
    with pytest.raises(UsageError, match=f"Sketch.{name} holds .* order"):
        await open_sketches().find(ALL, order_by=field(name).asc())


@pytest.mark.parametrize(
    "where",
    [
        field("tint") < Tint.DARK,
        ~(field("tint") >= Tint.DARK),
        field("nib") <= Nib(1),
        field("done") < True,
    ],
)
async def test_what_has_no_order_is_compared_for_equality_only(
    where: Specification,
) -> None:
    sketches = open_sketches()

    with pytest.raises(UsageError, match="neither smaller nor greater"):
        await sketches.find(where)
    with pytest.raises(UsageError, match="neither smaller nor greater"):
        await sketches.update(1, {"done": True}, when=where)


async def test_false_is_sorted_before_true() -> None:
    sketches = open_sketches()
    for done in (True, False):
        await sketches.create(Sketch(Tint.DARK, {}, Nib(1), done))

    found = await sketches.find(
        field("tint") == Tint.DARK, order_by=field("done").asc()
    )

    assert [sketch.done for sketch in found] == [False, True]


def test_a_value_that_may_change_is_no_part_of_a_filter() -> None:
    with pytest.raises(UsageError, match="dict, which may change"):
        field("data") == {}  # noqa: B015 - builds a filter
    with pytest.raises(UsageError, match="list, which may change"):
        field("data").in_([[1]])


async def test_a_wrong_count_of_matches_says_which_was_expected_and_found() -> None:
    pens = PenRepository(MemoryDatabase())
    for _ in range(2):
        await pens.create(Pen("red"))

    with pytest.raises(ConflictError, match=r"^expected 1 matches, found 2$") as caught:
        await pens.delete_where(field("colour") == "red", expect=1)

    assert caught.value.kind == "count"


async def test_what_a_constructor_makes_of_values_is_checked_too() -> None:
    marks = Repository[Mark, int](MemoryDatabase(), Mark)

    assert (await marks.create({"text": "abc", "size": 1})).size == 3
    with pytest.raises(ValidationError, match="wrong type, expected size: int"):
        await marks.create({"text": "wrong", "size": 1})


async def test_any_mapping_makes_an_entity() -> None:
    pens = PenRepository(MemoryDatabase())

    made = await pens.create(MappingProxyType({"colour": "red"}))

    assert await pens.red() == [made]
