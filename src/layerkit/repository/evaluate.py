"""Specifications and orders over values in memory, with SQL's three-valued logic."""

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from layerkit.core.errors import UsageError
from layerkit.repository.query import (
    ORDERING,
    And,
    Comparison,
    Everything,
    Not,
    Operator,
    Or,
    Order,
    Specification,
)

Values: TypeAlias = Mapping[str, Any]
"""An entity's values by field name."""

_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold_ascii(text: str) -> str:
    """Return *text* with its ASCII letters in lower case and all others as they are."""
    return text.translate(_FOLD)


_TESTS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "ne": lambda a, b: bool(a != b),
    "lt": lambda a, b: bool(a < b),
    "le": lambda a, b: bool(a <= b),
    "gt": lambda a, b: bool(a > b),
    "ge": lambda a, b: bool(a >= b),
    "contains": lambda a, b: b in a,
    "startswith": lambda a, b: a.startswith(b),
    "endswith": lambda a, b: a.endswith(b),
    "icontains": lambda a, b: fold_ascii(b) in fold_ascii(a),
    "istartswith": lambda a, b: fold_ascii(a).startswith(fold_ascii(b)),
    "iendswith": lambda a, b: fold_ascii(a).endswith(fold_ascii(b)),
}
_SEARCHES: Final = frozenset(_TESTS) - ORDERING - {"eq", "ne"}


def matches(where: Specification, values: Values) -> bool:
    """Tell whether *values* are surely meant by *where*; unknown counts as no."""
    return _truth(where, values) is True


def _truth(where: Specification, values: Values) -> bool | None:
    """Return True, False, or None for unknown, as SQL:2016 part 2, 6.39 has it.

    Raises:
        TypeError: *where* is of a class that no operator of ours makes.
        UsageError: A value has no order, or is no text to be searched.
    """
    match where:
        case Comparison(name, operator, wanted):
            return _compare(name, values[name], operator, wanted)
        case And(parts):
            truths = [_truth(part, values) for part in parts]
            if False in truths:
                return False
            return None if None in truths else True
        case Or(parts):
            truths = [_truth(part, values) for part in parts]
            if True in truths:
                return True
            return None if None in truths else False
        case Not(part):
            truth = _truth(part, values)
            return None if truth is None else not truth
        case Everything():
            return True
    raise TypeError(f"not a specification: {where!r}")


def _compare(name: str, value: Any, operator: Operator, wanted: Any) -> bool | None:
    if operator == "null":
        return value is None
    if operator == "in" and not wanted:
        return False  # an empty list has nothing that a null could equal
    if value is None:
        return None
    if operator == "in":
        return value in wanted
    if operator in _SEARCHES and not isinstance(value, str):
        raise UsageError(
            f"{name} holds a {type(value).__name__}, which has no text to be searched"
        )
    try:
        if isinstance(value, datetime) and isinstance(wanted, datetime):
            _ = value < wanted  # == alone takes one without a zone for another moment
        return _TESTS[operator](value, wanted)
    except TypeError as error:
        raise UsageError(
            f"{name} holds values without an order: {error}",
            value=wanted,
            expected=f"in an order with what {name} holds",
        ) from error


def sorted_by(rows: Iterable[Values], orders: Sequence[Order]) -> list[Values]:
    """Return *rows* sorted by *orders*, the first of them deciding first.

    Raises:
        UsageError: Values of a field have no order among each other.
    """
    result = list(rows)
    for order in reversed(orders):  # the sort is stable, so the last key goes first
        nulls = [row for row in result if row[order.field] is None]
        filled = [row for row in result if row[order.field] is not None]
        try:
            filled.sort(key=lambda row: row[order.field], reverse=order.descending)
        except TypeError as error:
            raise UsageError(
                f"{order.field} holds values without an order: {error}"
            ) from error
        result = nulls + filled if order.nulls_first else filled + nulls
    return result
