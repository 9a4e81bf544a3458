"""Random histories of records: versions, stamps, soft deletion and scopes."""

from typing import Any, ClassVar, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from typing_extensions import override

from layerkit.repository import ALL, Inc, Order, Specification, field
from layerkit.testing.contracts.machine import ABSENT, Machine, expectations, walked

_codes = st.sampled_from(["a", "b", "c"])
_tenants = st.sampled_from(["main", "mine"])
_numbers = st.integers(0, 2)
_new = st.fixed_dictionaries(
    {"code": _codes}, optional={"tenant": _tenants, "qty": _numbers}
)
_batches = st.lists(_new, max_size=3)
_changes = st.one_of(
    st.fixed_dictionaries({}, optional={"code": _codes, "qty": _numbers}),
    st.fixed_dictionaries({"qty": st.builds(Inc, st.integers(1, 2))}),
    st.sampled_from([{"tenant": "mine"}, {"version": 9}]),
)
_views = st.sampled_from(["all", "mine", "mine, from 1", "all ever", "mine ever"])
_places = st.integers(0, 5)
_versions = st.none() | st.integers(1, 3)
_where = st.sampled_from(
    [ALL, field("qty") >= 1, field("code") == "a", ~(field("code") == "b")]
)
_orders = st.sampled_from(
    [(), (Order("qty", descending=True),), (Order("deleted_at"), Order("qty"))]
)


def _view(side: Any, name: str) -> Any:
    """Return the view of that name."""
    if name.startswith("mine"):
        side = side.scoped(field("tenant") == "mine")
    if name.endswith("from 1"):
        side = side.scoped(field("qty") >= 1, {"qty": 1})
    return side.with_deleted() if name.endswith("ever") else side


async def _id(side: Any, place: int) -> int:
    """Return the id of what was stored at that place, or one that nothing has."""
    ever = await side.with_deleted().find(ALL)
    return ever[place].id if place < len(ever) else ABSENT


class RecordMachine(Machine):
    """Play histories of ``Record``, each step in a view of it."""

    shown: ClassVar[tuple[str, ...]] = ("code", "tenant", "qty", "version")

    @override
    def plain(self, said: Any) -> Any:
        seen = super().plain(said)
        if hasattr(said, "deleted_at"):
            seen["deleted"] = said.deleted_at is not None
        return seen

    @initialize(
        batch=st.lists(_new, min_size=2, max_size=4, unique_by=lambda new: new["code"])
    )
    def fill(self, batch: Any) -> None:
        """Begin with some records."""
        self.create_many("all", batch)

    # Writing

    @rule(view=_views, new=_new)
    def create(self, view: str, new: Any) -> None:
        """Create one."""
        self.check(f"{view}: create({new})", lambda side: _view(side, view).create(new))

    @rule(view=_views, batch=_batches)
    def create_many(self, view: str, batch: Any) -> None:
        """Create several."""
        self.check(
            f"{view}: create_many({batch})",
            lambda side: _view(side, view).create_many(
                [self.entity(**new) for new in batch]
            ),
        )

    @rule(
        view=_views,
        place=_places,
        changes=_changes,
        expected=_versions,
        when=st.none() | _where,
    )
    def update(
        self, view: str, place: int, changes: Any, expected: int | None, when: Any
    ) -> None:
        """Update one, perhaps only in some version or state."""

        async def step(side: Any) -> Any:
            return await _view(side, view).update(
                await _id(side, place), changes, expected_version=expected, when=when
            )

        self.check(
            f"{view}: update(number {place}, {changes}, {expected=}, {when=})", step
        )

    @precondition(lambda self: bool(self.blocks))
    @rule(view=_views, place=_places, code=_codes, qty=_numbers, tenant=_tenants)
    def change(self, view: str, place: int, code: str, qty: int, tenant: str) -> None:
        """Change a record itself; its unit writes that down, or refuses it."""

        async def step(side: Any) -> Any:
            found = await _view(side, view).get_by_id(await _id(side, place))
            if found is not None:
                found.code, found.qty, found.tenant = code, qty, tenant
            return found

        self.check(f"{view}: change(number {place}, {code}, {qty}, {tenant})", step)

    @rule(view=_views, place=_places, expected=_versions, when=st.none() | _where)
    def delete(self, view: str, place: int, expected: int | None, when: Any) -> None:
        """Delete one, perhaps only in some version or state."""

        async def step(side: Any) -> Any:
            return await _view(side, view).delete(
                await _id(side, place), expected_version=expected, when=when
            )

        self.check(f"{view}: delete(number {place}, {expected=}, {when=})", step)

    @rule(view=_views, place=_places)
    def restore(self, view: str, place: int) -> None:
        """Take a soft deletion back."""

        async def step(side: Any) -> Any:
            return await _view(side, view).restore(await _id(side, place))

        self.check(f"{view}: restore(number {place})", step)

    @rule(view=_views, where=_where, changes=_changes, expect=expectations)
    def update_where(
        self, view: str, where: Specification, changes: Any, expect: int | None
    ) -> None:
        """Update several."""
        self.check(
            f"{view}: update_where({where}, {changes}, {expect=})",
            lambda side: _view(side, view).update_where(where, changes, expect=expect),
        )

    @rule(view=_views, where=_where, expect=expectations)
    def delete_where(self, view: str, where: Specification, expect: int | None) -> None:
        """Delete several."""
        self.check(
            f"{view}: delete_where({where}, {expect=})",
            lambda side: _view(side, view).delete_where(where, expect=expect),
        )

    @precondition(lambda self: self.capabilities.upserts)
    @rule(view=_views, new=_new)
    def upsert(self, view: str, new: Any) -> None:
        """Create or change one by its code."""
        self.check(
            f"{view}: upsert({new})",
            lambda side: _view(side, view).upsert(new, key="code"),
        )

    @precondition(lambda self: self.capabilities.upserts)
    @rule(view=_views, place=_places, new=_new)
    def upsert_by_id(self, view: str, place: int, new: Any) -> None:
        """Change one by its id; a new one would shift the ids that follow."""

        async def step(side: Any) -> Any:
            known = await _id(side, place)
            if known != ABSENT:
                given = {"id": known, **new}
                return await _view(side, view).upsert(given, key="id")
            return None

        self.check(f"{view}: upsert({new}, number {place})", step)

    @precondition(lambda self: self.capabilities.upserts)
    @rule(view=_views, batch=_batches)
    def upsert_many(self, view: str, batch: Any) -> None:
        """Create or change several by their codes."""
        self.check(
            f"{view}: upsert_many({batch})",
            lambda side: _view(side, view).upsert_many(batch, key="code"),
        )

    # Reading

    @rule(view=_views, where=_where, by=_orders, places=st.lists(_places, max_size=3))
    def read(self, view: str, where: Specification, by: Any, places: list[int]) -> None:
        """Read by every verb that reads."""

        async def step(side: Any) -> Any:
            seen, ids = _view(side, view), [await _id(side, place) for place in places]
            return [
                *[await seen.get_by_id(one) for one in ids],
                *[await seen.exists(one) for one in ids],
                await seen.get_many(ids),
                await seen.get_all(1, 2),
                await seen.find(where, by),
                await seen.count(where),
                [e async for e in seen.stream(where, order_by=by, batch_size=2)],
            ]

        self.check(f"{view}: read({where}, {by}, {places})", step)
        self.check(
            f"{view}: find_one({where})",
            lambda side: _view(side, view).find_one(where),
        )

    @precondition(lambda self: self.capabilities.cursors)
    @rule(view=_views, where=_where, by=_orders, size=st.integers(1, 2))
    def pages(self, view: str, where: Specification, by: Any, size: int) -> None:
        """Walk over all pages, there and back."""
        self.check(
            f"{view}: pages({where}, {by}, {size})",
            lambda side: walked(_view(side, view), where, by, size),
        )

    @precondition(lambda self: self.blocks and self.capabilities.locks)
    @rule(view=_views, place=_places, lock=st.sampled_from(["wait", "nowait"]))
    def locked(self, view: str, place: int, lock: Literal["wait", "nowait"]) -> None:
        """Read so that nobody else may write."""

        async def step(side: Any) -> Any:
            found = await _id(side, place)
            return await _view(side, view).get_by_id(found, lock=lock)

        self.check(f"{view}: get_by_id(number {place}, {lock=})", step)
