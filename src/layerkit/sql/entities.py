"""Entities that are mapped classes, declarative or imperative."""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Generic, NoReturn, TypeVar, get_args

from sqlalchemy import Column, ColumnElement, Dialect, Numeric, Table
from sqlalchemy import inspect as inspected
from sqlalchemy.orm import Mapper, QueryableAttribute, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from typing_extensions import override

from layerkit.core.errors import NotSupportedError, UsageError, ValidationError
from layerkit.repository import CascadeRule, EntityAdapter, ForeignKeyRule, Operator
from layerkit.repository.entities.adapter import EMPTY
from layerkit.repository.entities.nesting import deep_copy
from layerkit.sql.copying import copied
from layerkit.sql.defaults import is_made_here, is_python, may_not_fit, value_of
from layerkit.sql.dialects import Server, server_of
from layerkit.sql.forms import Compared, is_json
from layerkit.sql.loading import explain_unloaded
from layerkit.sql.mixins import DELETED, STAMP, VersionMixin
from layerkit.sql.references import cascade_rules, foreign_key_rules
from layerkit.sql.table_rules import field_info, item_type, only_in_sql, unique_rules

T = TypeVar("T")


class MappedAdapter(EntityAdapter[T], Generic[T]):
    """Know a mapped class by its mapper.

    Args:
        entity: The class.
        mapper: Its mapper, configured.
    """

    weak_references = 1  # the state that SQLAlchemy keeps of each object
    in_dict = True  # as SQLAlchemy takes it to be

    def __init__(self, entity: type[T], mapper: Mapper[T]) -> None:
        self.entity = entity
        self.mapper = mapper
        self.columns: dict[str, Column[Any]] = {
            attribute.key: attribute.columns[0]
            for attribute in mapper.column_attrs
            if isinstance(attribute.columns[0], Column)
        }
        self.names: dict[ColumnElement[Any], str] = {
            column: attribute.key
            for attribute in mapper.column_attrs
            for column in attribute.columns
        }
        self.key = tuple(
            mapper.get_property_by_column(column).key for column in mapper.primary_key
        )
        if mapper.version_id_col is not None:
            self.version = self.names[mapper.version_id_col]
        _check_mapper_args(mapper)
        self._computed = frozenset(
            name for name, column in self.columns.items() if column.computed is not None
        )
        self.stamps = self._computed | frozenset(self._marked(STAMP))
        self.deleted = next(iter(self._marked(DELETED)), None)
        self.fields = {
            name: field_info(mapper, name, is_version=name == self.version)
            for name in self.columns
        }
        self._blank: dict[str, Any] = {
            name: None
            for name, column in self.columns.items()
            if column.default is None
            and column.server_default is None
            and name not in self.key
            and not column.type.should_evaluate_none  # JSON's null is not SQL's
        }
        self.unique = unique_rules(mapper, self.names, self.deleted)
        self._places: dict[str, MappedAdapter[T]] = {}

    @cached_property
    def attributes(self) -> Mapping[str, QueryableAttribute[Any]]:
        """The mapped attributes of the class's columns by name."""
        return {name: getattr(self.entity, name) for name in self.fields}

    @cached_property
    def target(self) -> type[T] | Table:
        """What an INSERT of rows names: the table, where it takes them as they are.

        That costs less than a statement on the class, which SQLAlchemy looks through
        row by row.
        """
        table = self.mapper.local_table
        are_alike = all(name == column.key for name, column in self.columns.items())
        return table if isinstance(table, Table) and are_alike else self.entity

    @cached_property
    def nullable(self) -> Mapping[str, bool]:
        """Which fields may be null."""
        return {name: info.nullable for name, info in self.fields.items()}

    @cached_property
    def deferred(self) -> frozenset[str]:
        """The columns that are loaded when they are asked for."""
        return frozenset(a.key for a in self.mapper.column_attrs if a.deferred)

    def on(self, dialect_of: Callable[[Mapper[Any]], Dialect]) -> "MappedAdapter[T]":
        """Return what is known of the class where it is stored.

        Where decimals are floats, not all digits are kept of one that has many.

        Args:
            dialect_of: Returns the dialect of the database.

        Raises:
            NotSupportedError: A column has times of day with a zone, and only
                PostgreSQL has such; or the key is a float that a server keeps in four
                bytes.
        """

        def server() -> Server:
            return server_of(dialect_of(self.mapper))

        for name in self.key:
            is_float = self.fields[name].kind is float
            if is_float and Compared(self.columns[name], server()).form:
                raise NotSupportedError(
                    f"{self.name}.{name} is a key of floats of four bytes, which are "
                    "read otherwise than they are compared: use Double()"
                )
        if self._zoned and not server().has_zones:
            raise NotSupportedError(
                f"{self.name}.{self._zoned} has a time of day with a zone, which "
                "PostgreSQL alone keeps: use Time(), and a column for the zone"
            )
        return self._narrowed(server()) if self._decimals else self

    @cached_property
    def _zoned(self) -> str | None:
        """A field of times of day that have a zone."""
        fields = self.fields.items()
        return next((n for n, f in fields if f.kind is time and f.limits.zoned), None)

    @cached_property
    def _decimals(self) -> Mapping[str, Numeric[Any]]:
        """The types of the columns that decimals are read of."""
        return {
            name: column.type
            for name, column in self.columns.items()
            if isinstance(column.type, Numeric) and column.type.asdecimal
        }

    def _narrowed(self, server: Server) -> "MappedAdapter[T]":
        """Return what is known of the class on *server*, made once."""
        if server.limits is None:
            return self
        known = self._places.get(server.name)
        if known is None:
            known = self._places[server.name] = copy.copy(self)
            for name in ("_to_fit", "_to_touch"):
                vars(known).pop(name, None)
            known.fields = dict(self.fields)
            for name, kind in self._decimals.items():
                info = self.fields[name]
                limits = server.limits(kind, info.limits)
                known.fields[name] = dataclasses.replace(info, limits=limits)
        return known

    def _marked(self, mark: str) -> list[str]:
        return [name for name, column in self.columns.items() if mark in column.info]

    @override
    def check_new(
        self, values: Mapping[str, object], known: Mapping[str, object] = EMPTY
    ) -> dict[str, Any]:
        kept = super().check_new(values, known)
        if self._computed:
            self._refuse_computed(values)
        if not self._to_fit:
            return kept
        blank = {n: d for n, d in self._to_fit.items() if values.get(n) is None}
        return {**kept, **self.stored(self._made(blank, values))}

    @override
    def are_as_is(self, rows: Sequence[Mapping[str, object]]) -> bool:
        return not (self._to_fit or self._computed) and super().are_as_is(rows)

    def _refuse_computed(self, values: Mapping[str, object]) -> None:
        computed = [n for n in self._computed if values.get(n) is not None]
        if computed:
            raise ValidationError(
                f"the database computes {', '.join(computed)} of a {self.name}: leave "
                "it out",
                fields=computed,
            )

    @cached_property
    def _to_fit(self) -> Mapping[str, Any]:
        """The defaults that columns may hold otherwise, or not at all."""
        made = {n: c.default for n, c in self.columns.items() if n != self.integer_key}
        return {n: d for n, d in made.items() if may_not_fit(self.fields[n], d)}

    @cached_property
    def _to_touch(self) -> Mapping[str, Any]:
        """Those of updates that columns may hold otherwise, or not at all."""
        made = self._on_update.items()
        return {n: d for n, d in made if may_not_fit(self.fields[n], d)}

    @cached_property
    def _on_update(self) -> Mapping[str, Any]:
        """What updates set unasked."""
        return {n: c.onupdate for n, c in self.columns.items() if c.onupdate}

    def _made(
        self, defaults: Mapping[str, Any], values: Mapping[str, object] | None
    ) -> dict[str, Any]:
        """Return what *defaults* give, by field, in a row of *values*.

        Args:
            defaults: Of columns, by field.
            values: What else is in the row; None where a statement writes many.
        """
        columns, named = self.columns, None
        if values is not None:
            named = {columns[n].key: v for n, v in values.items() if n in columns}
        return {
            name: value_of(columns[name], default, f"{self.name}.{name}", named)
            for name, default in defaults.items()
        }

    def touching(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return *changes*, and what they set by themselves that SQLAlchemy would not.

        Those are the values that a column holds otherwise than they are made.

        Raises:
            ValidationError: A column does not hold its value.
        """
        if not (changes and self._to_touch):
            return {**changes}
        left = {n: d for n, d in self._to_touch.items() if n not in changes}
        return {**self.stored(self._made(left, None)), **changes}

    @override
    def build(self, values: Mapping[str, object]) -> T:
        return self.construct(values)

    @override
    def check_operator(self, name: str, operator: Operator) -> None:
        super().check_operator(name, operator)
        if operator != "null" and name in self._documents:
            self._refuse_document(name)

    @override
    def check_order(self, name: str) -> None:
        super().check_order(name)
        if name in self._documents:
            self._refuse_document(name)

    @cached_property
    def _documents(self) -> frozenset[str]:
        """The fields that hold JSON, which databases take for texts or for nothing."""
        return frozenset(n for n, c in self.columns.items() if is_json(c.type))

    def _refuse_document(self, name: str) -> NoReturn:
        raise UsageError(
            f"{self.name}.{name} holds JSON, which no two databases compare alike: "
            "a filter knows is_null() of it; for more, write SQL of your own"
        )

    @override
    def foreign_keys(self) -> list[ForeignKeyRule]:
        return foreign_key_rules(self.mapper, self.names)

    @override
    def cascades(self) -> list[CascadeRule]:
        return cascade_rules(self.mapper, self.names)

    @override
    def named(self, target: Sequence[Any]) -> tuple[str, ...] | None:
        is_own = all(column in self.names for column in target)
        return tuple(self.names[column] for column in target) if is_own else None

    @override
    def annotations(self) -> list[Any]:
        kinds = [*super().annotations(), *map(item_type, self.columns.values())]
        named = map(inspect.get_annotations, self.entity.__mro__)  # each its own
        written = [hint for hints in named for hint in hints.values()]
        return kinds + [part for hint in written for part in get_args(hint)]

    @override
    def replace(self, entity: T, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            setattr(entity, name, value)  # types that track changes inside hear of it

    @override
    def values(self, entity: T) -> dict[str, Any]:
        return {n: deep_copy(v) for n, v in self.held(entity).items()}

    @override
    def held(self, entity: T) -> dict[str, Any]:
        loaded = instance_state(entity).dict
        return {name: loaded[name] for name in self.columns if name in loaded}

    @override
    def fill(self, entity: T, values: Mapping[str, object]) -> None:
        for name, value in deep_copy(dict(values)).items():
            set_committed_value(entity, name, value)

    @override
    def unset(self, entity: T, name: str) -> None:
        del instance_state(entity).dict[name]

    @override
    def load(self, values: Mapping[str, object]) -> T:
        entity = self.mapper.class_manager.new_instance()
        self.fill(entity, values)
        # Without this, a column or relationship that is not there would read as None.
        make_transient_to_detached(entity)
        explain_unloaded([instance_state(entity)])
        return entity

    @override
    def copy(self, entity: T) -> T:
        return copied(entity)

    @override
    def defaults(self, values: Mapping[str, object]) -> dict[str, Any]:
        blank = {
            name: default
            for name, column in self.columns.items()
            if values.get(name) is None
            and name != self.integer_key
            and is_made_here(default := column.default or column.server_default)
        }
        return {**self._made(blank, values), **self._next_version(None)}

    @override
    def start(self, name: str) -> Any:
        column, kind = self.columns[name], self.fields[name].kind
        if is_python(column.default):
            return self._made({name: column.default}, {})[name] or 0
        default = column.default or column.server_default
        if default is None:
            return 0
        try:
            number = Decimal(str(getattr(default, "arg", "")).strip("('\") "))
        except InvalidOperation as error:
            raise NotSupportedError(
                f"the database makes the default of {self.name}.{name}, so that no "
                "upsert knows where Inc starts: give the column a number by default="
            ) from error
        return kind(number) if kind in {int, float} else number

    @override
    def on_update(self, values: Mapping[str, object]) -> dict[str, Any]:
        return {**self._made(self._on_update, values), **self._next_version(values)}

    @property
    def counts_by_one(self) -> bool:
        """True where a statement can count the version: ``version + 1``."""
        count = self.mapper.version_id_generator
        if self.version is None or not callable(count):
            return False
        return self.fields[self.version].kind is int and count(1) == 2  # noqa: PLR2004 - as SQLAlchemy's own does

    @property
    def hears_sets(self) -> bool:
        """True where setting an attribute runs code, a validator's say."""
        attributes = (getattr(self.entity, name) for name in self.columns)
        return any(list(attribute.dispatch.set) for attribute in attributes)

    def inserted(self, entity: T | Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that an INSERT of *entity* names, by attribute.

        What has no default is always among them, so that rows look alike; a null is
        left out where the table has a default, as SQLAlchemy's own does it.
        """
        given = entity if isinstance(entity, dict | Mapping) else self.held(entity)
        blank = self._blank
        if None in given.values():
            given = {n: v for n, v in given.items() if v is not None or n in blank}
        if self.version is None:
            return {**blank, **given}
        return {**blank, **given, **self._next_version(None)}

    def touched(self) -> dict[Column[Any], Any]:
        """Return what every UPDATE sets unasked: version and ``onupdate``."""
        here = {n: d for n, d in self._on_update.items() if is_python(d)}
        in_sql = {n: d.arg for n, d in self._on_update.items() if n not in here}
        touched = {**in_sql, **self.stored(self._made(here, None))}
        if self.version is not None:
            touched[self.version] = self.columns[self.version] + 1
        return {self.columns[name]: value for name, value in touched.items()}

    @override
    def check_portable(self) -> None:
        counted = self.integer_key  # a Sequence or Identity; memory counts
        columns = {n: c for n, c in self.columns.items() if n != counted}
        for what in only_in_sql(self.mapper, columns):
            raise NotSupportedError(
                f"{self.name} has {what}, which only a database can do: "
                "test it on SQLite, Database('sqlite://')"
            )

    @override
    def validated(
        self, values: Mapping[str, object], changes: dict[str, Any], *, are_set: bool
    ) -> dict[str, Any]:
        if are_set or not self.hears_sets:
            return changes
        entity = self.load(values)
        for name, value in changes.items():
            setattr(entity, name, value)
        held = self.held(entity)
        return {n: v for n, v in held.items() if n in changes or v != values.get(n)}

    @override
    def check_alone(self, entity: T) -> None:
        held = instance_state(entity).dict
        for relationship in self.mapper.relationships:
            if held.get(relationship.key):
                raise NotSupportedError(
                    f"{self.name}.{relationship.key} holds other entities, which only "
                    "a database stores along: create each by its own repository"
                )

    def _next_version(self, values: Mapping[str, Any] | None) -> dict[str, Any]:
        count = self.mapper.version_id_generator
        if self.version is None or not callable(count):
            return {}
        return {self.version: count(values[self.version] if values else None)}


def make_adapter(entity: type) -> EntityAdapter[Any] | None:
    """Return the adapter of a mapped class; None for other classes."""
    mapper: object = inspected(entity, raiseerr=False)
    return MappedAdapter(entity, mapper) if isinstance(mapper, Mapper) else None


def _check_mapper_args(mapper: Mapper[Any]) -> None:
    """Refuse a class whose ``__mapper_args__`` hide others that it means to have.

    Raises:
        UsageError: They hide those of VersionMixin, or VersionMixin's those of a base.
    """
    entity = mapper.class_
    if not issubclass(entity, VersionMixin):
        return
    owners = [cls for cls in entity.__mro__ if "__mapper_args__" in vars(cls)]
    hides = owners[0] is VersionMixin and owners[1:]
    if mapper.version_id_col is None or hides:
        shown, hidden = owners[0], hides[0] if hides else VersionMixin
        raise UsageError(
            f"{entity.__name__} has __mapper_args__ of {shown.__name__}, which hide "
            f"{hidden.__name__}'s: write them together, "
            f"__mapper_args__ = {{**{hidden.__name__}.__mapper_args__, ...}}"
        )
