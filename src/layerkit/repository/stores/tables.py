"""Tables in memory: committed rows, the layers written over them, unique values."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from layerkit.core.errors import ValidationError
from layerkit.repository.entities.adapter import Adapter
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.filters.evaluate import matches
from layerkit.repository.filters.specification import (
    Specification,
    parts_of,
    spelled_out,
)

Row: TypeAlias = dict[str, Any]
"""The values of one entity by field name."""

Written: TypeAlias = Mapping[type, Mapping[KeyTuple, Row | None]]
"""Rows by entity class and key; None is a deleted row."""

Holders: TypeAlias = dict[KeyTuple | None, KeyTuple]
"""Under a unique rule, the key of the row that holds a value."""

Lost: TypeAlias = tuple[type, Row, Row | None]
"""The class of a row that others may refer to, what it was, and what it is now."""

Deferred: TypeAlias = tuple[Any, KeyTuple]
"""A foreign key, and a value of it that the commit must check."""


@dataclass(slots=True)
class Table:
    """Hold the committed rows of one entity class, and who holds each unique value."""

    adapter: Adapter
    rows: dict[KeyTuple, Row] = field(default_factory=dict)
    holders: dict[UniqueRule, Holders] = field(default_factory=dict)
    index: dict[str, dict[object, dict[KeyTuple, None]]] = field(default_factory=dict)
    last_id: int = 0

    def __post_init__(self) -> None:
        """Make an index of each field that is marked for it."""
        for name, info in self.adapter.fields.items():
            kind = info.kind
            if info.indexed and kind is not None and issubclass(kind, Hashable):
                self.index[name] = {}

    def candidates(self, where: Specification) -> Collection[KeyTuple]:
        """Return the keys of all rows that can match *where*, and maybe of others."""
        parts = parts_of(where)
        given = {n: v for n, v in spelled_out(parts).items() if _is_findable(v)}
        if given.keys() >= set(self.adapter.key):
            return [tuple(given[name] for name in self.adapter.key)]
        for rule in self.adapter.unique:
            holds = rule.where is None or all(p in parts for p in parts_of(rule.where))
            if holds and given.keys() >= set(rule.fields):
                value = tuple(given[name] for name in rule.fields)
                holder = self.holders.get(rule, {}).get(value)
                return [] if holder is None else [holder]
        found = (self.index[n].get(v, {}) for n, v in given.items() if n in self.index)
        return next(found, self.rows)

    def merge(self, written: Mapping[KeyTuple, Row | None]) -> None:
        """Take over what a transaction has written; None removes a row."""
        for key in written:  # all old values leave first, so that two rows can swap
            if (old := self.rows.pop(key, None)) is not None:
                for rule in self.adapter.unique:
                    self.holders.setdefault(rule, {}).pop(unique_value(old, rule), None)
                for name, keys in self.index.items():
                    del keys[old[name]][key]
        for key, row in written.items():
            if row is not None:
                self.rows[key] = row
                for rule in self.adapter.unique:
                    self.holders.setdefault(rule, {})[unique_value(row, rule)] = key
                for name, keys in self.index.items():
                    keys.setdefault(row[name], {})[key] = None


def _is_findable(value: object) -> bool:
    """Tell whether what equals *value* has its hash, and can be compared with it.

    A datetime without a zone is no other moment than one with it, but an error.
    """
    return not isinstance(value, datetime | list | dict | set)


def unique_value(row: Row, rule: UniqueRule) -> KeyTuple | None:
    """Return what *row* holds under *rule*; None where it can't collide.

    Raises:
        ValidationError: It is a collection, which no index has a place for.
    """
    value = tuple(row[name] for name in rule.fields)
    try:
        hash(value)
    except TypeError as error:
        raise ValidationError(
            f"{', '.join(rule.fields)} must be unique, and holds a collection",
            fields=rule.fields,
        ) from error
    holds = rule.where is None or matches(rule.where, row)
    return value if holds and None not in value else None


@dataclass(slots=True)
class Layer:
    """Hold what a transaction, or one savepoint of it, has written.

    Attributes:
        rows: By entity class and key; None is a deleted row.
        holders: The last writer of each unique value, which it may have given up since.
        lost: What the end of the statement must look at.
        deferred: What the commit must look at.
    """

    rows: dict[type, dict[KeyTuple, Row | None]] = field(default_factory=dict)
    holders: dict[tuple[type, UniqueRule], Holders] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    deferred: list[Deferred] = field(default_factory=list)

    def put(
        self, entity: type, key: KeyTuple, row: Row, rules: tuple[UniqueRule, ...]
    ) -> None:
        """Write *row* at *key*."""
        self.rows.setdefault(entity, {})[key] = row
        for rule in rules:
            self.holders.setdefault((entity, rule), {})[unique_value(row, rule)] = key

    def absorb(self, above: "Layer") -> None:
        """Take over what the layer *above* has written."""
        for entity, written in above.rows.items():
            self.rows.setdefault(entity, {}).update(written)
        for rule, holders in above.holders.items():
            self.holders.setdefault(rule, {}).update(holders)
        self.deferred += above.deferred
