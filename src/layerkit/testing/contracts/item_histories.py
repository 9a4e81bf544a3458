"""Random histories of items: filters, orders, unique values, nulls."""

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from layerkit.repository import ALL, Inc, Order, Specification, field
from layerkit.testing.contracts.machine import (
    ABSENT,
    Machine,
    by_offset,
    expectations,
    walked,
)

_names = st.sampled_from(["a", "A", "b", "ä", "a b", "50%", "_"])
_numbers = st.one_of(st.none(), st.integers(-2, 3))
_notes = st.sampled_from([None, "", "a", "B", "ab", "%_", "x'y", "\\"])
_texts = st.sampled_from(["", "a", "A", "b", "%", "_", "'", "\\", "ä"])


def _leaves() -> st.SearchStrategy[Specification]:
    name, qty, note = (field(n) for n in ("name", "qty", "note"))
    number, text = st.integers(-2, 3), _texts
    return st.one_of(
        st.sampled_from([ALL, qty.is_null(), note.is_not_null()]),
        st.builds(qty.__eq__, number),
        st.builds(qty.__ne__, number),
        st.builds(qty.__lt__, number),
        st.builds(qty.__le__, number),
        st.builds(qty.__gt__, number),
        st.builds(qty.__ge__, number),
        st.builds(qty.between, number, number),
        st.builds(qty.in_, st.lists(number, max_size=3)),
        st.builds(qty.not_in, st.lists(number, max_size=3)),
        st.builds(note.__eq__, text),
        st.builds(note.__ne__, text),
        st.builds(name.__eq__, _names),
        st.builds(name.__gt__, _names),
        st.builds(name.in_, st.lists(_names, max_size=3)),
        st.builds(note.contains, text),
        st.builds(note.startswith, text),
        st.builds(note.endswith, text),
        st.builds(name.icontains, text),
        st.builds(name.istartswith, text),
        st.builds(note.iendswith, text),
    )


specifications: st.SearchStrategy[Specification] = st.recursive(
    _leaves(),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=5,
)
orders: st.SearchStrategy[tuple[Order, ...]] = st.lists(
    st.builds(Order, st.sampled_from(["name", "qty"]), st.booleans(), st.booleans()),
    max_size=2,
    unique_by=lambda order: order.field,
).map(tuple)
_values = st.fixed_dictionaries({}, optional={"qty": _numbers, "note": _notes})
_changes = st.one_of(
    _values,
    st.fixed_dictionaries({"qty": st.builds(Inc, st.integers(-1, 2))}),
    st.fixed_dictionaries({"name": _names}),
    st.sampled_from([{"nope": 1}, {"qty": "many"}, {"name": None}]),
)
_new = st.builds(lambda name, values: {"name": name, **values}, _names, _values)
_attributes = st.fixed_dictionaries(
    {}, optional={"name": _names, "qty": _numbers, "note": _notes}
)


class ItemMachine(Machine):
    """Play histories of ``Item``.

    Texts are sorted and ordered by ``name`` alone, which a backend must compare byte by
    byte.
    """

    shown: ClassVar[tuple[str, ...]] = ("name", "qty", "note")

    @initialize(
        batch=st.lists(_new, min_size=2, max_size=6, unique_by=lambda new: new["name"])
    )
    def fill(self, batch: Any) -> None:
        """Begin with some entities."""
        self.create_many(batch)

    # Writing

    @rule(new=_new)
    def create(self, new: Any) -> None:
        """Create one."""
        self.check(f"create({new})", lambda side: side.create(self.entity(**new)))

    @rule(batch=st.lists(_new, max_size=3))
    def create_many(self, batch: Any) -> None:
        """Create several."""
        self.check(
            f"create_many({batch})",
            lambda side: side.create_many([self.entity(**new) for new in batch]),
        )

    @rule(name=_names, changes=_changes, when=st.none() | specifications)
    def update(self, name: str, changes: Any, when: Specification | None) -> None:
        """Update one."""

        async def step(side: Any) -> Any:
            return await side.update(await _id(side, name), changes, when=when)

        self.check(f"update({name!r}, {changes}, when={when})", step)

    @precondition(lambda self: bool(self.blocks))
    @rule(name=_names, values=_attributes)
    def change(self, name: str, values: Any) -> None:
        """Change an entity itself; its unit writes that down."""

        async def step(side: Any) -> Any:
            found = await side.find_one(field("name") == name)
            for attribute, value in values.items() if found is not None else ():
                setattr(found, attribute, value)
            return found

        self.check(f"change({name!r}, {values})", step)

    @rule(name=_names, when=st.none() | specifications)
    def delete(self, name: str, when: Specification | None) -> None:
        """Delete one."""

        async def step(side: Any) -> Any:
            return await side.delete(await _id(side, name), when=when)

        self.check(f"delete({name!r}, when={when})", step)

    @rule(where=specifications, changes=_changes, expect=expectations)
    def update_where(
        self, where: Specification, changes: Any, expect: int | None
    ) -> None:
        """Update several."""
        self.check(
            f"update_where({where}, {changes}, {expect=})",
            lambda side: side.update_where(where, changes, expect=expect),
        )

    @rule(where=specifications, expect=expectations)
    def delete_where(self, where: Specification, expect: int | None) -> None:
        """Delete several."""
        self.check(
            f"delete_where({where}, {expect=})",
            lambda side: side.delete_where(where, expect=expect),
        )

    @precondition(lambda self: self.capabilities.upserts)
    @rule(new=_new)
    def upsert(self, new: Any) -> None:
        """Create or change one."""
        self.check(f"upsert({new})", lambda side: side.upsert(new, key="name"))

    @precondition(lambda self: self.capabilities.upserts)
    @rule(name=_names, new=_new)
    def upsert_by_id(self, name: str, new: Any) -> None:
        """Change the one that has the name, its name as well.

        A new one would shift the ids that follow, on some databases.
        """

        async def step(side: Any) -> Any:
            known = await _id(side, name)
            if known != ABSENT:
                return await side.upsert({"id": known, **new}, key="id")
            return None

        self.check(f"upsert({new}, id of {name!r})", step)

    @precondition(lambda self: self.capabilities.upserts)
    @rule(batch=st.lists(_new, max_size=3))
    def upsert_many(self, batch: Any) -> None:
        """Create or change several."""
        self.check(
            f"upsert_many({batch})", lambda side: side.upsert_many(batch, key="name")
        )

    # Reading

    @rule(where=specifications, by=orders, skip=st.integers(0, 3))
    def find(self, where: Specification, by: tuple[Order, ...], skip: int) -> None:
        """Find, count and ask for the only one."""
        self.check(
            f"find({where}, {by}, {skip})", lambda side: side.find(where, by, skip, 3)
        )
        self.check(f"count({where})", lambda side: side.count(where, cap=4))
        self.check(f"find_one({where})", lambda side: side.find_one(where))

    @rule(where=specifications, by=orders, size=st.integers(1, 3))
    def pages(self, where: Specification, by: tuple[Order, ...], size: int) -> None:
        """Walk over all pages, there and back, by cursor and by offset."""
        if self.capabilities.cursors:
            self.check(
                f"pages({where}, {by}, {size})",
                lambda side: walked(side, where, by, size),
            )
        self.check(
            f"paginate({where}, {by}, {size})",
            lambda side: by_offset(side, where, by, size),
        )

    @rule(names=st.lists(_names, max_size=4), where=specifications, by=orders)
    def get(self, names: list[str], where: Specification, by: Any) -> None:
        """Get entities by their ids, list all, and stream some."""

        async def step(side: Any) -> Any:
            ids = [await _id(side, name) for name in names]
            each = [await side.get_by_id(one) for one in ids]
            seen = [await side.exists(one) for one in ids]
            streamed = [e async for e in side.stream(where, order_by=by, batch_size=2)]
            listed = await side.get_all(1, 3)
            return [*await side.get_many(ids), *each, *seen, *streamed, *listed]

        self.check(f"get({names}, {where}, {by})", step)

    @precondition(lambda self: self.blocks and self.capabilities.locks)
    @rule(name=_names)
    def locked(self, name: str) -> None:
        """Read so that nobody else may write."""
        where = field("name") == name

        async def step(side: Any) -> Any:
            found = await side.find_one(where, lock="wait")
            one = await side.get_by_id(await _id(side, name), lock="nowait")
            return [found, one, *await side.find(where, lock="wait")]

        self.check(f"locked({name!r})", step)


async def _id(side: Any, name: str) -> int:
    """Return the id that *name* has on this side, or one that nothing has."""
    found = await side.find_one(field("name") == name)
    return ABSENT if found is None else found.id
