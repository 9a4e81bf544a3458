"""Bounds of what callers may ask for; the same on every backend."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Say which page of a list is asked for, as ``paginate`` has it.

    Raises:
        UsageError: A bound is broken, *total* is none of those that there are, or there
            is an offset beside a cursor.
    """

    order_by: OrderBy
    size: int
    cursor: str | None
    offset: int | None
    total: Total

    def __post_init__(self) -> None:
        check_number("size", self.size, 1, MAX_LIMIT - 1)  # one more is read: has_next
        if self.offset is not None:
            check_number("offset", self.offset, 0)
            if self.cursor is not None:
                raise UsageError("a page begins at an offset or a cursor, not at both")
        if self.cap is not None:
            check_number("cap", self.cap, 1)
        elif self.total not in ("none", "exact"):
            raise UsageError(f'total is "none", "exact" or a cap, got {self.total!r}')

    @property
    def cap(self) -> int | None:
        """How many are counted at most; None for all, or where nobody counts."""
        total = self.total
        return None if isinstance(total, str | bool) else total


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
