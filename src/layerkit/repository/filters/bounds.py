"""Bounds of what callers may ask for; the same on every backend."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from layerkit.core.errors import ConflictError, UsageError
from layerkit.repository.filters.specification import Order, Specification

MAX_LIMIT: Final = 10_000
"""The most entities that one call returns."""

_MOST: Final = 10**18  # what fits into the 64 bits of every database

OrderBy: TypeAlias = Order | Iterable[Order]
"""One order, or several of which the first decides first."""

Total: TypeAlias = Literal["none", "exact"] | int
"""Whether a page counts: not at all, exactly, or up to a cap (``1000`` or more)."""


def orders_of(order_by: OrderBy) -> tuple[Order, ...]:
    """Return *order_by* as a tuple of orders.

    Raises:
        UsageError: Something in it is not an order.
    """
    given: object = order_by
    orders = tuple(given) if isinstance(given, Iterable) else (given,)
    for order in orders:
        if not isinstance(order, Order):
            raise UsageError(
                f'order_by takes field("name").asc() or .desc(), got {order!r}'
            )
    return orders


def check_where(where: object) -> None:
    """Refuse what is no filter, None above all: nothing is taken to mean "all".

    Raises:
        UsageError: *where* is no Specification.
    """
    if not isinstance(where, Specification):
        raise UsageError(
            f"a filter is a Specification such as field(...) == ..., or ALL; "
            f"got {where!r}"
        )


def check_bounds(skip: int, limit: int) -> None:
    """Refuse a *skip* below 0 and a *limit* outside of 1 to 10,000.

    Raises:
        UsageError: With the bound that is broken.
    """
    check_number("skip", skip, 0)
    check_number("limit", limit, 1, MAX_LIMIT)


def check_page(size: int, offset: int | None, cursor: str | None) -> None:
    """Refuse what no page can be: its size is 1 to 9,999.

    Raises:
        UsageError: With the bound that is broken, or an offset beside a cursor.
    """
    check_number("size", size, 1, MAX_LIMIT - 1)  # one more is read, for has_next
    if offset is not None:
        check_number("offset", offset, 0)
    if offset is not None and cursor is not None:
        raise UsageError("a page begins at an offset or at a cursor, not at both")


def check_total(total: Total) -> int | None:
    """Return the cap in *total*, None without one.

    Raises:
        UsageError: It is neither "none", "exact" nor a cap.
    """
    if isinstance(total, int) and not isinstance(total, bool):
        check_number("cap", total, 1)
        return total
    if total not in ("none", "exact"):
        raise UsageError(f'total is "none", "exact" or a cap, got {total!r}')
    return None


def check_number(name: str, given: object, low: int, high: int | None = None) -> None:
    """Refuse a number outside of its bounds.

    Raises:
        UsageError: With its *name* and bounds.
    """
    most = _MOST if high is None else high
    number = None if isinstance(given, bool) or not isinstance(given, int) else given
    if number is None or not low <= number <= most:
        is_open = high is None and (number is None or number < low)
        bounds = f"{low} or more" if is_open else f"{low} to {most:,}"
        raise UsageError(
            f"{name} must be {bounds}, got {given!r}", value=given, expected=bounds
        )


def given_list(items: object) -> list[Any]:
    """Return *items* as a list.

    Raises:
        UsageError: They are None, one text, one mapping, or can't be iterated.
    """
    if not isinstance(items, Iterable) or isinstance(items, str | bytes | Mapping):
        raise UsageError(f"a list is needed, got {items!r}")
    return list(items)


def names_of(given: object) -> tuple[str, ...]:
    """Return *given*, the name of one field or several, as a tuple without doubles.

    Raises:
        UsageError: They are no list, or not all of them names.
    """
    names = [given] if isinstance(given, str) else given_list(given)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"fields are given by their names, got {names!r}")
    return tuple(dict.fromkeys(names))


def check_expected(found: int, expect: int | None) -> None:
    """Refuse to go on where *expect* is not the number of matches that were found.

    Raises:
        ConflictError: It is another number.
    """
    if expect is not None and found != expect:
        raise ConflictError(f"expected {expect} matches, found {found}", kind="count")
