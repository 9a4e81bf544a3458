"""The names of the keys that hold one entity class, and what a row puts into each."""

import json
import re
from collections.abc import Collection, Mapping, Set
from typing import Any, Final

from layerkit.core.errors import UsageError, ValidationError
from layerkit.redis.sortable import joined, sortable
from layerkit.repository import EntityAdapter, UniqueRule
from layerkit.repository.entities.fields import KeyTuple
from layerkit.repository.filters.cursors import describe
from layerkit.repository.stores.tables import Row, unique_value

_COLLECTIONS: Final = (Mapping, list, tuple, Set)


class Layout:
    """Name the keys of one entity class in one home.

    ``{shop}:Order:doc:<key>`` is a document, ``{shop}:Order:keys`` a sorted set of all
    keys, ``{shop}:Order:index:status:<value>`` the set of keys with that value,
    ``{shop}:Order:unique:<rule>:<value>`` the key that holds it, and
    ``{shop}:Order:last`` the last generated key. The braces make the prefix the hash
    tag of all of them: a unit of work is one script, and a script stays in one slot.
    ``{shop}:Order:plan`` says what is indexed.

    Args:
        prefix: The home's prefix.
        adapter: What is known of the entity class.

    Raises:
        UsageError: A key, unique or indexed field holds collections.
    """

    def __init__(self, prefix: str, adapter: EntityAdapter[Any]) -> None:
        self.adapter = adapter
        self._base = f"{{{prefix}}}:{adapter.name}"
        self.keys = self._name("keys")
        self.last = self._name("last")
        self.plan_name = self._name("plan")
        self.indexed = tuple(n for n, f in adapter.fields.items() if f.indexed)
        unique = [name for rule in adapter.unique for name in rule.fields]
        for name in (*adapter.key, *unique, *self.indexed):
            kind = adapter.fields[name].kind
            if kind is not None and issubclass(kind, _COLLECTIONS):
                raise UsageError(
                    f"{adapter.name}.{name} is looked up by, and holds a "
                    f"{kind.__name__}, which has no place in an index"
                )

    @property
    def pattern(self) -> str:
        """What every key of the class matches, for SCAN."""
        return re.sub(r"([\\*?\[\]])", r"\\\1", self._base) + ":*"

    @property
    def plan(self) -> bytes:
        """What is indexed and unique; what another plan has written lacks some."""
        rules = [
            (rule.name, rule.fields, "" if rule.where is None else describe(rule.where))
            for rule in self.adapter.unique
        ]
        return json.dumps([sorted(self.indexed), sorted(rules)]).encode()

    def is_index(self, name: bytes) -> bool:
        """Tell whether a key of the class is made from its documents."""
        return name.startswith((self._name("index:"), self._name("unique:")))

    def member(self, key: KeyTuple) -> bytes:
        """Return *key* as every set stores it; members sort as the keys do.

        Raises:
            ValidationError: A part of it has no place in a key.
        """
        return self._joined(self.adapter.key, key).encode()

    def is_at(self, member: bytes, key: KeyTuple) -> bool:
        """Tell whether every set stores *key* as *member*."""
        try:
            return self.member(key) == member
        except ValidationError:
            return False

    def bound(self, value: object) -> bytes:
        """Return what the members begin with whose first part is *value*."""
        return self._joined(self.adapter.key[:1], (value,)).encode()

    def document(self, member: bytes) -> bytes:
        """Return the name of the document of *member*."""
        return self._name("doc:") + member

    def index(self, name: str, value: object) -> bytes:
        """Return the name of the set of those that have *value* in the field.

        Raises:
            ValidationError: *value* has no place in an index.
        """
        info = self.adapter.fields[name]
        text = "null" if value is None else sortable(info, value)
        return self._name(f"index:{name}:{text}")

    def unique(self, rule: UniqueRule, value: KeyTuple) -> bytes:
        """Return the name of the key that says who holds *value* under *rule*.

        Raises:
            ValidationError: *value* has no place in an index.
        """
        return self._name(f"unique:{rule.name}:{self._joined(rule.fields, value)}")

    def indexes(self, row: Row) -> set[bytes]:
        """Return the names of the sets that *row* is in."""
        return {self.index(n, row[n]) for n in self.indexed if not is_nan(row[n])}

    def claims(self, row: Row) -> dict[bytes, UniqueRule]:
        """Return what *row* holds under each unique rule, by the name of its key."""
        held = ((rule, unique_value(row, rule)) for rule in self.adapter.unique)
        return {
            self.unique(rule, value): rule
            for rule, value in held
            if value is not None and not any(map(is_nan, value))
        }

    def check(self, row: Row) -> None:
        """Refuse a row that no key or index has a place for.

        Raises:
            ValidationError: With the name of the field.
        """
        self.indexes(row)
        self.claims(row)

    def _joined(self, names: Collection[str], values: KeyTuple) -> str:
        fields = self.adapter.fields
        pairs = zip(names, values, strict=True)
        return joined(sortable(fields[name], value) for name, value in pairs)

    def _name(self, rest: str) -> bytes:
        return f"{self._base}:{rest}".encode()


def is_nan(value: object) -> bool:
    """Tell whether *value* equals nothing, so that no look-up would find it."""
    return value != value  # noqa: PLR0124 - what NaN alone is
