"""What the tables of a mapped class say of it: its fields and its unique rules."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMINT, TINYINT
from sqlalchemy.orm import Mapper

from layerkit.repository import Comparison, FieldInfo, UniqueRule
from layerkit.repository.entities.limits import Limits
from layerkit.sql.defaults import is_made_here
from layerkit.sql.dialects.numbers import is_single, scale_of
from layerkit.sql.mixins import LIVE
from layerkit.sql.types import UTCDateTime, python_type

_BITS: Final = {
    TINYINT: 8,
    sa.SmallInteger: 16,
    MEDIUMINT: 24,
    sa.BigInteger: 64,
    sa.Integer: 32,
}


def field_info(mapper: Mapper[Any], name: str, *, is_version: bool) -> FieldInfo:
    """Describe a column; types that take values of several classes are unchecked."""
    columns: list[Any] = mapper.attrs[name].columns
    column = columns[0]
    kind: type | None = None
    is_moment = isinstance(column.type, UTCDateTime)
    if is_moment:
        kind = datetime
    elif isinstance(column.type, sa.Interval) or not isinstance(
        column.type, sa.TypeDecorator | sa.JSON
    ):
        kind = python_type(column.type)
    is_filled_in = (
        is_version
        or column.default is not None
        or column.server_default is not None
        # A class mapped to a subquery has no table that could count.
        or any(c is getattr(c.table, "autoincrement_column", None) for c in columns)
    )
    return FieldInfo(
        name,
        kind,
        nullable=bool(column.nullable),
        required=not column.nullable and not is_filled_in,
        indexed=bool(column.index or column.unique),
        aware=is_moment,
        limits=_limits(column.type),
    )


def item_type(column: sa.Column[Any]) -> type | None:
    """Return the class of what the arrays of *column* hold; None where it has none."""
    kind = column.type
    return kind.item_type.python_type if isinstance(kind, sa.ARRAY) else None


def _limits(kind: Any) -> Limits:
    """Return what a column of that type holds; the widest of its variants counts."""
    if isinstance(kind, sa.TypeDecorator):
        # PostgreSQL has intervals of its own, and others keep a moment.
        return Limits(since_1970=isinstance(kind, sa.Interval))
    if isinstance(kind, sa.JSON):
        return Limits(json=True)
    if isinstance(kind, sa.Enum):
        return Limits(choices=None if kind.enum_class else frozenset(kind.enums))
    if isinstance(kind, sa.Integer):
        others = kind._variant_mapping.values()  # noqa: SLF001 - SQLAlchemy has no public name for it
        ranges = [_range(one) for one in (kind, *others) if isinstance(one, sa.Integer)]
        lows, highs = zip(*ranges, strict=True)
        return Limits(least=min(lows), greatest=max(highs))
    if isinstance(kind, sa.DateTime | sa.Time):
        return Limits(zoned=kind.timezone)
    if isinstance(kind, sa.Float):
        scale = scale_of(kind) if kind.asdecimal else None
        return Limits(single=is_single(kind), scale=scale)
    if isinstance(kind, sa.Numeric):
        scale = kind.scale or 0 if kind.precision is not None else kind.scale
        return Limits(precision=kind.precision, scale=scale)
    return Limits(
        length=kind.length if isinstance(kind, sa.String) else None,
        uuid=isinstance(kind, sa.Uuid) and not kind.as_uuid,
    )


def _range(kind: sa.Integer) -> tuple[int, int]:
    bits = next(size for name, size in _BITS.items() if isinstance(kind, name))
    if getattr(kind, "unsigned", False):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def unique_rules(
    mapper: Mapper[Any], names: Mapping[sa.ColumnElement[Any], str], deleted: str | None
) -> tuple[UniqueRule, ...]:
    """Return the unique rules of a class, whose columns have *names* in it."""
    rules: list[UniqueRule] = []
    for table in (table for table in mapper.tables if isinstance(table, sa.Table)):
        unique: list[sa.UniqueConstraint | sa.Index] = [
            *(one for one in table.constraints if isinstance(one, sa.UniqueConstraint)),
            *(one for one in table.indexes if one.unique and _is_rule(one)),
        ]
        found = [
            UniqueRule(
                name_of(one, "key"),
                tuple(names[column] for column in one.columns),
                Comparison(deleted, "null") if deleted and LIVE in one.info else None,
            )
            for one in unique
            if all(column in names for column in one.columns)
        ]
        rules += sorted(found, key=lambda rule: rule.name)  # a set has no order
    return tuple(rules)


def name_of(rule: Any, suffix: str) -> str:
    """Return the name of a constraint or index, or that which PostgreSQL gives it."""
    columns = (column.name for column in rule.columns)
    return str(rule.name or "_".join((rule.table.name, *columns, suffix)))


def only_in_sql(
    mapper: Mapper[Any], columns: Mapping[str, sa.Column[Any]]
) -> Iterator[str]:
    """Yield what only a database can do, the defaults of *columns* among it."""
    if mapper.inherits or mapper.polymorphic_on is not None:
        yield "inheritance"
    for table in mapper.tables:
        rules = getattr(table, "constraints", ())
        checks = [rule for rule in rules if isinstance(rule, sa.CheckConstraint)]
        # A column type, an Enum say, may have added one.
        if not all(check._type_bound for check in checks):  # noqa: SLF001 - SQLAlchemy has no public name for it
            yield "a CHECK constraint"
        for index in getattr(table, "indexes", ()):
            if index.unique and not _is_rule(index):
                yield f"a unique index on a condition or expression, {index.name}"
    for name, column in columns.items():
        for default in (column.server_default, column.default, column.onupdate):
            if default is not None and not is_made_here(default):
                yield f"a default of {name} that is made in SQL"


def _is_rule(index: sa.Index) -> bool:
    """Tell whether a unique index is about plain columns, of every (living) row."""
    if LIVE in index.info:
        return True
    columns = (getattr(e, "element", e) for e in index.expressions)  # past a DESC
    is_plain = all(isinstance(column, sa.Column) for column in columns)
    return is_plain and not any(n.endswith("_where") for n in index.dialect_kwargs)
