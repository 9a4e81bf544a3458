"""What a transaction has handed out, and what its callers have changed on it since."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from layerkit.core.errors import UsageError
from layerkit.repository.entities.adapter import EntityAdapter, check_confined
from layerkit.repository.entities.fields import KeyTuple, is_same
from layerkit.repository.entities.nesting import deep_copy
from layerkit.repository.stores.tables import Row

_SLOTTED: Final = object()


class Tracked:
    """Remember an object that was handed out, and the row as it was then."""

    __slots__ = ("adapter", "confined", "entity", "key", "row", "seen")

    def __init__(
        self, adapter: EntityAdapter[Any], key: KeyTuple, row: Row, entity: Any
    ) -> None:
        self.adapter = adapter
        self.key = key
        self.entity = entity
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
    """Keep the one object for each identity that a transaction has handed out."""

    def __init__(self) -> None:
        self._known: dict[tuple[type, KeyTuple], Tracked] = {}

    def get(self, entity: type, key: KeyTuple) -> Tracked | None:
        """Return what is remembered of the object that was handed out for *key*."""
        return self._known.get((entity, key))

    def add(
        self, adapter: EntityAdapter[Any], key: KeyTuple, row: Row, entity: Any
    ) -> None:
        """Remember that *entity* stands for the row at *key*."""
        self._known[adapter.entity, key] = Tracked(adapter, key, row, entity)

    def forget(self, entity: type, key: KeyTuple) -> None:
        """Let the object for *key* go, where there is one."""
        self._known.pop((entity, key), None)

    def confine(self, entity: type, key: KeyTuple, fields: frozenset[str]) -> None:
        """Refuse changes of *fields* on the object that was handed out for *key*."""
        self._known[entity, key].confined |= fields

    def suspects(self) -> list[Tracked]:
        """Return what needs a look at each of its fields, since it may have changed."""
        return [
            known
            for known in self._known.values()
            # The first look is the same again, and saves most of the calls.
            if getattr(known.entity, "__dict__", None) != known.seen
            and known.may_have_changed()
        ]

    def snapshot(self) -> list[tuple[Tracked, Row]]:
        """Return what ``restore`` needs to come back to now."""
        return [(known, known.row) for known in self._known.values()]

    def restore(self, snapshot: list[tuple[Tracked, Row]]) -> list[Tracked]:
        """Let every object of *snapshot* hold what it held; return the later ones."""
        before = {(known.adapter.entity, known.key): known for known, _ in snapshot}
        later = [known for at, known in self._known.items() if at not in before]
        for known, row in snapshot:
            known.refresh(row)
        self._known |= before
        return later


def _has_collection(held: Mapping[str, Any], row: Row) -> bool:
    """Tell whether *held* has a collection, of related entities say, beside the row.

    It is the caller's own, so that no comparison would notice what is added to it.
    """
    return any(n not in row and isinstance(v, Collection) for n, v in held.items())
