"""What a transaction has handed out, and what its callers have changed on it since."""

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Final
from weakref import getweakrefcount

from layerkit.core.errors import UsageError
from layerkit.repository.entities.adapter import Adapter, check_confined
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
_getrefcount: Final = getattr(sys, "getrefcount", None)  # CPython's alone
_OURS: Final = _getrefcount(_PROBE.entity) if _getrefcount else 0


@dataclass(slots=True, eq=False)
class Tracked:
    """Remember an object that was handed out, and the row as it was then.

    Attributes:
        adapter: What is known of its class.
        key: Its key.
        row: The values that it held.
        entity: The object.
        number: How many were handed out before it, and one.
        confined: The fields that may not be changed on it.
        seen: Its ``__dict__`` as it was, where a look at that tells of changes.
    """

    adapter: Adapter
    key: KeyTuple
    row: Row
    entity: Any
    number: int
    confined: frozenset[str] = frozenset()
    seen: object = None

    def __post_init__(self) -> None:
        """Take the object as it is for unchanged."""
        self.note(self.row)

    def note(self, row: Row) -> None:
        """Take the object, which holds the values of *row* now, for unchanged."""
        self.row = row
        held = getattr(self.entity, "__dict__", {})
        self.seen = _SLOTTED
        if row.keys() <= held.keys() and not self.adapter.takes_more:
            self.seen = {name: row.get(name, value) for name, value in held.items()}
            others = (value for name, value in held.items() if name not in row)
            if any(isinstance(value, Collection) for value in others):
                # The caller's own, of related entities say: no comparison would notice
                # what is added to it.
                self.seen = None

    def may_have_changed(self) -> bool:
        """Tell whether the object needs a look at each of its fields."""
        if self.seen is _SLOTTED:
            adapter, entity = self.adapter, self.entity
            return adapter.holds_more(entity) or adapter.held(entity) != self.row
        return bool(self.entity.__dict__ != self.seen)

    def is_let_go(self) -> bool:
        """Tell whether nobody but the transaction can reach the object or its values.

        CPython counts who does, and elsewhere it is never known; what is referred to
        weakly may be taken up again.
        """
        return (
            _getrefcount is not None
            and _getrefcount(self.entity) <= _OURS
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


class _Watch:
    """Compare some fields of many objects with what they were, all in one call.

    It costs a fourth of a look at each object, and finds no more than that one of them
    needs it.
    """

    def __init__(self, fields: frozenset[str], *, in_dict: bool) -> None:
        self.fields = fields
        self._in_dict = in_dict
        self._of_row = itemgetter(*fields)
        self._now: Any = self._of_row if in_dict else attrgetter(*fields)
        self._objects: list[Any] = []
        self._were: list[Any] = []

    def add(self, known: Tracked) -> None:
        """Watch one more object."""
        entity = known.entity
        self._objects.append(entity.__dict__ if self._in_dict else entity)
        self._were.append(self._of_row(known.row))

    def finds_change(self) -> bool:
        """Tell whether a field of an object is another than it was, or is gone."""
        try:
            return list(map(self._now, self._objects)) != self._were
        except (AttributeError, KeyError):
            return True


class Tracking:
    """Keep the one object for each identity that a transaction has handed out.

    Nothing tells of an attribute that was set, so that objects are compared with what
    they held: each comparison costs what a look at a dict does. Who can't be reached by
    the caller any more can't be changed either, and is skipped until it is handed
    out again; ``everything`` looks at these too.
    """

    def __init__(self) -> None:
        self._known: dict[type, dict[KeyTuple, Tracked]] = {}
        self._awake: dict[type, dict[KeyTuple, Tracked]] = {}
        self._many: dict[type, int] = {}
        self._watches: dict[type, _Watch] = {}
        self._marks: list[dict[tuple[type, KeyTuple], tuple[Tracked, Row] | None]] = []
        self._new: list[tuple[Tracked, Row]] = []
        self._added = 0

    def get(self, entity: type, key: KeyTuple) -> Tracked | None:
        """Return what is remembered of the object that was handed out for *key*."""
        return self._known.get(entity, {}).get(key)

    def hand_out(self, known: Tracked) -> Any:
        """Return the object, which the caller may change from now on."""
        awake = self._awake[known.adapter.entity]
        if known.key not in awake:
            self._put(known)
        return known.entity

    def add(self, adapter: Adapter, key: KeyTuple, row: Row, entity: Any) -> Tracked:
        """Remember that *entity* stands for the row at *key*."""
        self._note(adapter.entity, key)
        self._added += 1
        known = Tracked(adapter, key, row, entity, self._added)
        self._put(known)
        return known

    def add_new(
        self, adapter: Adapter, key: KeyTuple, row: Row, entity: Any, given: Row
    ) -> None:
        """Do what ``add`` does for a new entity, which holds what was *given*."""
        self._new.append((self.add(adapter, key, row, entity), given))

    def give_back(self) -> None:
        """Let each new entity hold what was given with it: its row is not stored.

        Else a repeat would take what was generated for what the caller asks for.
        """
        for known, given in reversed(self._new):  # one may have been created twice
            known.adapter.restore(known.entity, given)

    def forget(self, entity: type, key: KeyTuple) -> None:
        """Let the object for *key* go, where there is one."""
        self._note(entity, key)
        self._known.get(entity, {}).pop(key, None)
        self._awake.get(entity, {}).pop(key, None)

    def refresh(self, known: Tracked, row: Row) -> None:
        """Let the object of *known* hold the values of *row*."""
        self._note(known.adapter.entity, known.key)
        self._refresh(known, row)

    def confine(self, entity: type, key: KeyTuple, fields: frozenset[str]) -> None:
        """Refuse changes of *fields* on the object that was handed out for *key*."""
        self._known[entity][key].confined |= fields

    def may_collide(self, adapter: Adapter) -> bool:
        """Tell whether fields that tie objects to others may have been changed."""
        entity, fields = adapter.entity, adapter.linked.difference(adapter.key)
        if not fields:
            return False  # the key alone decides, which no object may change
        if entity not in self._watches:
            watch = self._watches[entity] = _Watch(fields, in_dict=adapter.in_dict)
            for known in self._awake.get(entity, {}).values():
                watch.add(known)
        if self._watches[entity].finds_change():
            return True
        self._pass_over(entity)
        return False

    def suspects(self, entity: type | None = None) -> list[Tracked]:
        """Return what needs a look at each of its fields, since it may have changed.

        Args:
            entity: The class; None for all.
        """
        classes = self._awake if entity is None else (entity,)
        found: list[Tracked] = []
        for each in classes:
            if changed := _changed(self._awake.get(each, {})):
                found += changed
            else:
                self._pass_over(each)
        return _in_order(found)

    def _pass_over(self, entity: type) -> None:
        """Leave unchanged objects that nobody can reach to the commit."""
        awake = self._awake.get(entity, {})
        if len(awake) > self._many.get(entity, _FEW):
            self._watches.pop(entity, None)  # which refers to them too
            for known in list(awake.values()):
                if known.is_let_go() and not known.may_have_changed():
                    del awake[known.key]
            self._many[entity] = max(_FEW, 2 * len(awake))  # so each pass has its worth

    def everything(self) -> list[Tracked]:
        """Return what ``suspects`` does, of all objects that were ever handed out."""
        return _in_order(chain(*map(_changed, self._known.values())))

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
                self._refresh(known, row)
                self._put(known)
            elif new := self.get(entity, key):
                self._note(entity, key, is_new=True)
                later.append(new)
        return later

    def _put(self, known: Tracked) -> None:
        entity = known.adapter.entity
        for kept in (self._known, self._awake):
            kept.setdefault(entity, {})[known.key] = known
        if entity in self._watches:
            self._watches[entity].add(known)

    def _refresh(self, known: Tracked, row: Row) -> None:
        entity, old = known.adapter.entity, known.row
        known.refresh(row)
        watch = self._watches.get(entity)
        if watch is not None and any(old[name] != row[name] for name in watch.fields):
            del self._watches[entity]

    def _note(self, entity: type, key: KeyTuple, *, is_new: bool = False) -> None:
        """Remember for the innermost mark what stands for *key* as yet."""
        if self._marks and (entity, key) not in self._marks[-1]:
            known = None if is_new else self.get(entity, key)
            self._marks[-1][entity, key] = (known, known.row) if known else None


def _changed(objects: Mapping[KeyTuple, Tracked]) -> list[Tracked]:
    # The first look of each is the same again, and saves most of the calls.
    return [
        known
        for known in objects.values()
        if getattr(known.entity, "__dict__", None) != known.seen
        and known.may_have_changed()
    ]


def _in_order(found: Iterable[Tracked]) -> list[Tracked]:
    """Return *found* in the order in which they were handed out."""
    return sorted(found, key=lambda known: known.number)
