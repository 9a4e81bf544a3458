"""Specifications and orders over values in memory, with SQL's three-valued logic."""

import heapq
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeAlias

from layerkit.core.errors import UsageError
from layerkit.repository.filters.specification import (
    ORDERING,
    And,
    Comparison,
    Everything,
    Not,
    Operator,
    Or,
    Order,
    Orders,
    Specification,
)

Values: TypeAlias = Mapping[str, Any]
"""An entity's values by field name."""

Truth: TypeAlias = Callable[[Values], bool | None]
"""Tells whether values match; None where that is unknown."""

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
    """Tell whether *values* surely match *where*; unknown counts as no."""
    return truth_of(where)(values) is True


def truth_of(where: Specification) -> Truth:
    """Return *where* as a function of an entity's values.

    It returns True, False, or None for unknown, as SQL:2016 part 2, 6.39 has it, and
    raises UsageError where a value has no order, or is no text to be searched.

    Raises:
        TypeError: *where* is of a class that no operator of ours makes.
    """
    match where:
        case Comparison(name, operator, wanted):
            return _test(name, operator, wanted)
        case And(parts):
            return _joined([truth_of(part) for part in parts], decides=False)
        case Or(parts):
            return _joined([truth_of(part) for part in parts], decides=True)
        case Not(part):
            return _negated(truth_of(part))
        case Everything():
            return lambda _: True
    raise TypeError(f"not a specification: {where!r}")


def _joined(parts: Sequence[Truth], *, decides: bool) -> Truth:
    """Return what tells whether one of *parts* is what *decides*."""

    def truth(values: Values) -> bool | None:
        is_known = True
        for part in parts:
            found = part(values)
            if found is decides:
                return decides
            is_known = is_known and found is not None
        return not decides if is_known else None

    return truth


def _negated(part: Truth) -> Truth:
    def truth(values: Values) -> bool | None:
        found = part(values)
        return None if found is None else not found

    return truth


def _test(name: str, operator: Operator, wanted: Any) -> Truth:
    if operator == "null":
        return lambda values: values[name] is None
    if operator == "in":
        # An empty list has nothing that a null could equal.
        return lambda values: (
            None if wanted and values[name] is None else values[name] in wanted
        )
    test, is_search = _TESTS[operator], operator in _SEARCHES
    is_moment = isinstance(wanted, datetime)

    def truth(values: Values) -> bool | None:
        value = values[name]
        if value is None:
            return None
        if is_search and not isinstance(value, str):
            raise UsageError(
                f"{name} holds a {type(value).__name__}, which has no text to be "
                "searched"
            )
        try:
            if is_moment and isinstance(value, datetime):
                _ = value < wanted  # == takes one without a zone for another moment
            return test(value, wanted)
        except TypeError as error:
            raise UsageError(
                f"{name} holds values without an order: {error}",
                value=wanted,
                expected=f"in an order with what {name} holds",
            ) from error

    return truth


def sorted_by(
    rows: Iterable[Values], orders: Orders, limit: int | None = None
) -> list[Values]:
    """Return *rows* sorted by *orders*, the first of them deciding first.

    Args:
        rows: The values of entities.
        orders: What they are sorted by.
        limit: How many are enough, the first ones; None for all.

    Raises:
        UsageError: Values of a field have no order among each other.
    """
    result = list(rows)
    if orders and limit is not None:
        result = _may_be_first(result, orders[0], limit)
    for order in reversed(orders):  # the sort is stable, so the last key goes first
        nulls = [row for row in result if row[order.field] is None]
        filled = [row for row in result if row[order.field] is not None]
        with _refused(order.field):
            filled.sort(key=lambda row: row[order.field], reverse=order.descending)
        result = nulls + filled if order.nulls_first else filled + nulls
    return result[:limit]


def _may_be_first(rows: list[Values], order: Order, limit: int) -> list[Values]:
    """Return those of *rows* that may be among the first *limit* by *order*."""
    name, falls = order.field, order.descending
    values = [value for row in rows if (value := row[name]) is not None]
    if not limit or limit >= len(values):
        return rows
    with _refused(name):
        last = (heapq.nlargest if falls else heapq.nsmallest)(limit, values)[-1]
    return [
        row
        for row in rows
        if (value := row[name]) is None or (value >= last if falls else value <= last)
    ]


@contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except TypeError as error:
        raise UsageError(f"{name} holds values without an order: {error}") from error
