"""Aggregates in memory and over six verbs, and the rows that they return."""

import copy
import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, assert_type

import pytest
from typing_extensions import override

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository import AggregateRow, BaseRepository, InMemoryRepository, field


class Money(Decimal): ...


class Level(Enum):
    LOW = 2
    HIGH = 1


@dataclass
class Sale:
    region: str | None = None
    amount: Decimal | None = None
    paid: bool = False
    tags: Any = None
    level: Level | None = None
    price: Money | None = None
    units: int = 0
    weight: float = 0.0
    id: int | None = None


class Sales(InMemoryRepository[Sale, int]): ...


class Fixed(BaseRepository[Any, int]):
    """Six verbs, of which an aggregate needs one."""

    def __init__(self, *entities: Any) -> None:
        self.entities = list(entities)

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[Any]:
        return self.entities[skip : skip + limit]

    @override
    async def create(self, entity: Any) -> Any: ...

    @override
    async def get_by_id(self, entity_id: int) -> Any | None: ...

    @override
    async def update(self, entity_id: int, update_data: dict[str, Any]) -> Any: ...

    @override
    async def delete(self, entity_id: int) -> bool:
        return False

    @override
    async def exists(self, entity_id: int) -> bool:
        return False


@pytest.fixture
async def row() -> AggregateRow:
    sales = Sales()
    await sales.create_many([Sale("n", Decimal("0.10")), Sale("n", Decimal("0.20"))])
    rows = await sales.aggregate(by="region", sum="amount", max=["amount"])
    assert_type(rows, list[AggregateRow])
    return rows[0]


def test_a_row_is_plain_to_read(row: AggregateRow) -> None:
    assert row.by["region"] == "n"
    assert (row.count, row.sum["amount"]) == (2, Decimal("0.30"))
    assert json.dumps(row.by) == '{"region": "n"}'
    assert asdict(row)["max"] == {"amount": Decimal("0.20")}


def changes_of(row: AggregateRow) -> Iterator[Any]:
    figures: Any = row.sum
    yield lambda: setattr(row, "count", 1)
    yield lambda: setattr(row, "sum", {})
    yield lambda: figures.__setitem__("amount", 1)
    yield lambda: figures.__delitem__("amount")
    yield lambda: figures.__ior__({"amount": 1})
    for name, args in (
        ("clear", ()), ("pop", ("amount",)), ("popitem", ()),
        ("setdefault", ("x", 1)), ("update", ({"amount": 1},)),
    ):  # fmt: skip
        yield lambda name=name, args=args: getattr(figures, name)(*args)


def test_a_row_cannot_be_changed(row: AggregateRow) -> None:
    for change in changes_of(row):
        with pytest.raises((TypeError, AttributeError)):
            change()

    assert row.sum == {"amount": Decimal("0.30")}


def test_a_row_goes_into_sets_and_pickles_and_copies(row: AggregateRow) -> None:
    twin = pickle.loads(pickle.dumps(row))  # noqa: S301 - our own

    assert len({row, twin, copy.deepcopy(row)}) == 1
    assert type(twin.sum) is type(row.sum)


async def test_more_groups_than_a_list_has_entities_are_refused() -> None:
    sales = Sales()
    await sales.create_many(Sale(units=n) for n in range(10_001))

    with pytest.raises(UsageError, match="more than 10,000 groups by units"):
        await sales.aggregate(by="units")

    assert len(await sales.aggregate(field("units") > 0, by="units")) == 10_000


async def test_values_that_may_change_are_no_groups() -> None:
    sales = Sales()
    await sales.create(Sale(tags=["a"]))

    with pytest.raises(UsageError, match="tags"):
        await sales.aggregate(by="tags")


async def test_groups_without_an_order_are_refused() -> None:
    sales = Sales()
    await sales.create_many([Sale(tags="a"), Sale(tags=1)])

    with pytest.raises(UsageError, match="tags"):
        await sales.aggregate(by="tags")
    with pytest.raises(UsageError, match="tags"):
        await sales.aggregate(min="tags")


async def test_members_are_sorted_as_their_class_lists_them() -> None:
    sales = Sales()
    await sales.create_many(Sale(level=each) for each in (Level.HIGH, None, Level.LOW))

    rows = await sales.aggregate(by="level")

    assert [row.by["level"] for row in rows] == [Level.LOW, Level.HIGH, None]


async def test_what_is_added_up_is_of_a_class_that_all_homes_have() -> None:
    sales = Sales()
    await sales.create_many([Sale(price=Money("1.5"), amount=Decimal(1), weight=1)])

    (row,) = await sales.aggregate(sum=("price", "amount", "weight", "units"))

    assert [type(value) for value in row.sum.values()] == [Decimal, Decimal, float, int]


async def test_decimals_are_added_up_to_the_last_of_their_digits() -> None:
    sales = Sales()
    great = Decimal(1234567890123456789012345678901234567890)
    await sales.create_many([Sale(amount=great), Sale(amount=Decimal("0.0001"))])

    (row,) = await sales.aggregate(sum="amount", avg="amount")

    assert str(row.sum["amount"]) == "1234567890123456789012345678901234567890.0001"
    assert str(row.avg["amount"]) == "617283945061728394506172839450617283945.00005"


async def test_an_average_beyond_all_floats_is_refused() -> None:
    sales = Sales()
    await sales.create(Sale(units=10**400))

    with pytest.raises(ValidationError) as refused:
        await sales.aggregate(avg="units")

    assert refused.value.detail["fields"] == ["units"]
    assert (await sales.aggregate(sum="units"))[0].sum == {"units": 10**400}


async def test_six_verbs_are_enough_for_an_aggregate() -> None:
    sold = [Sale("n", units=1), Sale("s", units=2), Sale("n", units=4), Sale("x")]
    sales = Fixed(*sold)

    rows = await sales.aggregate(field("region") != "x", by="region", avg="units")

    assert [(r.by["region"], r.count, r.avg["units"]) for r in rows] == [
        ("n", 2, 2.5),
        ("s", 1, 2.0),
    ]


@pytest.mark.parametrize("name", ["region", "paid", "nope"])
async def test_six_verbs_add_up_numbers_alone(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        await Fixed(Sale("n")).aggregate(sum=name)


async def test_values_of_two_classes_are_not_compared() -> None:
    with pytest.raises(UsageError, match="tags"):
        await Fixed(Sale(tags=1), Sale(tags="a")).aggregate(min="tags")
