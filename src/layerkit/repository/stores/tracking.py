"""What a transaction has handed out, and what its callers have changed on it since."""

from collections.abc import Collection, Mapping
from sys import getrefcount
from typing import Any, Final
from weakref import getweakrefcount

from layerkit.core.errors import UsageError
from layerkit.repository.entities.adapter import EntityAdapter, check_confined
from layerkit.repository.entities.fields import KeyTuple, is_same
from layerkit.repository.entities.nesting import UNCHANGING, deep_copy
from layerkit.repository.stores.tables import Row

_SLOTTED: Final = object()
_FEW: Final = 32


class _Probe:
    """Hold an object as ``Tracked`` does, and nobody else."""

    __slots__ = ("entity",)

    def __init__(self) -> None:
        self.entity = object()


_PROBE: Final = _Probe()
_OURS: Final = getrefcount(_PROBE.entity)  # how an interpreter counts is its own


class Tracked:
    """Remember an object that was handed out, and the row as it was then."""

    __slots__ = ("adapter", "confined", "entity", "key", "number", "row", "seen")

    def __init__(
        self,
        adapter: EntityAdapter[Any],
        key: KeyTuple,
        row: Row,
        entity: Any,
        number: int,
    ) -> None:
        self.adapter = adapter
        self.key = key
        self.entity = entity
        self.number = number
        self.confined: frozenset[str] = frozenset()
        self.note(row)

    def note(self, row: Row) -> None:
        """Take the object, which holds the values of *row* now, for unchanged."""
        self.row = row
        held = getattr(self.entity, "__dict__", {})
        self.seen: object = _SLOTTED
        if row.keys() <= held.keys() and not self.adapter.takes_more:
            self.seen = {name: row.get(name, value) for name, value in held.items()}
            if _has_collection(held, row):
                self.seen = None

    def may_have_changed(self) -> bool:
        """Tell whether the object needs a look at each of its fields."""
        if self.seen is _SLOTTED:
            adapter, entity = self.adapter, self.entity
            return adapter.holds_more(entity) or adapter.held(entity) != self.row
        return bool(self.entity.__dict__ != self.seen)

    def is_let_go(self) -> bool:
        """Tell whether nobody but the transaction can reach the object or its values.

        CPython counts who does; what is referred to weakly may be taken up again.
        """
        return (
            getrefcount(self.entity) <= _OURS
            and getweakrefcount(self.entity) <= self.adapter.weak_references
            and all(type(value) in UNCHANGING for value in self.row.values())
        )

    def changes(self) -> Row:
        """Return what the caller has changed on the object since, by field name."""
        now, row = self.adapter.held(self.entity), self.row
        return {n: v for n, v in now.items() if n not in row or not is_same(row[n], v)}

    def checked_changes(self) -> Row:
        """Return what ``changes`` does, where an update may write it.

        Raises:
            ValidationError: A value of the wrong type, a null where none may be, or a
                field of the scope that the object was read in.
            UsageError: The key was changed.
        """
        adapter, changes = self.adapter, self.changes()
        adapter.check_alone(self.entity)
        if not changes:
            return changes
        if changed_key := [name for name in changes if name in adapter.key]:
            raise UsageError(
                f"the key of a {adapter.name} was changed: {', '.join(changed_key)}"
            )
        check_confined(adapter.name, changes, self.confined)
        stored = deep_copy(adapter.changes(changes))
        return adapter.validated(self.row, stored, are_set=True)

    def refresh(self, row: Row) -> None:
        """Let the object hold the values of *row*, which were written otherwise."""
        self.adapter.fill(self.entity, row)
        self.note(row)


class Tracking:
    """Keep the one object for each identity that a transaction has handed out.

    Nothing tells of an attribute that was set, so that objects are compared with what
    they held: each comparison costs what a look at a dict does. Who can't be reached by
    the caller any more can't be changed either, and is passed over until it is handed
    out again; ``everything`` looks at these too.
    """

    def __init__(self) -> None:
        self._known: dict[type, dict[KeyTuple, Tracked]] = {}
        self._awake: dict[type, dict[KeyTuple, Tracked]] = {}
        self._many: dict[type, int] = {}
        self._marks: list[dict[tuple[type, KeyTuple], tuple[Tracked, Row] | None]] = []
        self._added = 0

    def get(self, entity: type, key: KeyTuple) -> Tracked | None:
        """Return what is remembered of the object that was handed out for *key*."""
        return self._known.get(entity, {}).get(key)

    def hand_out(self, known: Tracked) -> Any:
        """Return the object, which the caller may change from now on."""
        self._awake[known.adapter.entity][known.key] = known
        return known.entity

    def add(
        self, adapter: EntityAdapter[Any], key: KeyTuple, row: Row, entity: Any
    ) -> None:
        """Remember that *entity* stands for the row at *key*."""
        self._note(adapter.entity, key)
        self._added += 1
        self._put(Tracked(adapter, key, row, entity, self._added))

    def forget(self, entity: type, key: KeyTuple) -> None:
        """Let the object for *key* go, where there is one."""
        self._note(entity, key)
        self._known.get(entity, {}).pop(key, None)
        self._awake.get(entity, {}).pop(key, None)

    def refresh(self, known: Tracked, row: Row) -> None:
        """Let the object of *known* hold the values of *row*."""
        self._note(known.adapter.entity, known.key)
        known.refresh(row)

    def confine(self, entity: type, key: KeyTuple, fields: frozenset[str]) -> None:
        """Refuse changes of *fields* on the object that was handed out for *key*."""
        self._known[entity][key].confined |= fields

    def suspects(self, entity: type | None = None) -> list[Tracked]:
        """Return what needs a look at each of its fields, since it may have changed.

        Args:
            entity: The class; None for all.
        """
        classes = self._awake if entity is None else (entity,)
        found = [known for each in classes for known in self._changed(each)]
        return sorted(found, key=lambda known: known.number)

    def _changed(self, entity: type) -> list[Tracked]:
        awake = self._awake.get(entity, {})
        # The first look of each is the same again, and saves most of the calls.
        found = [
            known
            for known in awake.values()
            if getattr(known.entity, "__dict__", None) != known.seen
            and known.may_have_changed()
        ]
        if not found and len(awake) > self._many.get(entity, _FEW):
            for known in [each for each in awake.values() if each.is_let_go()]:
                del awake[known.key]
            self._many[entity] = max(_FEW, 2 * len(awake))  # so each pass has its worth
        return found

    def everything(self) -> list[Tracked]:
        """Return what ``suspects`` does, of all objects that were ever handed out."""
        for entity, known in self._known.items():
            self._awake[entity] = dict(known)
        return self.suspects()

    def mark(self) -> None:
        """Remember from now on what ``undo`` needs to come back to now."""
        self._marks.append({})

    def release(self) -> None:
        """Let the innermost mark go; what surrounds it comes back to what it knew."""
        inner = self._marks.pop()
        if self._marks:
            self._marks[-1] = inner | self._marks[-1]

    def undo(self) -> list[Tracked]:
        """Let every object hold what it held at the mark; return the later ones."""
        before = self._marks.pop()
        for known in self.suspects():
            known.refresh(known.row)
        later = []
        for (entity, key), held in before.items():
            if held is not None:
                known, row = held
                known.refresh(row)
                self._put(known)
            elif new := self.get(entity, key):
                self._note(entity, key, is_new=True)
                later.append(new)
        return later

    def _put(self, known: Tracked) -> None:
        for kept in (self._known, self._awake):
            kept.setdefault(known.adapter.entity, {})[known.key] = known

    def _note(self, entity: type, key: KeyTuple, *, is_new: bool = False) -> None:
        """Remember for the innermost mark what stands for *key* as yet."""
        if self._marks and (entity, key) not in self._marks[-1]:
            known = None if is_new else self.get(entity, key)
            self._marks[-1][entity, key] = (known, known.row) if known else None


def _has_collection(held: Mapping[str, Any], row: Row) -> bool:
    """Tell whether *held* has a collection, of related entities say, beside the row.

    It is the caller's own, so that no comparison would notice what is added to it.
    """
    return any(n not in row and isinstance(v, Collection) for n, v in held.items())
