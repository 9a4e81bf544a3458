"""Specifications and orders as SQL, the same answer on every dialect.

Texts compare case-sensitive everywhere; ``%`` and ``_`` are never wildcards. MariaDB
and MySQL compare by a collation that folds case and pads blanks, so an exact comparison
of the bytes stands beside the one that can use an index.
"""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    JSON,
    ColumnElement,
    LargeBinary,
    String,
    TypeDecorator,
    and_,
    cast,
    collate,
    false,
    func,
    literal,
    not_,
    or_,
    true,
    type_coerce,
)

from layerkit.repository import Order, Specification
from layerkit.repository.evaluate import fold_ascii
from layerkit.repository.query import And, Comparison, Everything, Not, Operator, Or

Columns: TypeAlias = Mapping[str, Any]
"""The mapped attributes of an entity by field name."""

_FOLD: Final = (string.ascii_uppercase, string.ascii_lowercase)
MYSQL: Final = frozenset({"mysql", "mariadb"})


def condition(
    where: Specification, columns: Columns, dialect: str
) -> ColumnElement[bool]:
    """Return *where* as an SQL condition for the dialect of that name.

    Raises:
        TypeError: *where* is of a class that no operator of ours makes.
    """
    match where:
        case Comparison(name, operator, value):
            return _comparison(columns[name], operator, value, dialect)
        case And(parts):
            return and_(*(condition(part, columns, dialect) for part in parts))
        case Or(parts):
            return or_(*(condition(part, columns, dialect) for part in parts))
        case Not(part):
            return not_(condition(part, columns, dialect))
        case Everything():
            return true()
    raise TypeError(f"not a specification: {where!r}")


def ordering(
    orders: Sequence[Order], columns: Columns, nullable: Mapping[str, bool]
) -> list[ColumnElement[Any]]:
    """Return *orders* as SQL; a rank places the nulls, NULLS LAST being rare."""
    terms: list[ColumnElement[Any]] = []
    for order in orders:
        column = columns[order.field]
        if nullable[order.field]:
            rank = column.is_(None)
            terms.append(rank.desc() if order.nulls_first else rank.asc())
        terms.append(column.desc() if order.descending else column.asc())
    return terms


def _comparison(
    column: Any, operator: Operator, value: Any, dialect: str
) -> ColumnElement[bool]:
    result: ColumnElement[bool]
    exact = dialect in MYSQL and _is_text(value)
    match operator:
        case "null":
            result = _is_null(column)
        case "in":
            result = column.in_(value) if value else false()
            if exact:
                result &= cast(column, LargeBinary).in_(
                    [_bytes(v, column) for v in value]
                )
        case "eq" | "ne":
            result = column == value
            if exact:
                result &= cast(column, LargeBinary) == _bytes(value, column)
            result = result if operator == "eq" else not_(result)
        case "lt":
            result = column < value
        case "le":
            result = column <= value
        case "gt":
            result = column > value
        case "ge":
            result = column >= value
        case _:
            result = _search(column, operator, value, dialect)
    return result


def _search(
    column: Any, operator: Operator, text: str, dialect: str
) -> ColumnElement[bool]:
    found: ColumnElement[bool]
    subject: Any
    # What is stored is searched: a type of the user's own knows no pieces of values.
    column = type_coerce(column, String)
    folds = operator.startswith("i")
    place = operator.removeprefix("i")
    if not text:
        found = column == column  # every text has an empty one; a null is unknown  # noqa: PLR0124 - SQL's
    elif dialect in MYSQL:
        subject = collate(column, "utf8mb4_bin")
        found = subject.regexp_match(_regex(place, text, folds))
    elif dialect == "sqlite":
        # LIKE folds ASCII case on SQLite; lower() folds just that, so these are exact.
        subject = func.lower(column) if folds else column
        wanted = fold_ascii(text) if folds else text
        if place == "contains":
            found = func.instr(subject, wanted) > 0
        else:
            start = 1 if place == "startswith" else -len(text)
            found = func.substr(subject, start, len(text)) == wanted
    else:
        subject = func.translate(column, *_FOLD) if folds else column
        wanted = fold_ascii(text) if folds else text
        found = getattr(subject, place)(wanted, autoescape=True)
    return found


def _regex(place: str, text: str, folds: bool) -> str:
    body = "".join(
        f"[{c.lower()}{c.upper()}]"
        if folds and c in string.ascii_letters
        else re.escape(c)
        for c in text
    )
    if place == "startswith":
        return rf"\A{body}"
    return rf"{body}\z" if place == "endswith" else body


def _is_null(column: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column.is_(None)
    kind = column.type
    if isinstance(kind.impl if isinstance(kind, TypeDecorator) else kind, JSON):
        found |= cast(column, String) == "null"  # None is stored as JSON's own null
    return found


def _is_text(value: object) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return any(isinstance(item, str) for item in values)


def _bytes(value: str, column: Any) -> ColumnElement[Any]:
    return cast(literal(value, column.type), LargeBinary)
