"""Random histories of readings: extreme numbers, and values that the server makes."""

from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from typing_extensions import override

from layerkit.repository import ALL, Inc, field
from layerkit.repository.entities.limits import to_single
from layerkit.testing.contracts.machine import ABSENT, Machine, walked

_codes = st.sampled_from(["a", "b", "c", "d"])
_narrow = st.sampled_from([None, 0, 0.1, 1 / 3, -2e7 / 3, 16777217.0, 3e38, 1e39])
_wide = st.sampled_from([None, 3, 0.1, 1 / 3, 1e300, -1.7e308, 10**66, 10**400])
_price = st.sampled_from(
    [None, 5, *map(Decimal, ("0.1", "1.005", "-1.005", "99999999.99", "1E+30"))]
)
_whole = st.sampled_from([None, 0, 1, 2**31 - 1, -(2**31), 2**31, 2**70])
_texts = st.sampled_from([None, "", "ab", "a\0", "\ud800", "ä" * 20, "ä" * 21])
_values = st.fixed_dictionaries(
    {},
    optional={
        "narrow": _narrow,
        "wide": _wide,
        "price": _price,
        "whole": _whole,
        "text": _texts,
    },
)
_sums = st.one_of(
    st.fixed_dictionaries({"narrow": st.sampled_from([Inc(0.1), Inc(1), Inc(3e38)])}),
    st.fixed_dictionaries({"wide": st.sampled_from([Inc(0.1), Inc(2), Inc(1e308)])}),
    st.fixed_dictionaries(
        {"price": st.sampled_from([Inc(Decimal("0.005")), Inc(Decimal("0.2")), Inc(1)])}
    ),
    st.fixed_dictionaries({"whole": st.sampled_from([Inc(1), Inc(-1), Inc(2**40)])}),
)
_changes = st.one_of(_values, _sums)
_tests = st.one_of(
    st.tuples(st.just("narrow"), _narrow.filter(lambda value: value is not None)),
    st.tuples(st.just("wide"), _wide.filter(lambda value: value is not None)),
    st.tuples(st.just("price"), _price.filter(lambda value: value is not None)),
    st.tuples(st.just("whole"), _whole.filter(lambda value: value is not None)),
)
_names = st.sampled_from(["at", "narrow", "wide", "price", "whole"])


class ValueMachine(Machine):
    """Play histories of ``Reading``.

    Moments differ between two sides; that each finds its own row is the same on both.
    """

    shown: ClassVar[tuple[str, ...]] = (
        *("code", "narrow", "wide", "price", "whole", "text"),
    )

    @override
    def plain(self, said: Any) -> Any:
        found = super().plain(said)
        if isinstance(found, dict) and found["narrow"] is not None:
            # A driver may show no more digits than tell a float of four bytes apart.
            return {**found, "narrow": to_single(found["narrow"])}
        return found

    @initialize(values=_values)
    def fill(self, values: Any) -> None:
        """Begin with some readings."""
        self.check("fill", lambda side: side.create_many([{"code": c} for c in "ab"]))
        self.create("c", values)

    @rule(code=_codes, values=_values)
    def create(self, code: str, values: Any) -> None:
        """Create one; its moment is made by the backend."""
        new = {"code": code, **values}
        self.check(f"create({new})", lambda side: side.create(new))

    @rule(code=_codes, copied=_codes)
    def copy(self, code: str, copied: str) -> None:
        """Create one with the moment of another, which the driver sends."""

        async def step(side: Any) -> Any:
            other = await side.find_one(field("code") == copied)
            return other and await side.create({"code": code, "at": other.at})

        self.check(f"copy({code!r}, {copied!r})", step)

    @rule(code=_codes, changes=_changes)
    def update(self, code: str, changes: Any) -> None:
        """Update one."""

        async def step(side: Any) -> Any:
            found = await side.find_one(field("code") == code)
            return await side.update(ABSENT if found is None else found.id, changes)

        self.check(f"update({code!r}, {changes})", step)

    @rule(changes=_changes)
    def update_all(self, changes: Any) -> None:
        """Update all of them."""
        self.check(
            f"update_where(ALL, {changes})",
            lambda side: side.update_where(ALL, changes),
        )

    @precondition(lambda self: bool(self.blocks))
    @rule(code=_codes, values=_values)
    def change(self, code: str, values: Any) -> None:
        """Change a reading itself; its unit writes that down, or refuses it."""

        async def step(side: Any) -> Any:
            found = await side.find_one(field("code") == code)
            for name, value in values.items() if found is not None else ():
                setattr(found, name, value)
            await side.count()
            return found

        self.check(f"change({code!r}, {values})", step)

    @rule(test=_tests)
    def find(self, test: tuple[str, Any]) -> None:
        """Compare with values that may be beyond the column."""
        by, value = field(test[0]), test[1]
        wheres = (by == value, by < value, by >= value, ~by.in_([value]))
        for where in wheres:
            self.check(f"find({where})", lambda side, where=where: side.find(where))  # type: ignore[misc] # mypy can't infer a lambda with a default

    @rule(name=_names)
    def own(self, name: str) -> None:
        """Find each reading by what it holds, and walk over all by it."""
        by = field(name)

        async def step(side: Any) -> Any:
            for one in await side.find(by.is_not_null()):
                value = getattr(one, name)
                for where in (by == value, by.in_([value]), by.between(value, value)):
                    found = [each.id for each in await side.find(where)]
                    assert one.id in found, (where, found)
            pages = await walked(side, ALL, [by.desc()], 1)
            seen = {item.code for page in pages for item in page.items}
            streams = [
                [e.code async for e in side.stream(order_by=order, batch_size=1)]
                for order in (by.asc(), by.desc())
            ]
            return [sorted(seen), *map(sorted, streams)]

        self.check(f"own({name})", step)
