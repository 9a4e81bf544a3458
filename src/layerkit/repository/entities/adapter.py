"""EntityAdapter: the port to entity classes, which judges what callers give and ask."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Generic, TypeAlias

from pydantic import BaseModel
from typing_extensions import TypeVar

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository.entities.entity_class import EntityClass
from layerkit.repository.entities.fields import fits, type_name
from layerkit.repository.filters.evaluate import Values
from layerkit.repository.filters.specification import ORDERING, Inc, Operator

T = TypeVar("T")

Data: TypeAlias = BaseModel | Mapping[str, object]
"""What entities are made and changed from: a schema, or a mapping by field name."""

_NAME, _NAMES = 64, 10  # how much an error quotes of unknown names, and of how many

EMPTY: Final[Values] = MappingProxyType({})
"""No values."""


class EntityAdapter(EntityClass[T], Generic[T]):
    """Know one entity class, and judge what callers give for entities and ask of them.

    What a class can't hold is refused here, the same way for every home.
    """

    def key_of(self, entity_id: object) -> tuple[Any, ...]:
        """Return *entity_id* as a tuple in the order of ``key``.

        Raises:
            UsageError: Too few or too many parts, None, or a part of the wrong type.
        """
        is_tuple = len(self.key) > 1 and isinstance(entity_id, tuple | list)
        parts = tuple(entity_id) if is_tuple else (entity_id,)  # type: ignore[arg-type] # checked by is_tuple
        if len(parts) != len(self.key) or None in parts:
            unstored = ": an entity has no id before it is stored" * (None in parts)
            raise UsageError(
                f"{self.name} is identified by {', '.join(self.key)}, "
                f"got {entity_id!r}{unstored}",
                value=entity_id,
                expected=", ".join(type_name(self.fields[name]) for name in self.key),
            )
        return tuple(map(self.sought, self.key, parts))

    def check_value(self, name: str, value: object) -> None:
        """Refuse a value in a filter that the field could never hold.

        Raises:
            UsageError: Unknown field, or *value* is of another type.
        """
        info = self.info(name)
        if not info.accepts(value):
            raise UsageError(
                f"{self.name}.{name} holds {type_name(info)}, "
                f"got a {type(value).__name__}: convert it first",
                value=value,
                expected=type_name(info),
            )

    def sought(self, name: str, value: Any) -> Any:
        """Return a value of a filter as it is compared with what the field holds.

        Raises:
            UsageError: Unknown field, or *value* is of another type.
            ValidationError: No database takes it: a NUL character, say.
        """
        self.check_value(name, value)
        info = self.fields[name]
        try:
            return info.limits.sought(info.kind, value)
        except ValueError as error:
            raise ValidationError(f"{name} {error}", fields=(name,)) from error

    def check_operator(self, name: str, operator: Operator) -> None:
        """Refuse a comparison that has not one answer on every backend.

        Raises:
            UsageError: Unknown field, or one that *operator* can't order.
        """
        info = self.info(name)
        if operator in ORDERING and not (info.is_ordered and info.kind is not bool):
            why = "is neither smaller nor greater on every backend: use == or in_()"
            raise self.unfit(name, why)

    def check_order(self, name: str) -> None:
        """Refuse to sort by a field that backends sort each in its own way.

        Raises:
            UsageError: Unknown field, or its values have no order.
        """
        if not self.info(name).is_ordered:
            why = "is not in the same order on every backend: sort by another field"
            raise self.unfit(name, why)

    def unfit(self, name: str, why: str) -> UsageError:
        """Return what to say of a field that can't be used so, since it *why*."""
        held = type_name(self.fields[name])
        return UsageError(f"{self.name}.{name} holds {held}, which {why}")

    @cached_property
    def _required(self) -> tuple[str, ...]:
        return tuple(name for name, info in self.fields.items() if info.required)

    def check_new(self, values: Values, known: Values = EMPTY) -> dict[str, Any]:
        """Return what of *values* a new entity holds otherwise than it is given.

        Args:
            values: By field name.
            known: Values that have been checked already.

        Raises:
            ValidationError: An unknown field, a value that a field does not hold, or a
                field that is missing.
        """
        fresh = values
        if known:
            fresh = {n: v for n, v in values.items() if known.get(n) is not v}
        kept = self.check_data(fresh, increments=False) if fresh else {}
        if missing := [name for name in self._required if values.get(name) is None]:
            raise ValidationError(
                f"a {self.name} needs {', '.join(missing)}", fields=missing
            )
        return kept

    def are_as_is(self, rows: Sequence[Values]) -> bool:
        """Tell of many new rows, a column at a time, that ``check_new`` changes none.

        False tells nothing: a look at each row says what is wrong, if anything is.
        """
        if len(set(map(tuple, rows))) != 1 or not self.fields.keys() >= rows[0].keys():
            return False
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        given = columns.items()
        return all(self.fields[name].all_as_is(values) for name, values in given) and (
            all(
                name in columns and None not in columns[name] for name in self._required
            )
        )

    def check_nulls(self, values: Values) -> None:
        """Refuse a null in a field that has none.

        Raises:
            ValidationError: With the names of the fields.
        """
        nulls = [name for name, value in values.items() if value is None]
        if empty := [name for name in nulls if not self.fields[name].nullable]:
            raise ValidationError(f"{', '.join(empty)} must not be null", fields=empty)

    def check_data(self, values: Values, *, increments: bool) -> dict[str, Any]:
        """Return what of *values* the fields hold otherwise than it is given.

        Raises:
            ValidationError: An unknown field, or a value that a field does not hold.
        """
        fields, as_is = self.fields, self._as_is
        doubtful = {
            name: value
            for name, value in values.items()
            if name not in as_is or not as_is[name](value)
        }
        if not doubtful:
            return {}
        unknown, wrong = [], []
        for name, value in doubtful.items():
            info = fields.get(name)
            if info is None:
                unknown.append(str(name))
            elif not fits(info, value, increments=increments):
                wrong.append(name)
        if unknown:
            raise self._unknown(unknown)
        if wrong:
            expected = ", ".join(f"{n}: {type_name(fields[n])}" for n in wrong)
            raise ValidationError(f"wrong type, expected {expected}", fields=wrong)
        kept = self.stored(doubtful)
        return {n: v for n, v in kept.items() if v is not values[n]}

    @cached_property
    def _as_is(self) -> Mapping[str, Callable[[Any], bool]]:
        return {name: info.as_is for name, info in self.fields.items()}

    def _unknown(self, names: Sequence[str]) -> ValidationError:
        """Return what to say of *names*, which a client may have made up."""
        shown = [n if len(n) <= _NAME else f"{n[:_NAME]}…" for n in names[:_NAMES]]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        error = ValidationError(
            f"{self.name} has no field {', '.join(map(repr, shown))}{more}",
            fields=shown,
        )
        error.logged = f"{self.name} has no such field ({len(names)} unknown)"
        return error

    def new(self, data: T | Data, defaults: Values = EMPTY) -> T:
        """Return *data* as an entity: itself, or built from a schema or mapping.

        Args:
            data: An entity, a schema or a mapping.
            defaults: What a field gets that *data* leaves out, or null.

        Raises:
            ValidationError: An unknown field, or a value of the wrong type.
            UsageError: *data* is neither an entity, a schema nor a mapping.
        """
        if isinstance(data, self.entity):
            entity: T = data
            self.check_whole(entity)
            held, known = self.held(entity), EMPTY
            for name, value in defaults.items():
                if held.get(name) is None:
                    setattr(entity, name, value)
        else:
            known = self._given(data, defaults=defaults)
            known |= self.check_data(known, increments=False)
            entity = self.build(known)
        if kept := self.check_new(self.held(entity), known):
            self.replace(entity, kept)
        return entity

    def new_values(self, data: Data, defaults: Values = EMPTY) -> dict[str, Any]:
        """Return what an entity would be built from; for ``new``, without building it.

        Raises:
            ValidationError: As for ``new``.
            UsageError: *data* is neither a schema nor a mapping.
        """
        values = self._given(data, defaults=defaults)
        values |= self.check_new(values)
        return values

    def given(self, data: T | Data) -> dict[str, Any]:
        """Return what *data* says of an entity, by field name.

        Args:
            data: An entity, of which every field that is set counts; a schema, of
                which the fields that were set count; or a mapping.

        Raises:
            UsageError: *data* is not one of these.
        """
        if isinstance(data, self.entity):
            return self.values(data)
        return self._given(data, only_set=True)

    def started(
        self, data: T | Data, fixed: Collection[str | None]
    ) -> tuple[T | Data, dict[str, Inc]]:
        """Return *data* of a new entity with a number for each ``Inc``, and these.

        Args:
            data: An entity, a schema or a mapping.
            fixed: The fields that are not to be added to.

        Raises:
            ValidationError: An unknown field, or one that nothing can be added to.
            UsageError: *data* is neither an entity, a schema nor a mapping.
        """
        if isinstance(data, self.entity):
            return data, {}
        values = self._given(data)
        added = {n: v for n, v in values.items() if isinstance(v, Inc)}
        if not added:
            return values, added
        self.check_data(added, increments=True)
        if refused := sorted(added.keys() & set(fixed)):
            raise ValidationError(
                f"an upsert adds nothing to {', '.join(refused)} of a {self.name}",
                fields=refused,
            )
        for name, increment in added.items():
            values[name] = self.start(name) + increment.amount
        return values, added

    def _given(
        self, data: object, *, only_set: bool = False, defaults: Values = EMPTY
    ) -> dict[str, Any]:
        if isinstance(data, dict):  # before all else: it is told apart much faster
            values = dict(data)
        elif isinstance(data, BaseModel):
            fields = type(data).model_fields
            chosen = data.model_fields_set if only_set else fields
            values = {name: getattr(data, name) for name in fields if name in chosen}
        elif isinstance(data, Mapping):
            values = dict(data)
        else:
            done = "changed by" if only_set else f"made from a {self.name},"
            raise UsageError(
                f"a {self.name} is {done} a schema or a mapping, got a "
                f"{type(data).__name__}"
            )
        for name, value in defaults.items():
            if values.get(name) is None:
                values[name] = value
        return values

    def changes(self, data: Data) -> dict[str, Any]:
        """Return what *data* changes; only fields that were set, where it is a schema.

        Raises:
            ValidationError: An unknown or key field, a value of the wrong type, or a
                null where the field has none.
            UsageError: *data* is neither a schema nor a mapping.
        """
        values = self._given(data, only_set=True)
        values |= self.check_data(values, increments=True)
        protected = self._protected
        if refused := [name for name in values if name in protected]:
            raise ValidationError(
                f"the {protected[refused[0]]} of a {self.name} can't be changed",
                fields=refused,
            )
        self.check_nulls(values)
        return values

    @cached_property
    def _protected(self) -> Mapping[str | None, str]:
        """What no update changes: what each field is, by its name."""
        protected: dict[str | None, str] = dict.fromkeys(self.stamps, "stamp")
        protected[self.version] = "version"
        return protected | dict.fromkeys(self.key, "key")


Adapter: TypeAlias = EntityAdapter[Any]
"""What is known of an entity class, whichever that is."""


def check_confined(
    entity: str, changes: Collection[str], confined: frozenset[str]
) -> None:
    """Refuse changes of what the scope of a repository has set.

    Args:
        entity: The name of the class.
        changes: The fields that are to be changed.
        confined: Those that the scope has set.

    Raises:
        ValidationError: Some are both.
    """
    if foreign := sorted(confined & set(changes)):
        raise ValidationError(
            f"{', '.join(foreign)} of a {entity} can't be changed here: the scope of "
            "the repository sets it",
            fields=foreign,
        )
