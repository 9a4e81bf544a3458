"""Aggregates: the same figures on every home, and what ``find`` would add up to."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository import ALL, field
from layerkit.testing.contracts.base import BaseContract, needs, refused
from layerkit.testing.contracts.entities import OpenRepository, Status

_FIGURES: Final = {
    "sum": ("amount", "weight", "units"),
    "min": ("region", "amount", "weight", "units", "sold_on"),
    "max": ("region", "amount", "weight", "units", "sold_on"),
    "avg": ("amount", "weight", "units"),
}
_BY: Final = ("region", "status", "amount", "units", "sold_on", "paid")
_ROWS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "region": st.none() | st.sampled_from(["a", "A", "a ", "", "é", "z", "B"]),
            "status": st.sampled_from(Status),
            "amount": st.none() | st.decimals(-(10**9), 10**9, places=2),
            "weight": st.none() | st.integers(-99, 99).map(lambda n: n / 4),
            "units": st.none() | st.integers(-(2**63), 2**63 - 1),
            "sold_on": st.none() | st.dates(date(2024, 1, 1), date(2024, 1, 3)),
            "paid": st.booleans(),
        }
    ),
    max_size=8,
)


class AggregatesContract(BaseContract):
    """Test counts, sums, extremes and averages, as a whole and by groups."""

    async def sell(self, sales: Any, *rows: Mapping[str, Any]) -> None:
        """Store a sale of each of these values."""
        await sales.create_many(self.sale(**row) for row in rows)

    async def test_nothing_adds_up_to_nulls_or_to_no_group(self, sales: Any) -> None:
        (row,) = await sales.aggregate(**_FIGURES)
        groups = await sales.aggregate(by="region", **_FIGURES)
        await self.sell(sales, {}, {})
        counted = await sales.aggregate()

        assert (row.count, row.by, groups) == (0, {}, [])
        assert [each.count for each in counted] == [2]
        for figure, names in _FIGURES.items():
            assert getattr(row, figure) == dict.fromkeys(names)

    async def test_nulls_count_for_nothing_and_are_a_group(self, filled: Any) -> None:
        await filled.update_where(field("name").in_(["a", "c"]), {"note": "x"})

        rows = await filled.aggregate(
            field("name") < "e", by="note", sum="qty", avg=["qty"], min="qty"
        )

        assert [(row.by["note"], row.count) for row in rows] == [("x", 2), (None, 2)]
        figures = [(r.sum["qty"], r.avg["qty"], r.min["qty"]) for r in rows]
        assert figures == [(1, 1.0, 1), (4, 2.0, 2)]

    async def test_texts_are_grouped_by_case_and_blanks(self, sales: Any) -> None:
        texts = ["a", "A", "a ", "é", "", "a", "E"]
        await self.sell(sales, *({"region": text} for text in texts))

        rows = await sales.aggregate(by="region")
        (ends,) = await sales.aggregate(min="region", max="region")

        assert [(row.by["region"], row.count) for row in rows] == [
            ("", 1), ("A", 1), ("E", 1), ("a", 2), ("a ", 1), ("é", 1),
        ]  # fmt: skip
        assert (ends.min["region"], ends.max["region"]) == ("", "é")

    async def test_sums_are_exact_to_the_last_digit(self, sales: Any) -> None:
        great, cents = 2**63 - 1, Decimal("0.10")
        await self.sell(
            sales,
            *[{"units": great, "amount": cents}] * 3,
            {"units": -5, "amount": Decimal("99999999.97")},
            {},
        )

        (row,) = await sales.aggregate(sum=("units", "amount"), avg=("units", "amount"))

        units, amount = 3 * great - 5, Decimal("100000000.27")
        assert row.sum == {"units": units, "amount": amount}
        assert [type(value) for value in row.sum.values()] == [int, Decimal]
        assert row.avg == {"units": units / 4, "amount": Decimal("25000000.0675")}

    async def test_an_average_of_decimals_has_28_digits(self, sales: Any) -> None:
        for number, weight in ((1, 0.5), (0, 0.25), (0, None)):
            row = {"amount": Decimal(number), "units": number, "weight": weight}
            await self.sell(sales, row)

        (row,) = await sales.aggregate(count=False, avg=_FIGURES["avg"])

        third = Decimal("0." + 28 * "3")
        assert row.avg == {"amount": third, "weight": 0.375, "units": 1 / 3}
        assert row.count is None

    async def test_groups_are_sorted_by_value_nulls_last(self, sales: Any) -> None:
        await self.sell(
            sales,
            {"status": Status.DONE, "units": None},
            {"status": Status.NEW, "units": 10},
            {"status": Status.DONE, "units": 9, "paid": True},
            {"status": Status.DONE, "units": 9},
            {"status": Status.NEW, "units": None},
        )

        rows = await sales.aggregate(by=("status", "units", "paid"), count=False)

        new, done = Status.NEW, Status.DONE
        assert [tuple(row.by.values()) for row in rows] == [
            (new, 10, False), (new, None, False),
            (done, 9, False), (done, 9, True), (done, None, False),
        ]  # fmt: skip

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
        await records.delete_where(field("qty") == 3)

        seen = await records.aggregate(by="tenant", sum="qty")
        scoped = await records.scoped(field("tenant") == "x").aggregate(sum="qty")
        every = await records.with_deleted().aggregate(by="tenant", sum="qty")

        sums = [(row.by["tenant"], row.sum["qty"]) for row in seen]
        assert sums == [("x", 3), ("y", 4)]
        assert [(r.count, r.sum["qty"]) for r in scoped] == [(2, 3)]
        assert [r.sum["qty"] for r in every] == [3, 7]

    async def test_an_aggregate_is_what_the_entities_add_up_to(
        self, open_repository: OpenRepository
    ) -> None:
        def play() -> None:
            with asyncio.Runner() as runner:
                opened = open_repository(self.sale)
                sales = runner.run(opened.__aenter__())

                @settings(
                    max_examples=self.examples,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                )
                @given(_ROWS, st.lists(st.sampled_from(_BY), max_size=2, unique=True))
                def agree(rows: list[dict[str, Any]], by: list[str]) -> None:
                    runner.run(self._agree(sales, rows, by))

                try:
                    agree()
                finally:
                    runner.run(opened.__aexit__(None, None, None))

        await asyncio.to_thread(play)

    async def _agree(
        self, sales: Any, rows: Iterable[Mapping[str, Any]], by: Sequence[str]
    ) -> None:
        await sales.delete_where(ALL)
        await self.sell(sales, *rows)
        groups: dict[tuple[Any, ...], list[Any]] = {} if by else {(): []}
        for sale in await sales.find(ALL):
            shared = tuple(getattr(sale, name) for name in by)
            groups.setdefault(shared, []).append(sale)

        said = await sales.aggregate(by=by, **_FIGURES)

        assert len(said) == len(groups)
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
                    mean = None if total is None else total / len(values)
                    found = row.avg[name]
                    assert (+found if isinstance(found, Decimal) else found) == mean
