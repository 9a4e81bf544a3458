"""Aggregates: the same figures on every home, and what ``find`` would add up to."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any, Final

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository import ALL, field
from layerkit.testing.contracts.base import BaseContract, needs, refused
from layerkit.testing.contracts.entities import Status

_FIGURES: Final = {
    "sum": ("amount", "weight", "units"),
    "min": ("region", "amount", "weight", "units", "sold_on"),
    "max": ("region", "amount", "weight", "units", "sold_on"),
    "avg": ("amount", "weight", "units"),
}
_BY: Final = ("region", "status", "amount", "units", "sold_on", "paid")


def _sale(random: Random) -> dict[str, Any]:
    """Return values that often are equal to those of others, and sometimes extreme."""
    cents, units = random.randint(-(10**11), 10**11), random.randint(-(2**62), 2**62)
    values: dict[str, list[Any]] = {
        "region": [None, "a", "A", "a ", "", "é", "e", "Z"],
        "status": [*Status],
        "amount": [None, Decimal("0.10"), Decimal(cents).scaleb(-2)],
        "weight": [None, 0.25, random.randint(-99, 99) / 4],
        "units": [None, -3, units, 2**63 - 1],
        "sold_on": [None, date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)],
        "paid": [True, False],
    }
    return {name: random.choice(of_it) for name, of_it in values.items()}


def _place(by: Sequence[Any]) -> list[tuple[bool, Any]]:
    """Return what groups are sorted by: the places of an Enum, nulls last."""
    places = ([*Status].index(v) if isinstance(v, Status) else v for v in by)
    return [(place is None, place) for place in places]


class AggregatesContract(BaseContract):
    """Test counts, sums, extremes and averages, as a whole and by groups."""

    async def sell(self, sales: Any, *rows: Mapping[str, Any]) -> None:
        """Store a sale of each of these values."""
        await sales.create_many(self.sale(**row) for row in rows)

    async def test_nulls_count_for_nothing_and_are_a_group(self, filled: Any) -> None:
        await filled.update_where(field("name").in_(["a", "c"]), {"note": "x"})

        rows = await filled.aggregate(
            field("name") < "e", by="note", sum="qty", avg=["qty"], min="qty"
        )
        (uncounted,) = await filled.aggregate(count=False, max="qty")

        assert [(row.by["note"], row.count) for row in rows] == [("x", 2), (None, 2)]
        figures = [(r.sum["qty"], r.avg["qty"], r.min["qty"]) for r in rows]
        assert figures == [(1, 1.0, 1), (4, 2.0, 2)]
        assert (uncounted.count, uncounted.max) == (None, {"qty": 5})

    @needs("records")
    async def test_aggregates_refuse_what_homes_differ_in(self, sales: Any) -> None:
        mistakes: list[tuple[str, str]] = [
            ("by", "weight"), ("by", "nope"), ("sum", "nope"), ("min", "nope"),
            ("sum", "region"), ("avg", "paid"), ("sum", "status"),
            ("max", "paid"), ("min", "status"), ("avg", "sold_on"),
        ]  # fmt: skip
        for figure, name in mistakes:
            await refused(UsageError, sales.aggregate(**{figure: name}), match=name)
        for wrong in ({"count": False}, {"by": None}, {"by": [1]}, {"sum": 1}):
            await refused(UsageError, sales.aggregate(**wrong))
        await refused(UsageError, sales.aggregate(None))

    async def test_a_sum_beyond_all_floats_is_refused(self, sales: Any) -> None:
        await self.sell(sales, *[{"weight": 1.7e308}] * 2)

        for figure in ("sum", "avg"):
            await refused(ValidationError, sales.aggregate(**{figure: "weight"}))

    @needs("transactions")
    async def test_an_aggregate_sees_changes_of_its_unit(self, filled: Any) -> None:
        async with filled.unit_of_work():
            held = await filled.find_one(field("name") == "a")
            held.qty = 100
            (row,) = await filled.aggregate(sum="qty")

        assert row.sum["qty"] == 109

    @needs("records")
    async def test_aggregates_obey_scope_and_soft_deletion(self, records: Any) -> None:
        for n, tenant in enumerate("xxyy", 1):
            await records.create({"code": str(n), "tenant": tenant, "qty": n})
        assert await records.delete_where(field("qty") == 3) == 1

        seen = await records.aggregate(by="tenant", sum="qty")
        scoped = await records.scoped(field("tenant") == "x").aggregate(sum="qty")
        every = await records.with_deleted().aggregate(by="tenant", sum="qty")

        sums = [(row.by["tenant"], row.sum["qty"]) for row in seen]
        assert sums == [("x", 3), ("y", 4)]
        assert [(r.count, r.sum["qty"]) for r in scoped] == [(2, 3)]
        assert [r.sum["qty"] for r in every] == [3, 7]

    async def test_an_aggregate_is_what_entities_add_up_to(self, sales: Any) -> None:
        for seed in range(self.examples):
            random = Random(seed)  # noqa: S311 - rows of a test, no secret
            rows = [_sale(random) for _ in range(seed % 13)]
            await sales.delete_where(ALL)
            await self.sell(sales, *rows)
            for by in ([], *([name] for name in _BY), random.sample(_BY, 2)):
                await self._check_sums(sales, by)

    async def _check_sums(self, sales: Any, by: Sequence[str]) -> None:
        groups: dict[tuple[Any, ...], list[Any]] = {} if by else {(): []}
        for sale in await sales.find(ALL):
            shared = tuple(getattr(sale, name) for name in by)
            groups.setdefault(shared, []).append(sale)

        said = await sales.aggregate(by=by, **_FIGURES)

        assert [tuple(row.by.values()) for row in said] == sorted(groups, key=_place)
        for row in said:
            sold = groups[tuple(row.by.values())]
            assert row.count == len(sold)
            for name in _FIGURES["min"]:
                values = [v for s in sold if (v := getattr(s, name)) is not None]
                assert row.min[name] == min(values, default=None)
                assert row.max[name] == max(values, default=None)
                if name in row.sum:
                    total = sum(values) if values else None
                    assert row.sum[name] == total
                    assert type(row.sum[name]) is type(total)
                    mean = None if total is None else total / len(values)
                    found = row.avg[name]
                    assert (+found if isinstance(found, Decimal) else found) == mean
