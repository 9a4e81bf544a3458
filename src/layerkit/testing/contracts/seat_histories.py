"""Random histories of seats: keys of two fields, and orders by a text or null."""

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from layerkit.repository import ALL, Order, Specification, field
from layerkit.testing.contracts.machine import Machine, by_offset, expectations, walked

_keys = st.tuples(st.sampled_from("ab"), st.integers(1, 2))
_guests = st.sampled_from([None, "", "ada", "bob"])
_new = st.builds(
    lambda key, given: {"row": key[0], "number": key[1], **given},
    _keys,
    st.fixed_dictionaries({}, optional={"guest": _guests}),
)
_batches = st.lists(_new, max_size=3)
_changes = st.one_of(
    st.fixed_dictionaries({"guest": _guests}),
    st.sampled_from([{}, {"row": "b"}, {"guest": 5}]),
)
_where = st.sampled_from([
    ALL,
    field("row") == "a",
    field("number") > 1,
    field("guest").is_null(),
    ~(field("guest") == "ada"),
    (field("row") == "a") & (field("number") == 1),
])  # fmt: skip
_orders = st.lists(
    st.builds(
        Order, st.sampled_from(["row", "number", "guest"]), st.booleans(), st.booleans()
    ),
    max_size=2,
    unique_by=lambda order: order.field,
).map(tuple)


class SeatMachine(Machine):
    """Play histories of ``Seat``."""

    shown: ClassVar[tuple[str, ...]] = ("row", "number", "guest")

    @initialize(batch=st.lists(_new, min_size=2, max_size=4))
    def fill(self, batch: Any) -> None:
        """Begin with some seats."""
        self.create_many(batch)

    # Writing

    @rule(new=_new)
    def create(self, new: Any) -> None:
        """Create one."""
        self.check(f"create({new})", lambda side: side.create(self.entity(**new)))

    @rule(batch=_batches)
    def create_many(self, batch: Any) -> None:
        """Create several."""
        self.check(f"create_many({batch})", lambda side: side.create_many(batch))

    @rule(key=_keys, changes=_changes, when=st.none() | _where)
    def update(self, key: tuple[str, int], changes: Any, when: Any) -> None:
        """Update one."""
        self.check(
            f"update({key}, {changes}, {when=})",
            lambda side: side.update(key, changes, when=when),
        )

    @precondition(lambda self: bool(self.blocks))
    @rule(key=_keys, guest=_guests)
    def change(self, key: tuple[str, int], guest: str | None) -> None:
        """Change a seat itself; its unit writes that down."""

        async def step(side: Any) -> Any:
            if (found := await side.get_by_id(key)) is not None:
                found.guest = guest
            return found

        self.check(f"change({key}, {guest!r})", step)

    @rule(key=_keys, when=st.none() | _where)
    def delete(self, key: tuple[str, int], when: Any) -> None:
        """Delete one."""
        self.check(f"delete({key}, {when=})", lambda side: side.delete(key, when=when))

    @rule(where=_where, changes=_changes, expect=expectations)
    def write_where(
        self, where: Specification, changes: Any, expect: int | None
    ) -> None:
        """Update several, and delete several."""
        self.check(
            f"update_where({where}, {changes}, {expect=})",
            lambda side: side.update_where(where, changes, expect=expect),
        )
        self.check(
            f"delete_where({where}, {expect=})",
            lambda side: side.delete_where(where & field("guest").is_null()),
        )

    @precondition(lambda self: self.capabilities.upserts)
    @rule(new=_new, batch=_batches)
    def upsert(self, new: Any, batch: Any) -> None:
        """Create or change one, and several."""
        key = ("number", "row")
        self.check(f"upsert({new})", lambda side: side.upsert(new, key=key))
        self.check(
            f"upsert_many({batch})", lambda side: side.upsert_many(batch, key=key)
        )

    # Reading

    @rule(keys=st.lists(_keys, max_size=3), where=_where, by=_orders)
    def read(self, keys: Any, where: Specification, by: Any) -> None:
        """Read by every verb that reads."""

        async def step(side: Any) -> Any:
            return [
                *[await side.get_by_id(key) for key in keys],
                *[await side.exists(key) for key in keys],
                await side.get_many(keys),
                await side.get_all(1, 2),
                await side.find(where, by),
                await side.count(where),
                [e async for e in side.stream(where, order_by=by, batch_size=2)],
            ]

        self.check(f"read({keys}, {where}, {by})", step)
        self.check(f"find_one({where})", lambda side: side.find_one(where))

    @rule(where=_where, by=_orders, size=st.integers(1, 2))
    def pages(self, where: Specification, by: Any, size: int) -> None:
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
