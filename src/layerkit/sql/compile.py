"""Specifications and orders as SQL, the same answer on every server.

Texts compare case-sensitive everywhere; ``%`` and ``_`` are never wildcards. MariaDB
and MySQL compare by a collation that folds case and pads blanks, so an exact comparison
of the bytes is added to the one that can use an index.
"""

import operator as operator_of
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.types import TypeEngine

from layerkit.repository import And, Comparison, Everything, Not, Operator, Or, Order
from layerkit.repository.filters.specification import Specification
from layerkit.sql.dialects import Form, Server
from layerkit.sql.dialects.numbers import as_float
from layerkit.sql.forms import Compared, is_json

Columns: TypeAlias = Mapping[str, Compared]
"""The columns of an entity by field name."""

_ENDS: Final[Mapping[Any, bool]] = {
    **{date.min: False, date.max: True},
    **{datetime.min: False, datetime.max: True},  # noqa: DTZ901 - they are compared with times whose zone was taken off
}
"""The ends of all times, and whether one is the last."""

_MOST_PARTS: Final = 100
_SMALL_INTEGER: Final = 2**15
_BIG_INTEGER: Final = 2**63
_WIDER: Final = ((2**31, sa.Integer), (_BIG_INTEGER, sa.BigInteger))
_EQUALITY: Final = frozenset({"eq", "ne", "in"})
_OF_VALUES: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator_of.eq,
    "ne": operator_of.ne,
    "lt": operator_of.lt,
    "le": operator_of.le,
    "gt": operator_of.gt,
    "ge": operator_of.ge,
    "in": operator_of.contains,
}


def condition(where: Specification, columns: Columns) -> sa.ColumnElement[bool]:
    """Return *where* as an SQL condition for the server of *columns*.

    Raises:
        TypeError: *where* is of a class that no operator of ours makes.
    """
    match where:
        case Comparison(name, operator, value):
            return _comparison(columns[name], operator, value)
        case And(parts):
            return _joined(sa.and_, [condition(p, columns) for p in parts])
        case Or(parts):
            return _joined(sa.or_, [condition(p, columns) for p in parts])
        case Not(part):
            return sa.not_(condition(part, columns))
        case Everything():
            return sa.true()
    raise TypeError(f"not a specification: {where!r}")


def _joined(
    join: Callable[..., sa.ColumnElement[bool]], parts: list[sa.ColumnElement[bool]]
) -> sa.ColumnElement[bool]:
    """Join *parts*, many of them in groups: SQLite nests 1,000 at most."""
    while len(parts) > _MOST_PARTS:
        groups = range(0, len(parts), _MOST_PARTS)
        parts = [_grouped(join(*parts[at : at + _MOST_PARTS])) for at in groups]
    return join(*parts)


def _grouped(part: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return *part* in parentheses, which SQLAlchemy leaves out where it may."""
    return sa.type_coerce(Grouping(part), sa.Boolean())


def ordering(
    orders: Sequence[Order], columns: Columns, nullable: Mapping[str, bool]
) -> list[sa.ColumnElement[Any]]:
    """Return *orders* as SQL; a rank places the nulls, NULLS LAST being rare."""
    terms: list[sa.ColumnElement[Any]] = []
    for order in orders:
        compared = columns[order.field]
        if nullable[order.field]:
            rank = compared.column.is_(None)
            terms.append(rank.desc() if order.nulls_first else rank.asc())
        term = compared.as_text if compared.form is None else compared.form.read
        terms.append(term.desc() if order.descending else term.asc())
    return terms


def _comparison(
    compared: Compared, operator: Operator, value: Any
) -> sa.ColumnElement[bool]:
    column, server = compared.column, compared.server
    if compared.texts is not None and operator in _EQUALITY:
        return _among_texts(compared, operator, value, compared.texts)
    if compared.form is not None and operator in _OF_VALUES:
        return _as_read(column, compared.form, operator, value)
    if server.has_infinite_times and (rest := _without_ends(value)) is not None:
        return _with_ends(column, operator, value, rest)
    return _compared(compared, operator, value)


def _among_texts(
    compared: Compared, operator: Operator, value: Any, texts: Sequence[str]
) -> sa.ColumnElement[bool]:
    """Compare with those of *texts*; one that the Enum does not have finds no row."""
    result: sa.ColumnElement[bool]
    column, given = compared.column, value if operator == "in" else (value,)
    known = tuple(text for text in given if text in texts)
    if given and not known:  # which is no row; of a null it is unknown
        result = column == column if operator == "ne" else column != column  # noqa: PLR0124 - true or false of a row, and unknown of a null
        return result
    return _compared(compared, operator, known if operator == "in" else value)


def _compared(
    compared: Compared, operator: Operator, value: Any
) -> sa.ColumnElement[bool]:
    result: sa.ColumnElement[bool]
    column, server = compared.column, compared.server
    exact = compared.folds and _has_text(value)
    sent = None if value is None else _sent(column, value, server)
    match operator:
        case "null":
            result = _is_null(column)
        case "in":
            result = column.in_(sent) if value else sa.false()
            if exact:
                result &= sa.cast(column, sa.LargeBinary).in_(
                    [_bytes(v, column) for v in value]
                )
        case "eq" | "ne":
            result = column == sent
            if exact:
                result &= sa.cast(column, sa.LargeBinary) == _bytes(value, column)
            result = result if operator == "eq" else sa.not_(result)
        case "lt" | "le" | "gt" | "ge":
            subject = compared.as_text
            if subject is not column:  # the key, which a stream goes by
                sent = sa.cast(sa.literal(value, column.type), sa.Text)
            result = _OF_VALUES[operator](subject, sent)
        case _:
            result = _search(compared, operator, value)
    return result


def _without_ends(value: Any) -> list[Any] | None:
    """Return those of *value* that are no end of all times; None where none is one."""
    values = value if isinstance(value, tuple) else (value,)
    rest = [v for v in values if not (isinstance(v, date) and _naive(v) in _ENDS)]
    return rest if len(rest) < len(values) else None


def _naive(value: date) -> date:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _with_ends(
    column: Any, operator: Operator, value: Any, rest: list[Any]
) -> sa.ColumnElement[bool]:
    """Compare with the first or the last time that Python has.

    The driver takes these for infinities, and reads infinities as them.
    """
    if operator == "in":
        ends = [_with_ends(column, "eq", v, []) for v in value if v not in rest]
        return sa.or_(column.in_(rest), *ends) if rest else sa.or_(*ends)
    end = sa.cast(sa.literal(value.isoformat(), sa.String), column.type)
    is_last, compare = _ENDS[_naive(value)], _OF_VALUES[operator]
    there: sa.ColumnElement[bool] = column >= end if is_last else column <= end
    holds_there, holds_elsewhere = compare(0, 0), compare(-1 if is_last else 1, 0)
    if holds_there == holds_elsewhere:  # of every time, or of none; a null is unknown
        return (sa.or_ if holds_there else sa.and_)(there, sa.not_(there))
    return there if holds_there else sa.not_(there)


def _as_read(
    column: Any, form: Form, operator: Operator, value: Any
) -> sa.ColumnElement[bool]:
    """Compare what is read of *column*, and let an index narrow the rows before."""
    found: sa.ColumnElement[bool]
    if operator == "in":
        given = [form.given(one) for one in value]
        found = form.read.in_(given) if given else sa.false()
        return found
    found = _OF_VALUES[operator](form.read, form.given(value))
    if form.bounds is None or operator == "ne":
        return found
    low, high = form.bounds(value)
    if operator in {"eq", "gt", "ge"}:
        found &= column >= low
    if operator in {"eq", "lt", "le"}:
        found &= column <= high
    return found


def _sent(column: Any, value: Any, server: Server) -> Any:
    """Return *value*, one or a tuple of them, as parameters that arrive as they are.

    A driver that makes them fit the column takes a number beyond it for an error and
    rounds a decimal; another one takes no integer of more than 64 bits.
    """
    several = isinstance(value, tuple)
    values = value if several else (value,)
    kind: TypeEngine[Any] | None = None
    if isinstance(value, bool):
        kind = column.type  # else it is SQL's own TRUE, which has no order
    elif isinstance(column.type, sa.Float):
        values = tuple(map(as_float, values))
    elif isinstance(column.type, sa.Integer):
        widest = max(map(abs, values), default=0)
        if server.types_numbers and widest >= _SMALL_INTEGER:
            found = (kind for end, kind in _WIDER if widest < end)
            kind = next(found, sa.Numeric)()
        elif server.has_64_bits and widest >= _BIG_INTEGER:
            values = tuple(map(_bounded, values))
    elif isinstance(column.type, sa.Numeric) and server.types_numbers:
        kind = sa.Numeric()
        values = tuple(Decimal(str(v)) if isinstance(v, float) else v for v in values)
    sent = values if several else values[0]
    return sent if kind is None else sa.bindparam(None, sent, kind, expanding=several)


def is_sent_whole(compared: Compared, value: Any) -> bool:
    """Tell whether ``column = value`` means just *value*, without more care."""
    if compared.form is not None or (compared.folds and _has_text(value)):
        return False
    is_known = compared.texts is None or value in compared.texts
    return is_known and _sent(compared.column, value, compared.server) is value


def _bounded(value: int) -> int | float:
    """Return a number beyond all of 64 bits for any that is."""
    if -_BIG_INTEGER <= value < _BIG_INTEGER:
        return value
    return 2.0 * _BIG_INTEGER if value > 0 else -2.0 * _BIG_INTEGER


def _search(
    compared: Compared, operator: Operator, text: str
) -> sa.ColumnElement[bool]:
    # What is stored is searched: a type of the user's own knows no pieces of values.
    column = sa.type_coerce(compared.as_text, sa.String)
    if not text:  # every text has an empty one; a null is unknown
        result: sa.ColumnElement[bool] = column == column  # noqa: PLR0124 - in SQL, unknown of a null
        return result
    return compared.server.search(
        column, operator.removeprefix("i"), text, operator.startswith("i")
    )


def _is_null(column: Any) -> sa.ColumnElement[bool]:
    found: sa.ColumnElement[bool] = column.is_(None)
    if is_json(column.type):  # None is stored as JSON's own null
        found |= sa.cast(column, sa.String) == "null"
    return found


def _has_text(value: object) -> bool:
    """Tell whether *value* is a text, or several of which one is.

    A UUID may be given as a text and is not one: MariaDB keeps it in 16 bytes.
    """
    values = value if isinstance(value, tuple) else (value,)
    return any(isinstance(item, str) for item in values)


def _bytes(value: str, column: Any) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(value, column.type), sa.LargeBinary)
