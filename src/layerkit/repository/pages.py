"""One page of a list, and how it is made of rows and cursors."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final, Generic

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.repository.entities.fields import is_same
from layerkit.repository.filters.cursors import PagedList, Position, after, write_cursor
from layerkit.repository.filters.specification import Orders
from layerkit.repository.stores.backend import Backend
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
N_co = TypeVar("N_co", default=int | None, covariant=True)

_SORTED_ALIKE: Final = (int, Decimal, bytes, date, time, timedelta)


@dataclass(frozen=True, slots=True)
class Page(Generic[T, N_co]):
    """Hold the items of one page and where to go from it.

    ``Page[User]`` may have a total; ``Page[User, int]``, of a ``paginate`` that was
    asked for one, has it.

    Attributes:
        items: The entities of this page, at most ``size`` of them.
        total: How many there are on all pages; None where it was not asked for.
        has_next: True where at least one entity comes after this page; going back, the
            page that the cursor comes from counts for one.
        next_cursor: Opaque; pass it back for the page after, where pages go by cursor.
        previous_cursor: Opaque; pass it back for the page before.
    """

    items: list[T]
    total: N_co = None  # type: ignore[assignment] # the default goes with the default of N_co
    has_next: bool = False
    next_cursor: str | None = None
    previous_cursor: str | None = None


async def follow(
    backend: Backend[T],
    unit: Transaction,
    paged: PagedList,
    start: Position | None,
    limit: int,
) -> list[T]:
    """Return what follows *start*, nearest first; from the beginning where None."""
    where, orders = paged.where, paged.orders
    if start is not None:
        if start.backward:
            orders = tuple(order.reversed() for order in orders)
        fields = backend.adapter.fields.items()
        nullable = {name for name, info in fields if info.nullable}
        where &= after(orders, start, nullable)
    return await backend.find(unit, where, orders, 0, limit)


def past(
    paged: PagedList, start: Position | None, entity: object, *, backward: bool = False
) -> Position:
    """Return the position at *entity*, where a page ends that began at *start*.

    Raises:
        UsageError: It is not past *start*, so that the pages would never end.
    """
    position = Position(place(entity, paged.orders), backward)
    if start is None or _is_beyond(paged.orders, start, position):
        return position
    names = ", ".join(order.field for order in paged.orders)
    raise UsageError(
        f"a page of {paged.entity} by {names} would begin again where the one before "
        "began: the values are compared in another way than they are sorted, or were "
        "changed meanwhile; sort by another field"
    )


def _is_beyond(orders: Orders, start: Position, end: Position) -> bool:
    """Tell whether *end* is past *start*; databases sort texts in ways of their own."""
    if start.inclusive or start.backward != end.backward:
        return True
    for order, old, new in zip(orders, start.values, end.values, strict=True):
        if not is_same(old, new):
            is_known = isinstance(old, _SORTED_ALIKE) and isinstance(new, _SORTED_ALIKE)
            falls = order.descending != start.backward
            return not is_known or bool(new < old if falls else new > old)
    return False


def place(entity: object, orders: Orders) -> tuple[Any, ...]:
    """Return what *entity* is sorted by."""
    return tuple(getattr(entity, order.field) for order in orders)


def page_of(
    found: list[T],
    size: int,
    start: Position | None,
    paged: PagedList,
    key: Callable[[], bytes],
) -> Page[T]:
    """Return *found* as a page of *paged*, with cursors signed by *key*.

    Args:
        found: What follows *start*, one more than *size* where there is more.
        size: The most items on the page.
        start: Where the page begins; None at the beginning.
        paged: The list.
        key: Asked where there is a cursor to sign.
    """
    is_full = len(found) > size
    backward = start is not None and start.backward
    items = found[:size][::-1] if backward else found[:size]
    has_next = backward or is_full
    has_previous = is_full if backward else start is not None

    def mark(at: int, *, backward: bool) -> str:
        if start is not None and not items:  # all is gone that lay there: turn round
            position = Position(start.values, backward, inclusive=True)
        else:
            position = past(paged, start, items[at], backward=backward)
        return write_cursor(key(), position, paged)

    return Page(
        items,
        has_next=has_next,
        next_cursor=mark(-1, backward=False) if has_next else None,
        previous_cursor=mark(0, backward=True) if has_previous else None,
    )
