"""Entities that are mapped classes, declarative or imperative."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    CheckConstraint,
    ClauseElement,
    Column,
    ColumnElement,
    Index,
    Table,
    UniqueConstraint,
)
from sqlalchemy import inspect as inspected
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    QueryableAttribute,
    make_transient_to_detached,
)
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON, TypeDecorator
from typing_extensions import override

from layerkit.core.errors import NotSupportedError, UsageError, ValidationError
from layerkit.repository import (
    Comparison,
    EntityAdapter,
    FieldInfo,
    Operator,
    UniqueRule,
)
from layerkit.repository.scope import check_confined
from layerkit.sql.compile import is_json
from layerkit.sql.mixins import DELETED, LIVE, STAMP, VersionMixin
from layerkit.sql.types import UTCDateTime

T = TypeVar("T")

CONFINED: Final = "layerkit.confined"
"""A key of an object's state: the fields that a scope has set on it."""

_NOW: Final = frozenset({"NOW", "CURRENT_TIMESTAMP"})


class MappedAdapter(EntityAdapter[T], Generic[T]):
    """Know a mapped class by its mapper.

    Args:
        entity: The class.
        mapper: Its mapper, configured.
    """

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
            name: _field_info(name, column, generated=self._is_generated(name))
            for name, column in self.columns.items()
        }
        self._blank: dict[str, Any] = {
            name: None
            for name, column in self.columns.items()
            if column.default is None
            and column.server_default is None
            and name not in self.key
            and not column.type.should_evaluate_none  # JSON's null is none of SQL's
        }
        self.unique = tuple(
            rule
            for table in mapper.tables
            if isinstance(table, Table)
            for rule in self._unique_rules(table)
        )

    def _marked(self, mark: str) -> list[str]:
        return [name for name, column in self.columns.items() if mark in column.info]

    @override
    def _check_new(self, values: Mapping[str, object]) -> None:
        super()._check_new(values)
        computed = [n for n in values if n in self._computed and values[n] is not None]
        if computed:
            raise ValidationError(
                f"the database computes {', '.join(computed)} of a {self.name}: leave "
                "it out",
                fields=computed,
            )

    @override
    def build(self, values: Mapping[str, object]) -> T:
        return self.construct(values)

    @override
    def check_operator(self, name: str, operator: Operator) -> None:
        super().check_operator(name, operator)
        if operator != "null":
            self._check_comparable(name)

    @override
    def check_order(self, name: str) -> None:
        super().check_order(name)
        self._check_comparable(name)

    def _check_comparable(self, name: str) -> None:
        """Refuse to compare documents, which databases take for texts or for nothing.

        Raises:
            UsageError: The column holds JSON.
        """
        if is_json(self.columns[name].type):
            raise UsageError(
                f"{self.name}.{name} holds JSON, which no two databases compare alike: "
                "a filter knows is_null() of it; for more, write SQL of your own"
            )

    @override
    def values(self, entity: T) -> dict[str, Any]:
        loaded = instance_state(entity).dict
        return {n: copy.deepcopy(loaded[n]) for n in self.columns if n in loaded}

    @override
    def held(self, entity: T) -> dict[str, Any]:
        loaded = instance_state(entity).dict
        return {name: loaded[name] for name in self.columns if name in loaded}

    @override
    def fill(self, entity: T, values: Mapping[str, object]) -> None:
        for name, value in copy.deepcopy(dict(values)).items():
            set_committed_value(entity, name, value)

    @override
    def load(self, values: Mapping[str, object]) -> T:
        entity = self.mapper.class_manager.new_instance()
        self.fill(entity, values)
        # Without this, a column or relationship that is not there would read as None.
        make_transient_to_detached(entity)
        return entity

    @override
    def copy(self, entity: T) -> T:
        made: T = _copied(entity, {})
        return made

    @override
    def defaults(self, values: Mapping[str, object]) -> dict[str, Any]:
        context = self._context(values)
        defaults = {
            name: column.default or column.server_default
            for name, column in self.columns.items()
            if values.get(name) is None and name != self.integer_key
        }
        made = {
            name: _made(self.columns[name], default, context)
            for name, default in defaults.items()
            if _is_python(default) or _is_now(default)
        }
        return {**made, **self._next_version(None)}

    @override
    def on_update(self, values: Mapping[str, object]) -> dict[str, Any]:
        context = self._context(values)
        made = {
            name: _made(column, column.onupdate, context)
            for name, column in self.columns.items()
            if column.onupdate is not None
        }
        return {**made, **self._next_version(values)}

    @property
    def counts_by_one(self) -> bool:
        """True where a statement can count the version up by itself."""
        count = self.mapper.version_id_generator
        if self.version is None or not callable(count):
            return False
        return self.fields[self.version].kind is int and count(1) == 2  # noqa: PLR2004 - as SQLAlchemy's own does

    @property
    def builds_plainly(self) -> bool:
        """True where making an entity from values does nothing but set them."""
        constructor = self.mapper.class_manager.original_init
        is_default = constructor is self.mapper.registry.constructor
        return is_default and not (self.hears_sets or self._listens_to_init)

    @property
    def hears_sets(self) -> bool:
        """True where setting an attribute runs code, a validator's say."""
        attributes = (getattr(self.entity, name) for name in self.columns)
        return any(list(attribute.dispatch.set) for attribute in attributes)

    @property
    def _listens_to_init(self) -> bool:
        dispatch: Any = self.mapper.class_manager.dispatch
        return len(tuple(dispatch.init)) > 1  # SQLAlchemy's own is the first

    def inserted(self, entity: T | Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that an INSERT of *entity* names, by attribute.

        What has no default is always among them, so that rows look alike; a null is
        left out where the table has a default, as SQLAlchemy's own does it.
        """
        given = entity if isinstance(entity, Mapping) else self.held(entity)
        row = {**self._blank, **given}
        if self.version is not None:
            row |= self._next_version(None)
        if None not in row.values():
            return row
        return {n: v for n, v in row.items() if v is not None or n in self._blank}

    def touched(self) -> dict[Column[Any], Any]:
        """Return what every UPDATE sets by itself: version and ``onupdate``."""
        made: dict[Column[Any], Any] = {}
        for column in self.columns.values():
            default: Any = column.onupdate
            if default is not None:
                in_python = _is_python(default)
                context = _Context(f"{self.name}.{self.names[column]}", None)
                made[column] = (
                    _made(column, default, context) if in_python else default.arg
                )
        if self.version is not None:
            made[self.columns[self.version]] = self.columns[self.version] + 1
        return made

    @override
    def check_portable(self) -> None:
        if self.mapper.inherits or self.mapper.polymorphic_on is not None:
            raise self._only_sql("inheritance")
        for table in self.mapper.tables:
            if any(_is_check(rule) for rule in getattr(table, "constraints", ())):
                raise self._only_sql("a CHECK constraint")
            for index in getattr(table, "indexes", ()):
                if index.unique and not _is_rule(index):
                    raise self._only_sql(
                        f"a unique index on a condition or expression, {index.name}"
                    )
        for name, column in self.columns.items():
            if name == self.integer_key:
                continue  # a Sequence or Identity; memory counts by itself
            for default in (column.server_default, column.default, column.onupdate):
                if default is not None and not (
                    _is_python(default) or _is_now(default)
                ):
                    raise self._only_sql(f"a default of {name} that is made in SQL")

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

    def _is_generated(self, name: str) -> bool:
        """Tell whether something else than the caller fills the field in."""
        column = self.columns[name]
        counted = any(
            # A class mapped to a subquery has no table that could count.
            c is getattr(c.table, "autoincrement_column", None)
            for c in self.mapper.attrs[name].columns
        )
        return (
            column.default is not None
            or column.server_default is not None
            or counted
            or name == self.version
        )

    def _context(self, values: Mapping[str, object]) -> "_Context":
        named = {self.columns[n].key: v for n, v in values.items() if n in self.columns}
        return _Context(self.name, named)

    def _next_version(self, values: Mapping[str, Any] | None) -> dict[str, Any]:
        count = self.mapper.version_id_generator
        if self.version is None or not callable(count):
            return {}
        return {self.version: count(values[self.version] if values else None)}

    def _only_sql(self, what: str) -> NotSupportedError:
        return NotSupportedError(
            f"{self.name} has {what}, which only a database can do: "
            "test it on SQLite, Database('sqlite://')"
        )

    def _unique_rules(self, table: Table) -> list[UniqueRule]:
        groups: list[tuple[object, list[Column[Any]], bool]] = [
            (constraint.name, list(constraint.columns), False)
            for constraint in table.constraints
            if isinstance(constraint, UniqueConstraint)
        ]
        groups += [
            (index.name, list(index.columns), LIVE in index.info)
            for index in table.indexes
            if index.unique and _is_rule(index)
        ]
        rules = [
            UniqueRule(
                str(name or "_".join((table.name, *(c.name for c in columns), "key"))),
                tuple(self.names[column] for column in columns),
                Comparison(self.deleted, "null") if live and self.deleted else None,
            )
            for name, columns, live in groups
            if all(column in self.names for column in columns)
        ]
        return sorted(rules, key=lambda rule: rule.name)  # a set has no order


def make_adapter(entity: type) -> EntityAdapter[Any] | None:
    """Return the adapter of a mapped class; None for other classes."""
    try:
        mapper: object = inspected(entity)
    except NoInspectionAvailable:
        return None
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


def check_changes(adapter: EntityAdapter[Any], entity: object) -> None:
    """Refuse what was set on a tracked entity and no update would take.

    Raises:
        ValidationError: A value of the wrong type, a null where none may be, or the
            version that the mapping counts.
        UsageError: The key was changed.
    """
    state: InstanceState[Any] = instance_state(entity)
    counts = callable(state.mapper.version_id_generator)
    confined = state.info.get(CONFINED, frozenset())
    changes = {}
    for name in adapter.fields.keys() & state.committed_state.keys():
        history = state.attrs[name].history
        value = history.added[0] if history.added else None
        in_sql = isinstance(value, ClauseElement | QueryableAttribute)
        is_own = name == adapter.version and not counts
        if history.has_changes() and not in_sql and not is_own:
            changes[name] = value
    if changed_key := [name for name in adapter.key if name in changes]:
        raise UsageError(
            f"the key of a {adapter.name} was changed: {', '.join(changed_key)}"
        )
    check_confined(adapter.name, changes, confined)
    adapter.changes(changes)


def _copied(entity: Any, made: dict[int, Any]) -> Any:
    """Return a detached copy of *entity* with what is loaded of its relationships."""
    if id(entity) in made:
        return made[id(entity)]
    state: InstanceState[Any] = instance_state(entity)
    mapper = state.mapper
    twin = made[id(entity)] = mapper.class_manager.new_instance()
    for attribute in mapper.column_attrs:
        if attribute.key in state.dict:
            value = copy.deepcopy(state.dict[attribute.key])
            set_committed_value(twin, attribute.key, value)
    for relationship in mapper.relationships:
        if relationship.key in state.dict:
            value = state.dict[relationship.key]
            if relationship.uselist:
                related = value.values() if isinstance(value, dict) else value
                value = [_copied(item, made) for item in related]
            elif value is not None:
                value = _copied(value, made)
            set_committed_value(twin, relationship.key, value)
    if state.key is not None:
        # Without this, a column or relationship that is not there would read as None.
        make_transient_to_detached(twin)
    return twin


def _field_info(name: str, column: Column[Any], *, generated: bool) -> FieldInfo:
    """Describe a column; types that take values of several classes are unchecked."""
    kind: type | None = None
    is_moment = isinstance(column.type, UTCDateTime)
    if is_moment:
        kind = datetime
    elif not isinstance(column.type, TypeDecorator | JSON):
        kind = column.type.python_type
    if kind is object:  # SQLAlchemy's word for a type that does not say
        kind = None
    return FieldInfo(
        name,
        kind,
        nullable=bool(column.nullable),
        required=not column.nullable and not generated,
        indexed=bool(column.index or column.unique),
        aware=is_moment,
    )


def _is_check(rule: object) -> bool:
    """Tell whether *rule* is a CHECK that no column type, an Enum say, has added."""
    if not isinstance(rule, CheckConstraint):
        return False
    return not rule._type_bound  # noqa: SLF001 - SQLAlchemy has no public name for it


def _is_rule(index: Index) -> bool:
    """Tell whether a unique index is about plain columns, of every (living) row."""
    if LIVE in index.info:
        return True
    columns = (getattr(e, "element", e) for e in index.expressions)  # past a DESC
    is_plain = all(isinstance(column, Column) for column in columns)
    return is_plain and not any(n.endswith("_where") for n in index.dialect_kwargs)


def _is_now(default: Any) -> bool:
    argument = getattr(default, "arg", None)
    if isinstance(argument, FunctionElement):
        return str(getattr(argument, "name", "")).upper() in _NOW
    return str(argument).strip("()").upper() in _NOW


def _is_python(default: Any) -> bool:
    is_python = getattr(default, "is_scalar", False) or getattr(
        default, "is_callable", False
    )
    return bool(is_python)


class _Context:
    """Be what a default gets that looks at the other values of its row.

    Args:
        owner: Whose default it is, for messages.
        values: The other values by the key of their columns; None where a statement
            writes many rows at once.
    """

    def __init__(self, owner: str, values: dict[str, Any] | None) -> None:
        self._owner, self._values = owner, values

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the values.

        Raises:
            NotSupportedError: There are none.
        """
        if self._values is None:
            raise NotSupportedError(
                f"what an update sets {self._owner} to goes by the other values of its "
                "row, which no upsert knows: use create and update"
            )
        return self._values

    @property
    def current_parameters(self) -> Any:
        """The values, by SQLAlchemy's older name."""
        return self.get_current_parameters()


def _made(column: Column[Any], default: Any, context: _Context) -> Any:
    """Return the value that a default of *column* gives."""
    if not _is_python(default):
        now = datetime.now(UTC)  # see check_portable
        is_aware = getattr(column.type, "timezone", False)
        return now if is_aware else now.replace(tzinfo=None)
    return default.arg(context) if default.is_callable else copy.deepcopy(default.arg)
