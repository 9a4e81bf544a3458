"""Random histories, played on a backend and on the reference in memory alike."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from layerkit.core.errors import AppException
from layerkit.repository import (
    ALL,
    Inc,
    MemoryDatabase,
    Order,
    Page,
    Repository,
    Specification,
    field,
)
from layerkit.testing.contracts.base import BaseContract
from layerkit.testing.contracts.entities import Capabilities, OpenRepository

_FIELDS = ("name", "qty", "note")
_MOST_EXAMPLES = 100

_names = st.sampled_from(["a", "A", "b", "ä", "a b", "50%", "_"])
_numbers = st.one_of(st.none(), st.integers(-2, 3))
_notes = st.sampled_from([None, "", "a", "B", "ab", "%_", "x'y", "\\"])
_texts = st.sampled_from(["", "a", "A", "b", "%", "_", "'", "\\", "ä"])


def _leaves() -> st.SearchStrategy[Specification]:
    name, qty, note = (field(n) for n in _FIELDS)
    number, text = st.integers(-2, 3), _texts
    return st.one_of(
        st.sampled_from([ALL, qty.is_null(), note.is_not_null()]),
        st.builds(qty.__eq__, number),
        st.builds(qty.__ne__, number),
        st.builds(qty.__lt__, number),
        st.builds(qty.__ge__, number),
        st.builds(qty.between, number, number),
        st.builds(qty.in_, st.lists(number, max_size=3)),
        st.builds(qty.not_in, st.lists(number, max_size=3)),
        st.builds(note.__eq__, text),
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

Step = Callable[[Any], Awaitable[Any]]


class RepositoryMachine(RuleBasedStateMachine):
    """Play the same steps on two repositories, and compare what each says.

    Results are compared by value, errors by class, kind and fields. Generated ids may
    differ, so that entities go by their names. Texts are sorted and ordered by ``name``
    alone, which a backend must compare byte by byte.
    """

    open_repository: OpenRepository
    entity: type[Any]
    capabilities: Capabilities

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.units: list[Any] = []
        opening = self.open_repository(self.entity)
        backend = self.runner.run(self._entered(opening))
        self.sides = (backend, Repository(MemoryDatabase(), self.entity))

    async def _entered(self, opening: Any) -> Any:
        return await self.stack.enter_async_context(opening)

    @override
    def teardown(self) -> None:
        """Leave open units, and close the backend."""
        if self.units:
            self.end(fails=True)
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def check(self, what: str, step: Step) -> None:
        """Play *step* on both sides."""
        said, meant = (self.runner.run(self._said(step, side)) for side in self.sides)
        assert said == meant, f"{what}: the backend says {said}, the reference {meant}"

    async def _said(self, step: Step, side: Any) -> object:
        try:
            return _plain(await step(side))
        except AppException as error:
            fields = error.detail.get("fields")
            return type(error).__name__, getattr(error, "kind", None), fields

    @initialize(batch=st.lists(_new, max_size=6, unique_by=lambda new: new["name"]))
    def fill(self, batch: Any) -> None:
        """Begin with some entities."""
        self.create_many(batch)

    # Units

    @precondition(lambda self: self.capabilities.transactions and not self.units)
    @rule()
    def begin(self) -> None:
        """Open a unit on both sides."""
        self.units = [side.unit_of_work() for side in self.sides]
        for unit in self.units:
            self.runner.run(unit.__aenter__())

    @precondition(lambda self: bool(self.units))
    @rule(fails=st.booleans())
    def end(self, fails: bool) -> None:
        """Commit both units, or leave them by an error."""
        error = RuntimeError("left") if fails else None
        kind = RuntimeError if fails else None
        units = dict(zip(self.sides, self.units, strict=True))
        self.units = []
        self.check(
            f"end({fails=})", lambda side: units[side].__aexit__(kind, error, None)
        )

    @precondition(lambda self: bool(self.units))
    @rule(name=_names, changes=_changes, fails=st.booleans())
    def savepoint(self, name: str, changes: Any, fails: bool) -> None:
        """Change an entity inside a savepoint, and perhaps take that back."""
        units = dict(zip(self.sides, self.units, strict=True))

        async def step(side: Any) -> Any:
            with contextlib.suppress(RuntimeError):
                async with units[side].savepoint():
                    found = await side.update(await _id(side, name), changes)
                    if fails:
                        raise RuntimeError
                    return found

        self.check(f"savepoint: update({name!r}, {changes}), {fails=}", step)

    @precondition(lambda self: bool(self.units))
    @rule(name=_names, qty=_numbers, note=_notes)
    def change(self, name: str, qty: int | None, note: str | None) -> None:
        """Change an entity itself; its unit writes that down."""

        async def step(side: Any) -> Any:
            found = await side.find_one(field("name") == name)
            if found is not None:
                found.qty, found.note = qty, note

        self.check(f"change({name!r}, {qty}, {note!r})", step)

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

    @rule(name=_names)
    def delete(self, name: str) -> None:
        """Delete one."""

        async def step(side: Any) -> Any:
            return await side.delete(await _id(side, name))

        self.check(f"delete({name!r})", step)

    @rule(where=specifications, changes=_changes, expect=st.none() | st.integers(0, 2))
    def update_where(
        self, where: Specification, changes: Any, expect: int | None
    ) -> None:
        """Update several."""
        self.check(
            f"update_where({where}, {changes}, {expect=})",
            lambda side: side.update_where(where, changes, expect=expect),
        )

    @rule(where=specifications, expect=st.none() | st.integers(0, 2))
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
                lambda side: _walked(side, where, by, size),
            )
        self.check(
            f"paginate({where}, {by}, {size})",
            lambda side: side.paginate(
                where, order_by=by, size=size, offset=1, total="exact"
            ),
        )

    @rule(names=st.lists(_names, max_size=4))
    def get(self, names: list[str]) -> None:
        """Get entities by their ids, and walk over all."""

        async def step(side: Any) -> Any:
            ids = [await _id(side, name) for name in names]
            seen = [await side.exists(one) for one in ids]
            streamed = [item async for item in side.stream(batch_size=2)]
            return [*await side.get_many(ids), *seen, *streamed]

        self.check(f"get({names})", step)


async def _id(side: Any, name: str) -> int:
    """Return the id that *name* has on this side, or one that nothing has."""
    found = await side.find_one(field("name") == name)
    return 1_000_000 if found is None else found.id


async def _walked(
    side: Any, where: Specification, by: tuple[Order, ...], size: int
) -> list[Any]:
    page = await side.paginate(where, order_by=by, size=size, total=2)
    seen = [page]
    for way in ("next_cursor", "previous_cursor"):
        while (cursor := getattr(page, way)) is not None:
            page = await side.paginate(where, order_by=by, size=size, cursor=cursor)
            seen.append(page)
    return seen


def _plain(said: Any) -> Any:
    """Return what can be compared between two sides."""
    if isinstance(said, Page):
        ends = (said.next_cursor is None, said.previous_cursor is None)
        return [_plain(said.items), said.total, said.has_next, ends]
    if isinstance(said, list):
        return [_plain(each) for each in said]
    if hasattr(said, "qty"):
        return {name: getattr(said, name) for name in _FIELDS}
    return said


class MachineContract(BaseContract):
    """Test the verbs together, against the reference."""

    async def test_random_histories_end_as_in_the_reference(
        self, open_repository: OpenRepository
    ) -> None:
        self.needs("unique", "conditions", "batches")
        members = {
            "open_repository": staticmethod(open_repository),
            "entity": self.entity,
            "capabilities": self.capabilities,
        }
        machine = type("Machine", (RepositoryMachine,), members)
        wanted = settings.default.max_examples if settings.default else 0
        long_run = wanted > _MOST_EXAMPLES
        # In a thread, since the machine has an event loop of its own.
        await asyncio.to_thread(
            run_state_machine_as_test,
            machine,
            settings=settings(
                max_examples=wanted // 10 if long_run else self.examples,
                stateful_step_count=15,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
