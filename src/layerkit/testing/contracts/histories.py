"""The contract of random histories: verbs and units together, against the reference."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import TypeVar, override

from layerkit.repository import Order, Specification, field
from layerkit.testing.contracts.base import BaseContract, needs
from layerkit.testing.contracts.entities import OpenRepository
from layerkit.testing.contracts.kinds import ABSENT, KINDS, Kind
from layerkit.testing.contracts.machine import Machine
from layerkit.testing.contracts.pages import walked

Rule = TypeVar("Rule", bound=Callable[..., None])
Values: TypeAlias = dict[str, Any]

_MOST_EXAMPLES = 100


def _drawn(name: str) -> st.SearchStrategy[Any]:
    """Return what the kind of the machine that is played draws for *name*."""
    machine: st.SearchStrategy[Any] = st.runner()
    return machine.flatmap(lambda machine: getattr(machine.kind, name))


_labels, _new, _changes, _where, _orders, _versions = map(
    _drawn, ("labels", "new", "changes", "where", "orders", "versions")
)
_guards = st.none() | _where
_expected = st.none() | st.integers(0, 2)


def verb(
    *capabilities: str, inside: bool = False, **drawn: Any
) -> Callable[[Rule], Rule]:
    """Make a rule of a verb of a view, played for the kinds that name it.

    Args:
        capabilities: What the backend must be able to do.
        inside: True where it is played inside a unit only.
        drawn: The strategies of its parameters beside ``view``.
    """

    def decorated(step: Rule) -> Rule:
        def is_played(machine: "HistoryMachine") -> bool:
            return (
                step.__name__ in machine.kind.rules
                and all(getattr(machine.capabilities, name) for name in capabilities)
                and not (inside and not machine.blocks)
            )

        made: Any = rule(view=_drawn("views"), **drawn)
        return cast(Rule, precondition(is_played)(made(step)))

    return decorated


class HistoryMachine(Machine):
    """Play the verbs on entities of one kind.

    Attributes:
        kind: What is drawn.
    """

    kind: Kind

    @override
    def plain(self, said: Any) -> Any:
        if isinstance(said, self.entity):
            return self.kind.shown(said)
        return super().plain(said)

    def play(
        self, view: str, what: str, step: Callable[..., Any], *labels: Any
    ) -> None:
        """Play *step* on a view of both sides.

        Args:
            view: The name of the view.
            what: What it does, for who reads that the sides differ.
            step: Called with the view, and the ids that go by *labels* on its side.
            labels: What entities are called by.
        """

        async def played(side: Any) -> Any:
            ids = [await self.kind.id_of(side, label) for label in labels]
            return await step(self.kind.view(side, view), *ids)

        self.check(f"{view}: {what}", played)

    def call(
        self, view: str, verb: str, *given: Any, of: Sequence[Any] = (), **options: Any
    ) -> None:
        """Call a verb of a view on both sides, *of* the entity that goes by a label."""

        async def step(seen: Any, *ids: Any) -> Any:
            return await getattr(seen, verb)(*ids, *given, **options)

        named = ", ".join(f"{name}={value}" for name, value in options.items())
        shown = ", ".join([*map(repr, of), *map(str, given), named])
        self.play(view, f"{verb}({shown})", step, *of)

    @initialize(batch=_drawn("first"))
    def fill(self, batch: list[Values]) -> None:
        """Begin with some entities."""
        self.call("all", "create_many", batch)

    # Writing

    @verb(new=_new, is_built=st.booleans())
    def create(self, view: str, new: Values, is_built: bool) -> None:
        """Create one, from an entity or from its values."""
        self.play(
            view,
            f"create({new})",
            lambda seen: seen.create(self.entity(**new) if is_built else new),
        )

    @verb(batch=st.lists(_new, max_size=3))
    def create_many(self, view: str, batch: list[Values]) -> None:
        """Create several."""
        self.play(
            view,
            f"create_many({batch})",
            lambda seen: seen.create_many([self.entity(**new) for new in batch]),
        )

    @verb(label=_labels, copied=_labels)
    def copy(self, view: str, label: Any, copied: Any) -> None:
        """Create one with values of another."""

        async def step(seen: Any, known: Any) -> Any:
            if (other := await seen.get_by_id(known)) is None:
                return None
            (key,) = self.kind.key
            taken = {name: getattr(other, name) for name in self.kind.copied}
            return await seen.create({key: label, **taken})

        self.play(view, f"copy({label!r}, {copied!r})", step, copied)

    @verb(label=_labels, changes=_changes, version=_versions, when=_guards)
    def update(
        self, view: str, label: Any, changes: Values, version: int | None, when: Any
    ) -> None:
        """Update one, perhaps only in some version or state."""
        options = {"expected_version": version, "when": when}
        self.call(view, "update", changes, of=[label], **options)

    @verb(inside=True, label=_labels, values=_drawn("attributes"))
    def change(self, view: str, label: Any, values: Values) -> None:
        """Change an entity itself; its unit writes that down, or refuses it."""

        async def step(seen: Any, known: Any) -> Any:
            found = await seen.get_by_id(known)
            for name, value in values.items() if found is not None else ():
                setattr(found, name, value)
            return found

        self.play(view, f"change({label!r}, {values})", step, label)

    @verb(label=_labels, version=_versions, when=_guards)
    def delete(self, view: str, label: Any, version: int | None, when: Any) -> None:
        """Delete one, perhaps only in some version or state."""
        self.call(view, "delete", of=[label], expected_version=version, when=when)

    @verb(label=_labels)
    def restore(self, view: str, label: Any) -> None:
        """Take a soft deletion back."""
        self.call(view, "restore", of=[label])

    @verb(where=_where, changes=_changes, expect=_expected)
    def update_where(
        self, view: str, where: Specification, changes: Values, expect: int | None
    ) -> None:
        """Update several."""
        self.call(view, "update_where", where, changes, expect=expect)

    @verb(where=_where, expect=_expected)
    def delete_where(self, view: str, where: Specification, expect: int | None) -> None:
        """Delete several."""
        self.call(view, "delete_where", where, expect=expect)

    @verb("upserts", new=_new)
    def upsert(self, view: str, new: Values) -> None:
        """Create or change one."""
        self.call(view, "upsert", new, key=self.kind.key)

    @verb("upserts", label=_labels, new=_new)
    def upsert_by_id(self, view: str, label: Any, new: Values) -> None:
        """Change one by its id; a new one would shift the ids that follow."""

        async def step(seen: Any, known: Any) -> Any:
            if known == ABSENT:
                return None
            return await seen.upsert({"id": known, **new}, key="id")

        self.play(view, f"upsert({new}, id of {label!r})", step, label)

    @verb("upserts", batch=st.lists(_new, max_size=3))
    def upsert_many(self, view: str, batch: list[Values]) -> None:
        """Create or change several."""
        self.call(view, "upsert_many", batch, key=self.kind.key)

    # Reading

    @verb(labels=st.lists(_labels, max_size=3), where=_where, by=_orders)
    def read(self, view: str, labels: Any, where: Specification, by: Any) -> None:
        """Read by every verb that reads."""

        async def step(seen: Any, *ids: Any) -> Any:
            return [
                *[await seen.get_by_id(one) for one in ids],
                *[await seen.exists(one) for one in ids],
                await seen.get_many(ids),
                await seen.get_all(1, 3),
                await seen.find(where, by),
                await seen.find(where, by, len(ids), 3),
                await seen.count(where),
                await seen.count(where, cap=4),
                [e async for e in seen.stream(where, order_by=by, batch_size=2)],
            ]

        self.play(view, f"read({labels}, {where}, {by})", step, *labels)
        self.call(view, "find_one", where)

    @verb(where=_where, by=_orders, size=st.integers(1, 3))
    def pages(
        self, view: str, where: Specification, by: tuple[Order, ...], size: int
    ) -> None:
        """Walk over all pages, there and back, by cursor and by offset."""
        options: Values = {"order_by": by, "size": size}
        if self.capabilities.cursors:

            async def walk(seen: Any) -> Any:
                return await walked(seen, where, total=2, **options)

            self.play(view, f"pages({where}, {options})", walk)
        self.call(view, "paginate", where, offset=1, total="exact", **options)

    @verb(
        "locks",
        inside=True,
        label=_labels,
        where=_where,
        lock=st.sampled_from(["wait", "nowait"]),
    )
    def locked(self, view: str, label: Any, where: Specification, lock: str) -> None:
        """Read so that nobody else may write."""

        async def step(seen: Any, known: Any) -> Any:
            one = await seen.get_by_id(known, lock=lock)
            return [one, *await seen.find(where, lock=lock)]

        self.play(view, f"locked({label!r}, {where}, {lock=})", step, label)
        self.call(view, "find_one", where, lock=lock)

    @verb(compared=_drawn("compared"))
    def compare(self, view: str, compared: tuple[str, Any]) -> None:
        """Compare with values that may be beyond the column."""
        by, value = field(compared[0]), compared[1]
        for where in (by == value, by < value, by >= value, ~by.in_([value])):
            self.call(view, "find", where)

    @verb(name=_drawn("owned"))
    def own(self, view: str, name: str) -> None:
        """Find each entity by what it holds, and walk over all by it."""
        by = field(name)

        async def step(seen: Any) -> Any:
            for one in await seen.find(by.is_not_null()):
                value = getattr(one, name)
                for where in (by == value, by.in_([value]), by.between(value, value)):
                    found = [each.id for each in await seen.find(where)]
                    assert one.id in found, (where, found)
            there, back = await walked(seen, order_by=by.desc(), size=1)
            walks = [
                [item for page in (*there, *back) for item in page.items],
                [each async for each in seen.stream(order_by=by.asc(), batch_size=1)],
                [each async for each in seen.stream(order_by=by.desc(), batch_size=1)],
            ]
            (key,) = self.kind.key
            return [sorted({getattr(one, key) for one in walk}) for walk in walks]

        self.play(view, f"own({name})", step)


class HistoriesContract(BaseContract):
    """Test the verbs together, against the reference."""

    @needs("unique", "conditions", "batches")
    @pytest.mark.parametrize("name", KINDS)
    async def test_random_histories_end_as_in_the_reference(
        self, open_repository: OpenRepository, name: str
    ) -> None:
        kind, entity = KINDS[name], getattr(self, name)
        has_all = all(getattr(self.capabilities, each) for each in kind.needs)
        if entity is None or not has_all:
            needed = ", ".join(kind.needs)
            pytest.skip(f"there is no class {name}, or the backend lacks {needed}")
        members = {
            "kind": kind,
            "open_repository": staticmethod(open_repository),
            "entity": entity,
            "capabilities": self.capabilities,
        }
        wanted = settings.default.max_examples if settings.default else 0
        long_run = wanted > _MOST_EXAMPLES
        # In a thread, since the machine has an event loop of its own.
        await asyncio.to_thread(
            run_state_machine_as_test,
            type("History", (HistoryMachine,), members),
            settings=settings(
                max_examples=wanted // 10 if long_run else self.examples,
                stateful_step_count=15,
                # Shrinking may take minutes; what is played here is short as it is.
                phases=list(Phase) if long_run else [Phase.reuse, Phase.generate],
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
