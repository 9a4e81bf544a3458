"""What is known of an entity class: its key and fields, how to build and read one."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Generic

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository.entities.fields import (
    CascadeRule,
    FieldInfo,
    ForeignKeyRule,
    UniqueRule,
    is_same,
)
from layerkit.repository.filters.evaluate import Values

T = TypeVar("T")


class EntityClass(ABC, Generic[T]):
    """Know one entity class: its key, its fields, how to build, read and copy it.

    Attributes:
        entity: The class.
        key: The names of the key's fields; more than one for a composite key.
        fields: Every stored field by name.
        unique: The unique rules besides the key.
        version: The field that counts versions, where the class has one.
        deleted: The field that says when an entity was soft-deleted, where the class
            has one.
        stamps: The fields that backends fill in and no update may write: version,
            ``deleted``, and when an entity was created and changed.
        takes_more: True where an entity may hold more than its attributes show.
        weak_references: How many weak references to each entity the class's own
            machinery keeps.
        in_dict: True where a field is quicker read from an entity's ``__dict__``, which
            is the same one as long as the entity lives.
    """

    entity: type[T]
    key: tuple[str, ...]
    fields: Mapping[str, FieldInfo]
    unique: tuple[UniqueRule, ...]
    version: str | None = None
    deleted: str | None = None
    stamps: frozenset[str] = frozenset()
    takes_more: bool = False
    weak_references: int = 0
    in_dict: bool = False

    @abstractmethod
    def build(self, values: Values) -> T:
        """Return a new entity by the class's own constructor."""

    @abstractmethod
    def values(self, entity: T) -> dict[str, Any]:
        """Return the stored fields of *entity* by name; what is not set is left out."""

    def held(self, entity: T) -> Values:
        """Return the stored fields of *entity* by name, to look at and not to keep."""
        return self.values(entity)

    @abstractmethod
    def fill(self, entity: T, values: Values) -> None:
        """Set stored values on *entity*, past the class's own checks."""

    def replace(self, entity: T, values: Values) -> None:
        """Set *values* on a new *entity*, in place of what it was given."""
        self.fill(entity, values)

    def restore(self, entity: T, values: Values) -> None:
        """Let *entity* hold *values* again, and nothing in its other fields."""
        held = self.held(entity)
        lost = {n: v for n, v in values.items() if not is_same(held.get(n), v)}
        self.fill(entity, lost)
        for name in held.keys() - values.keys():
            self.unset(entity, name)

    def unset(self, entity: T, name: str) -> None:
        """Let *entity* hold nothing in a field, past the class's own checks."""
        object.__delattr__(entity, name)

    def check_whole(self, entity: T) -> None:
        """Refuse an entity that holds more than its fields, which would be lost.

        Raises:
            ValidationError: With the names.
        """

    def holds_more(self, entity: T) -> bool:  # noqa: ARG002 - for subclasses
        """Tell whether *entity* holds what is not among its attributes."""
        return False

    def annotations(self) -> Iterable[Any]:
        """Return what says which classes its values are made of."""
        return [info.kind for info in self.fields.values()]

    def foreign_keys(self) -> Sequence[ForeignKeyRule]:
        """Return the foreign keys of its rows; classes of other kinds have none."""
        return ()

    @cached_property
    def linked(self) -> frozenset[str]:
        """The fields that a unique rule or a foreign key ties to other entities."""
        fields = [rule.fields for rule in self.unique]
        fields += [rule.fields for rule in self.foreign_keys()]
        return frozenset(chain(*fields))

    def cascades(self) -> Sequence[CascadeRule]:
        """Return what its own mapping does where an entity is deleted."""
        return ()

    def named(self, target: Sequence[Hashable]) -> tuple[str, ...] | None:  # noqa: ARG002 - for subclasses
        """Return the fields of a rule's *target*; None if it is another's."""
        return None

    @abstractmethod
    def load(self, values: Values) -> T:
        """Return an entity that holds *values*, past the class's constructor."""

    @abstractmethod
    def defaults(self, values: Values) -> dict[str, Any]:
        """Return what an insert of *values* adds: defaults of the mapping, stamps."""

    def start(self, name: str) -> Any:  # noqa: ARG002 - for subclasses
        """Return the number that a new entity has in a field that nobody sets, or 0."""
        return 0

    def on_update(self, values: Values) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Return what every update adds that makes *values* of an entity."""
        return {}

    def rewritten(self, row: Values, changes: Values) -> dict[str, Any]:
        """Return the whole *row* with *changes*, and with what these add.

        Raises:
            ValidationError: A field does not hold what is added.
        """
        fresh = {**row, **changes}
        return {**fresh, **self.stored(self.on_update(fresh)), **changes}

    def validated(
        self,
        values: Values,  # noqa: ARG002 - for subclasses
        changes: dict[str, Any],
        *,
        are_set: bool,  # noqa: ARG002 - for subclasses
    ) -> dict[str, Any]:
        """Return *changes* to an entity with *values* as the class's own rules say.

        Args:
            values: What the entity holds.
            changes: What it gets.
            are_set: True where an entity has had its attributes set to *changes*.

        Raises:
            ValidationError: A rule of the class refuses them.
        """
        return changes

    def check_portable(self) -> None:
        """Refuse a class that only a database can keep.

        Raises:
            NotSupportedError: A server default other than now(), a CHECK, a default in
                SQL, or inheritance.
        """

    def check_alone(self, entity: T) -> None:
        """Refuse an entity that brings others with it.

        Raises:
            NotSupportedError: A relationship of it is not empty.
        """

    def copy(self, entity: T) -> T:
        """Return a detached copy of *entity*."""
        return self.load(self.values(entity))

    @property
    def name(self) -> str:
        """The class's name, for messages."""
        return self.entity.__name__

    @property
    def integer_key(self) -> str | None:
        """The autoincrement key: the one field of it that a backend counts, or None."""
        if len(self.key) == 1 and self.fields[self.key[0]].kind is int:
            return self.key[0]
        return None

    def rule_of(self, names: Sequence[str]) -> UniqueRule:
        """Return the unique rule, or the key, whose fields are *names*, in any order.

        Raises:
            UsageError: No rule covers just these fields.
        """
        rules = (UniqueRule("primary key", self.key), *self.unique)
        for rule in rules:
            if set(rule.fields) == set(names):
                return rule
        known = "; ".join(", ".join(rule.fields) for rule in rules)
        raise UsageError(
            f"{self.name} is not unique by {', '.join(names)}: an upsert goes by the "
            f"key or a unique rule ({known})"
        )

    def id_of(self, entity: T) -> Any:
        """Return the identity of *entity*; a tuple where the key is composite.

        It is None, or holds None, where *entity* has none yet.
        """
        parts = tuple(getattr(entity, name, None) for name in self.key)
        return parts[0] if len(parts) == 1 else parts

    def info(self, name: str) -> FieldInfo:
        """Return the field *name*.

        Raises:
            UsageError: The entity has no such field.
        """
        info = self.fields.get(name)
        if info is None:
            raise UsageError(
                f"{self.name} has no field {name!r}; it has {', '.join(self.fields)}"
            )
        return info

    def stored(self, values: Values) -> dict[str, Any]:
        """Return *values* as the fields hold them; Decimals are rounded, say.

        Raises:
            ValidationError: A field does not hold its value; it names them.
        """
        kept, refused = dict(values), {}
        for name, value in values.items():
            try:
                kept[name] = self.fields[name].held(value)
            except ValueError as error:
                refused[name] = f"{name} {error}"
        if refused:
            texts = [refused[name] for name in sorted(refused)]
            raise ValidationError("; ".join(texts), fields=sorted(refused))
        return kept

    def construct(self, values: Values) -> T:
        """Return ``entity(**values)``; what the constructor itself raises passes.

        Raises:
            ValidationError: The constructor needs more arguments, or takes fewer.
        """
        try:
            return self.entity(**values)
        except TypeError as error:
            taken = inspect.signature(self.entity)
            try:
                taken.bind(**values)
            except TypeError:
                raise self._misfit(taken, values) from error
            raise

    def _misfit(self, taken: inspect.Signature, values: Values) -> ValidationError:
        needed = [n for n, p in taken.parameters.items() if p.default is p.empty]
        if missing := [name for name in needed if name not in values]:
            return ValidationError(
                f"a {self.name} needs {', '.join(missing)}", fields=missing
            )
        extra = [name for name in values if name not in taken.parameters]
        return ValidationError(
            f"the constructor of {self.name} does not take {', '.join(extra)}",
            fields=extra,
        )
