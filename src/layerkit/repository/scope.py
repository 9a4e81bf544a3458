"""Scopes: the part of a table that a repository sees, and what it stamps on inserts."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import Any, Generic

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository.entities.adapter import EntityAdapter, check_confined
from layerkit.repository.entities.checks import checked
from layerkit.repository.entities.fields import UniqueRule
from layerkit.repository.entities.nesting import deep_copy
from layerkit.repository.filters.evaluate import Values, matches
from layerkit.repository.filters.specification import (
    ALL,
    Comparison,
    Specification,
    comparisons,
    parts_of,
    spelled_out,
)
from layerkit.repository.stores.backend import Upsert

T = TypeVar("T")


@dataclass(frozen=True)
class Scope(Generic[T]):
    """Say what every verb of a repository is confined to; it never changes.

    Args:
        adapter: What is known of the entity class.
        where: What can be seen; soft deletion comes on top.
        defaults: What new entities get that leave a field out.
        sees_deleted: True where soft-deleted entities are like all others.
    """

    adapter: EntityAdapter[T]
    where: Specification = ALL
    defaults: Values = field(default_factory=dict)
    sees_deleted: bool = False

    @cached_property
    def seen(self) -> Specification:
        """What every statement is restricted to."""
        hidden = self.hides
        return self.where & Comparison(hidden, "null") if hidden else self.where

    @cached_property
    def fields(self) -> frozenset[str]:
        """What the scope itself decides, so that no update may write it."""
        named = (test.field for test in comparisons(self.where))
        return frozenset(named).union(self.defaults)

    @property
    def hides(self) -> str | None:
        """The field that hides an entity once it is set, or None."""
        return None if self.sees_deleted else self.adapter.deleted

    def narrowed(self, where: Specification, defaults: Values | None) -> "Scope[T]":
        """Return the scope inside this one, of what matches *where*.

        What *where* sets equal to a value is a default as well.

        Raises:
            UsageError: A default is None or of no field, contradicts this scope, or
                *where* is no filter of the entity, or compares with nothing.
        """
        given, where = where, checked(self.adapter, where)
        # A decimal that the column rounds is equal to nothing once it is checked.
        stamped = {**pinned(given), **pinned(where), **(defaults or {})}
        for name, value in stamped.items():
            self.adapter.check_value(name, value)
            held = self.adapter.stored({name: value})[name]
            if held != value:
                raise UsageError(
                    f"the scope has {name}={value!r}, which {self.adapter.name} "
                    f"holds as {held!r}: scope by that",
                    value=value,
                    expected=f"a value that {name} holds unchanged",
                )
            if value is None:
                raise UsageError(
                    f"the scope has no {name}: None would mean whatever has none"
                )
            if self.defaults.get(name, value) != value:
                raise UsageError(
                    f"the scope has {name}={self.defaults[name]!r} already, "
                    f"got {value!r}"
                )
        defaults = {**self.defaults, **stamped}
        return replace(self, where=self.where & where, defaults=defaults)

    def with_deleted(self, verb: str) -> "Scope[T]":
        """Return the scope in which soft-deleted entities are like all others.

        Args:
            verb: Who asks for it, for the message.

        Raises:
            UsageError: The entity has no ``deleted_at``.
        """
        name = self.adapter.name
        if self.adapter.deleted is None and "deleted_at" in self.adapter.fields:
            raise UsageError(
                f"{verb}() needs soft deletion, and the deleted_at of {name} is a "
                "field like any other: on a mapped class, put SoftDeleteMixin of "
                "layerkit.sql in its place, or mark its column with "
                'info={"layerkit.deleted": True, "layerkit.stamp": True}; elsewhere, '
                "annotate it as `datetime | None`"
            )
        if self.adapter.deleted is None:
            raise UsageError(
                f"{verb}() needs soft deletion: give {name} SoftDeleteMixin of "
                "layerkit.sql where it is mapped, or else a field "
                "`deleted_at: datetime | None`"
            )
        return replace(self, sees_deleted=True)

    def inside(self, where: Specification) -> Specification:
        """Return what matches *where* of what can be seen.

        Raises:
            UsageError: *where* is no filter of the entity.
        """
        return self.seen & checked(self.adapter, where)

    def mark(self) -> dict[str, Any] | None:
        """Return what marks an entity as deleted; None where it is removed."""
        return {self.hides: datetime.now(UTC)} if self.hides else None

    def new(self, data: Any) -> T:
        """Return *data* as an entity of this scope.

        Raises:
            ValidationError: It lies outside of the scope, or as ``EntityAdapter.new``.
        """
        entity = self.adapter.new(data, self.defaults)
        if self.seen != ALL:
            self._check(self.adapter.held(entity))
        return entity

    def new_values(self, data: Any) -> Values:
        """Return what an entity of this scope would be built from.

        Raises:
            ValidationError: It lies outside of the scope, or as ``EntityAdapter.new``.
        """
        values = self.adapter.new_values(data, self.defaults)
        if self.seen != ALL:
            self._check(values)
        return values

    def all_new(self, items: Sequence[Any], *, takes_values: bool) -> list[T | Values]:
        """Return each of *items* as ``new`` does, or as ``new_values``.

        Args:
            items: Entities, schemas or mappings.
            takes_values: True where values will do in place of an entity.

        Raises:
            ValidationError: As for ``new``.
        """
        if rows := self._as_is(items, takes_values=takes_values):
            return [*(rows if type(items[0]) is dict else items)]
        entity = self.adapter.entity
        return [
            self.new_values(item)
            if takes_values and not isinstance(item, entity)
            else self.new(item)
            for item in items
        ]

    def _as_is(self, items: Sequence[Any], *, takes_values: bool) -> Sequence[Values]:
        """Return what new *items* hold where each is stored as it is; else nothing.

        Dicts are looked at where values will do, and entities of the very class.
        """
        adapter, kinds = self.adapter, set(map(type, items))
        if self.defaults or self.seen != ALL:
            return ()
        if kinds == {dict} and takes_values:
            rows = list(map(dict, items))
            return rows if adapter.are_as_is(rows) else ()
        if kinds != {adapter.entity}:
            return ()
        held = list(map(adapter.held, items))
        if not adapter.are_as_is(held):
            return ()
        for item in items:
            adapter.check_whole(item)
        return held

    def upserts(
        self, items: Sequence[Any], rule: UniqueRule, *, takes_values: bool
    ) -> list[Upsert[T]]:
        """Return *items* as entities, and what each changes of what holds *rule*.

        Args:
            items: Entities, schemas or mappings.
            rule: What decides whether one is there already.
            takes_values: True where values will do in place of an entity.

        Raises:
            ValidationError: A null in *rule*, an ``Inc`` of a field that no upsert
                changes, or as ``new``.
        """
        adapter = self.adapter
        kept = {*adapter.key, *rule.fields, *adapter.stamps, adapter.version}
        fixed = kept | self.fields
        rows = self._as_is(items, takes_values=takes_values)
        if rows and rows[0].keys() >= set(rule.fields):
            holds = [tuple(row[name] for name in rule.fields) for row in rows]
            if None not in chain.from_iterable(holds):
                new = rows if type(items[0]) is dict else items
                written = [name for name in rows[0] if name not in fixed]
                changes = ({name: row[name] for name in written} for row in rows)
                return list(map(Upsert, new, changes, holds))
        return [self._upsert(item, rule, fixed, takes_values) for item in items]

    def _upsert(
        self, data: Any, rule: UniqueRule, fixed: Set[str | None], takes_values: bool
    ) -> Upsert[T]:
        adapter = self.adapter
        started, added = adapter.started(data, fixed)
        # What is named, before defaults join it: a mapping need not be copied for that.
        named = data if isinstance(data, dict) else adapter.given(data)
        entity: T | Values
        if takes_values and not isinstance(data, adapter.entity):
            entity = held = self.new_values(started)
        else:
            entity = made = self.new(started)
            held = adapter.held(made)
        holds = tuple(held.get(name) for name in rule.fields)
        if None in holds:
            raise ValidationError(
                f"an upsert by {', '.join(rule.fields)} needs a value of each",
                fields=[name for name in rule.fields if held.get(name) is None],
            )
        written = [name for name in named if name in held and name not in fixed]
        changes = {name: deep_copy(held[name]) for name in written}
        return Upsert(entity, changes | added, holds)

    def _check(self, given: Values) -> None:
        row = dict.fromkeys(self.adapter.fields) | dict(given)
        tested = {test.field for test in comparisons(self.seen)}
        if not tested <= given.keys():
            row |= self.adapter.defaults(given)
        if not matches(self.seen, row):
            raise ValidationError(
                f"the {self.adapter.name} is outside of the scope of its repository",
                fields=sorted(tested),
            )

    def changes(self, data: Any) -> dict[str, Any]:
        """Return what *data* changes.

        Raises:
            ValidationError: A field of the scope, or as ``EntityAdapter.changes``.
        """
        changes = self.adapter.changes(data)
        if self.fields:
            check_confined(self.adapter.name, changes, self.fields)
        return changes


def pinned(where: Specification) -> dict[str, object]:
    """Return the values that *where* demands of fields, in so many words."""
    return spelled_out(parts_of(where))
