"""BaseRepository: the six verbs that a backend writes, and the reads built on them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeAlias

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.repository.evaluate import matches, sorted_by
from layerkit.repository.page import Page
from layerkit.repository.query import ALL, Order, Specification, comparisons

T = TypeVar("T")
ID = TypeVar("ID", default=Any)

OrderBy: TypeAlias = Order | Sequence[Order]
"""One order, or several of which the first decides first."""

Total: TypeAlias = Literal["none", "exact"] | int
"""Whether a page counts: not at all, exactly, or up to a cap (``1000`` or more)."""

MAX_LIMIT = 10_000
_BATCH = 500


class BaseRepository(ABC, Generic[T, ID]):
    """Store entities of one class behind six verbs.

    A subclass writes the six; the rest is built on them, correct and slow, for what has
    no better way. A backend of layerkit's own replaces all of it.
    """

    @abstractmethod
    async def create(self, entity: T) -> T:
        """Store a new entity and return it with what the backend has generated."""

    @abstractmethod
    async def get_by_id(self, entity_id: ID) -> T | None:
        """Return the entity with this id, or None."""

    @abstractmethod
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[T]:
        """Return entities in the order of their keys, *skip* passed over."""

    @abstractmethod
    async def update(self, entity_id: ID, update_data: dict[str, Any]) -> T | None:
        """Change fields of the entity with this id and return it, or None."""

    @abstractmethod
    async def delete(self, entity_id: ID) -> bool:
        """Remove the entity with this id and tell whether there was one."""

    @abstractmethod
    async def exists(self, entity_id: ID) -> bool:
        """Tell whether there is an entity with this id."""

    def id_of(self, entity: T) -> Any:
        """Return the id of *entity*: its attribute ``id``, unless overridden."""
        return getattr(entity, "id", None)

    async def find(
        self,
        where: Specification,
        order_by: OrderBy = (),
        skip: int = 0,
        limit: int = 100,
    ) -> list[T]:
        """Return what *where* means, sorted; equal ones in the order of their keys.

        Args:
            where: The filter; ``ALL`` for every entity.
            order_by: ``field("name").asc()``, or several.
            skip: How many to pass over, 0 or more.
            limit: The most to return, 1 to 10,000.

        Raises:
            UsageError: A field that the entity does not have, or a bound out of range.
        """
        check_bounds(skip, limit)
        found = [entity async for entity in self._scan(where)]
        rows = sorted_by(
            ({**_attributes(e, order_by), "": e} for e in found), orders_of(order_by)
        )
        return [row[""] for row in rows[skip : skip + limit]]

    async def find_one(self, where: Specification) -> T | None:
        """Return the one entity that *where* means, or None.

        Raises:
            UsageError: There are two or more, or an unknown field.
        """
        return only_one(await self.find(where, limit=2), type(self).__name__)

    async def count(self, where: Specification = ALL, *, cap: int | None = None) -> int:
        """Return how many entities *where* means.

        Args:
            where: The filter.
            cap: Stop counting there, so that a huge table stays cheap.
        """
        check_cap(cap)
        counted = 0
        async for _ in self._scan(where):
            counted += 1
            if counted == cap:
                break
        return counted

    async def paginate(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        size: int = 50,
        offset: int = 0,
        total: Total = "none",
    ) -> Page[T]:
        """Return one page of what *where* means.

        Args:
            where: The filter.
            order_by: The sorting; the key breaks ties, so pages never overlap.
            size: The most items on the page, 1 to 9,999.
            offset: How many entities come before the page.
            total: ``"none"``, ``"exact"``, or a cap to count up to.

        Raises:
            UsageError: As for ``find``.
        """
        check_page(offset, size)
        cap = check_total(total)
        items = await self.find(where, order_by, offset, size + 1)
        counted = None if total == "none" else await self.count(where, cap=cap)
        return Page(items[:size], total=counted, has_next=len(items) > size)

    async def _scan(self, where: Specification) -> AsyncIterator[T]:
        """Yield what *where* means, page by page until an empty one."""
        seen = 0
        while batch := await self.get_all(seen, _BATCH):
            seen += len(batch)
            for entity in batch:
                names = {test.field for test in comparisons(where)}
                if matches(where, {name: _attribute(entity, name) for name in names}):
                    yield entity


def only_one(found: list[T], name: str) -> T | None:
    """Return the one item of *found*, or None where it is empty.

    Raises:
        UsageError: There are several.
    """
    if len(found) > 1:
        raise UsageError(
            f"{name}.find_one(...) matches more than one entity: use find, or filter "
            "by a unique field"
        )
    return found[0] if found else None


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


def check_bounds(skip: int, limit: int) -> None:
    """Refuse a *skip* below 0 and a *limit* outside of 1 to 10,000.

    Raises:
        UsageError: With the bound that is broken.
    """
    _check_number("skip", skip, 0)
    _check_number("limit", limit, 1, MAX_LIMIT)


def check_page(offset: int, size: int) -> None:
    """Refuse an *offset* below 0 and a *size* outside of 1 to 9,999.

    Raises:
        UsageError: With the bound that is broken.
    """
    _check_number("offset", offset, 0)
    _check_number("size", size, 1, MAX_LIMIT - 1)  # one more is read, for has_next


def check_cap(cap: int | None) -> None:
    """Refuse a *cap* below 1.

    Raises:
        UsageError: The cap is 0 or negative.
    """
    if cap is not None:
        _check_number("cap", cap, 1)


def check_total(total: Total) -> int | None:
    """Return the cap in *total*, None where there is none.

    Raises:
        UsageError: It is neither "none", "exact" nor a cap.
    """
    if isinstance(total, int) and not isinstance(total, bool):
        check_cap(total)
        return total
    if total not in ("none", "exact"):
        raise UsageError(f'total is "none", "exact" or a cap, got {total!r}')
    return None


def _check_number(name: str, given: object, low: int, high: int | None = None) -> None:
    fits = (
        isinstance(given, int)
        and not isinstance(given, bool)
        and low <= given
        and (high is None or given <= high)
    )
    if not fits:
        bounds = f"{low} or more" if high is None else f"{low} to {high:,}"
        raise UsageError(f"{name} must be {bounds}, got {given!r}")


def _attribute(entity: object, name: str) -> Any:
    try:
        return getattr(entity, name)
    except AttributeError as error:
        raise UsageError(f"{type(entity).__name__} has no field {name!r}") from error


def _attributes(entity: object, order_by: OrderBy) -> Mapping[str, Any]:
    return {
        order.field: _attribute(entity, order.field) for order in orders_of(order_by)
    }
