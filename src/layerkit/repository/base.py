"""BaseRepository: the six verbs that a backend writes, and the ones built on them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Generic, Literal, overload

from typing_extensions import TypeVar, override

from layerkit.core.errors import NotSupportedError, UsageError
from layerkit.repository.filters.aggregates import (
    AggregateRow,
    Aggregation,
    Groups,
    Names,
    asked,
)
from layerkit.repository.filters.bounds import (
    MAX_LIMIT,
    OrderBy,
    PageQuery,
    Total,
    check_bounds,
    check_expected,
    check_number,
    check_where,
    given_list,
    orders_of,
)
from layerkit.repository.filters.evaluate import sorted_by, truth_of
from layerkit.repository.filters.specification import ALL, Specification, comparisons
from layerkit.repository.options import OPTIONS, refusing
from layerkit.repository.pages import Page

T = TypeVar("T")
ID = TypeVar("ID", default=Any)

_BATCH: Final = 500


class BaseRepository(ABC, Generic[T, ID]):
    """Store entities of one class behind six verbs.

    A subclass writes the six; the rest is built on them, correct and slow, for what has
    no better way. A backend of layerkit's own replaces all of it.
    """

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let verbs that are written without options refuse these by name."""
        super().__init_subclass__(**kwargs)
        for name in OPTIONS.keys() & vars(cls).keys():
            setattr(cls, name, refusing(vars(cls)[name]))

    # The six that a backend writes

    @abstractmethod
    async def create(self, entity: T) -> T:
        """Store a new entity and return it with what the backend has generated."""

    @abstractmethod
    async def get_by_id(self, entity_id: ID) -> T | None:
        """Return the entity with this id, or None."""

    @abstractmethod
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[T]:
        """Return entities in the order of their keys, after the first *skip*."""

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

    # Reading

    async def get_many(self, ids: Iterable[ID]) -> list[T]:
        """Return the entities with these ids, in the order of *ids*.

        An id that there is no entity for is left out.
        """
        found = [await self.get_by_id(entity_id) for entity_id in given_list(ids)]
        return [entity for entity in found if entity is not None]

    @refusing
    async def find(
        self,
        where: Specification,
        order_by: OrderBy = (),
        skip: int = 0,
        limit: int = 100,
    ) -> list[T]:
        """Return what matches *where*, sorted; equal ones in the order of their keys.

        Args:
            where: The filter; ``ALL`` for every entity.
            order_by: ``field("name").asc()``, or several.
            skip: How many to skip, 0 or more.
            limit: The most to return, 1 to 10,000.

        Raises:
            UsageError: A field that the entity does not have, or a bound out of range.
        """
        check_bounds(skip, limit)
        return (await self._sorted(where, order_by))[skip : skip + limit]

    @refusing
    async def find_one(self, where: Specification) -> T | None:
        """Return the one entity that matches *where*, or None.

        Raises:
            UsageError: There are two or more, or an unknown field.
        """
        return only_one(await self.find(where, limit=2), type(self).__name__)

    async def count(self, where: Specification = ALL, *, cap: int | None = None) -> int:
        """Return how many entities match *where*.

        Args:
            where: The filter.
            cap: Stop counting there, so that a huge table stays cheap.
        """
        if cap is not None:
            check_number("cap", cap, 1)
        counted = 0
        async for _ in self._scan(where):
            counted += 1
            if counted == cap:
                break
        return counted

    async def aggregate(
        self,
        where: Specification = ALL,
        *,
        by: Names = (),
        count: bool = True,
        sum: Names = (),  # noqa: A002 - the verb's word
        min: Names = (),  # noqa: A002 - the verb's word
        max: Names = (),  # noqa: A002 - the verb's word
        avg: Names = (),
    ) -> list[AggregateRow]:
        """Return the figures of each group of what matches *where*.

        Nulls are as SQL has them: they are ignored, a sum or average of nothing is
        null, and null in *by* is a group of its own. Without *by* there is one row,
        always; with it there are none where nothing matches. Sums of integers and
        Decimals are exact, however great. An average is a float, of Decimals a Decimal
        of 28 digits or more.

        Args:
            where: The filter.
            by: The fields that entities of one group have in common: of any class but
                float, documents and collections. Texts count as different that differ
                in letter case or blanks. A bare text is one name, here and below.
            count: False asks for no number of entities.
            sum: The fields to add up: int, float or Decimal.
            min: The fields to take the smallest value of: numbers, texts by their code
                points, dates and times.
            max: The fields to take the greatest value of.
            avg: The fields to take the average of, as for *sum*.

        Returns:
            A row for each group, in the order of the values of *by*: nulls last, texts
            by their code points, members of an Enum as their class lists them.

        Raises:
            UsageError: An unknown field, one of another class, nothing to work out, or
                more than 10,000 groups.
            ValidationError: A sum is beyond what a float holds.
        """
        wanted = asked(by=by, count=count, sums=sum, least=min, most=max, means=avg)
        return await self._aggregate(where, wanted)

    async def _aggregate(
        self, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        groups = Groups(wanted, type(self).__name__)
        async for entity in self._scan(where):
            groups.add_row(_values(entity, wanted.fields))
        return groups.rows()

    @overload
    async def paginate(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        size: int = 50,
        cursor: str | None = None,
        offset: int | None = None,
        total: Literal["exact"] | int,
    ) -> Page[T, int]: ...

    @overload
    async def paginate(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        size: int = 50,
        cursor: str | None = None,
        offset: int | None = None,
        total: Total = "none",
    ) -> Page[T]: ...

    async def paginate(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        size: int = 50,
        cursor: str | None = None,
        offset: int | None = None,
        total: Total = "none",
    ) -> Page[T]:
        """Return one page of what matches *where*.

        Without *offset*, a repository with a home begins where the last page ended
        (keyset), so that it costs the same on every page, and rows that come or go
        meanwhile shift nothing. A cursor holds the values that its entity is sorted by,
        signed and readable.

        Args:
            where: The filter.
            order_by: The sorting; the key breaks ties, so pages never overlap.
            size: The most items on the page, 1 to 9,999.
            cursor: Where the page begins: ``next_cursor`` or ``previous_cursor`` of
                another page of the same list, of any size.
            offset: How many entities come before the page, where it has no cursor.
            total: ``"none"``, ``"exact"``, or a cap to count up to; asked for, the
                ``total`` of the page is an int, for type checkers too.

        Raises:
            UsageError: As for ``find``, or both *cursor* and *offset*.
            ValidationError: The cursor was changed, or has another filter, order, scope
                or secret.
            NotSupportedError: A cursor, where the repository has six verbs only.
        """
        return await self._page(where, PageQuery(order_by, size, cursor, offset, total))

    async def _page(self, where: Specification, asked: PageQuery) -> Page[T]:
        if asked.cursor is not None:
            raise self._lacks("pages by cursor")
        size, skip = asked.size, asked.offset or 0
        items = await self.find(where, asked.order_by, skip, size + 1)
        counted = None
        if asked.total != "none":
            counted = await self.count(where, cap=asked.cap)
        return Page(items[:size], total=counted, has_next=len(items) > size)

    async def stream(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        batch_size: int = 500,
    ) -> AsyncIterator[T]:
        """Yield everything that matches *where*, sorted, a batch at a time.

        Args:
            where: The filter.
            order_by: The sorting; equal ones come in the order of their keys.
            batch_size: How many are read at once, 1 to 10,000.

        Yields:
            The entities.
        """
        check_number("batch_size", batch_size, 1, MAX_LIMIT)
        for entity in await self._sorted(where, order_by):
            yield entity

    # Writing

    @overload
    async def create_many(
        self, items: Iterable[T], *, returning: Literal[False] = False
    ) -> int: ...

    @overload
    async def create_many(
        self, items: Iterable[T], *, returning: Literal[True]
    ) -> list[T]: ...

    async def create_many(
        self, items: Iterable[T], *, returning: bool = False
    ) -> int | list[T]:
        """Store new entities and return how many, or themselves; not atomic.

        Args:
            items: The entities.
            returning: True returns them as ``create`` does, in their order.
        """
        stored = [await self.create(item) for item in given_list(items)]
        return stored if returning else len(stored)

    async def update_where(
        self,
        where: Specification,
        update_data: dict[str, Any],
        *,
        expect: int | None = None,
    ) -> int:
        """Change every entity that matches *where* and return how many; not atomic.

        Args:
            where: The filter; ``ALL`` for every entity.
            update_data: As for ``update``.
            expect: How many it must be; the entities are counted before the first is
                changed.

        Raises:
            ConflictError: It is another number than *expect*; nothing is changed.
        """
        found = await self._expected(where, expect)
        changed = [await self.update(self.id_of(e), dict(update_data)) for e in found]
        return sum(entity is not None for entity in changed)

    async def delete_where(
        self, where: Specification, *, expect: int | None = None
    ) -> int:
        """Remove every entity that matches *where* and return how many; not atomic.

        Args:
            where: The filter; ``ALL`` for every entity.
            expect: How many it must be; the entities are counted before the first is
                removed.

        Raises:
            ConflictError: It is another number than *expect*; nothing is removed.
        """
        found = await self._expected(where, expect)
        return sum([await self.delete(self.id_of(entity)) for entity in found])

    async def upsert(self, entity: T, *, key: str | Iterable[str]) -> T:  # noqa: ARG002 - for subclasses
        """Store *entity*, or change the one that has its values of *key*.

        Raises:
            NotSupportedError: The repository has no atomic way to do that.
        """
        raise self._lacks("upsert")

    async def upsert_many(self, items: Iterable[T], *, key: str | Iterable[str]) -> int:  # noqa: ARG002 - for subclasses
        """Store or change entities by their values of *key*; return how many.

        Raises:
            NotSupportedError: The repository has no atomic way to do that.
        """
        raise self._lacks("upsert_many")

    # What the verbs are built on

    async def _expected(self, where: Specification, expect: int | None) -> list[T]:
        if expect is not None:
            check_number("expect", expect, 0)
        found = [entity async for entity in self._scan(where)]
        check_expected(len(found), expect)
        return found

    async def _sorted(self, where: Specification, order_by: OrderBy) -> list[T]:
        orders = orders_of(order_by)
        found = [entity async for entity in self._scan(where)]
        names = [order.field for order in orders]
        rows = sorted_by(({**_values(e, names), "": e} for e in found), orders)
        return [row[""] for row in rows]

    async def _scan(self, where: Specification) -> AsyncIterator[T]:
        """Yield what matches *where*, page by page until an empty one."""
        check_where(where)
        seen = 0
        names, is_meant = {test.field for test in comparisons(where)}, truth_of(where)
        while batch := await self.get_all(seen, _BATCH):
            seen += len(batch)
            for entity in batch:
                if is_meant(_values(entity, names)):
                    yield entity

    def _lacks(self, what: str) -> NotSupportedError:
        return NotSupportedError(
            f"{type(self).__name__} has no {what}: a BaseRepository writes six verbs; "
            "subclass Repository and give it a home to have the others"
        )


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


def _values(entity: object, names: Iterable[str]) -> dict[str, Any]:
    try:
        return {name: getattr(entity, name) for name in names}
    except AttributeError as error:
        name = type(entity).__name__
        raise UsageError(f"{name} has no field {error.name!r}") from error
