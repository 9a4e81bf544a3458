"""Repository: one repository class for any home."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from functools import partial
from typing import Generic, Literal, overload

from typing_extensions import TypeVar, override

from layerkit.core.errors import AlreadyExistsError, ValidationError
from layerkit.repository.base import ID, T, only_one
from layerkit.repository.bound import BoundRepository
from layerkit.repository.entities.adapter import Data
from layerkit.repository.entities.checks import among, checked_figures, completed, keyed
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.filters.aggregates import AggregateRow, Aggregation
from layerkit.repository.filters.bounds import (
    MAX_LIMIT,
    OrderBy,
    PageQuery,
    check_bounds,
    check_number,
    given_list,
    names_of,
)
from layerkit.repository.filters.cursors import PagedList, Position, read_cursor
from layerkit.repository.filters.specification import ALL, Orders, Specification, field
from layerkit.repository.guards import explain, guard
from layerkit.repository.pages import Page, follow, page_of, past, place
from layerkit.repository.stores.backend import Lock, Upsert, Verb
from layerkit.repository.stores.memory import MemoryDatabase
from layerkit.unit_of_work import Transaction

R = TypeVar("R")


class Repository(BoundRepository[T, ID], Generic[T, ID]):
    """Store entities of one class in whatever home it is given.

    Subclass it with finders written in specifications; the same class serves a
    ``Database`` in production and a ``MemoryDatabase`` in a test::

        class UserRepository(Repository[User, int]):
            async def get_by_email(self, email: str) -> User | None:
                return await self.find_one(field("email") == email)

    Inside a unit of work of its home each verb joins it; outside, each verb is a unit
    of its own. For SQL of one's own, subclass ``layerkit.sql.SQLRepository``.

    Verbs that take an id are typed for ``entity.id`` of a class with
    ``id: int | None = None`` too; at run time None is a UsageError.

    Args:
        home: Where the entities live: a ``Database``, a ``MemoryDatabase``, a
            ``RedisDatabase``, or a session or session factory of SQLAlchemy; a
            synchronous one is driven by ``layerkit.sync``.
        model_class: The entity class, where neither the generic argument nor a class
            attribute ``model_class`` says it.

    Raises:
        UsageError: No entity class, or *home* is not a home.
    """

    # The verbs: one entity

    @override
    async def create(self, entity: T | Data) -> T:
        """Store a new entity and return it with what the backend has generated.

        Args:
            entity: An entity, or a schema or mapping to make one from.

        Raises:
            ValidationError: Unknown field, wrong type, a null where none may be, or
                outside of the repository's scope.
            AlreadyExistsError: The key or a unique rule is taken.
            ConflictError: It refers to something that is not there.
        """
        if self.scoped_by:
            self._check_scoped()
        new = self._scope.new(entity)
        insert = partial(self._backend.insert, entities=[new], returning=True)
        stored = await self._verb(
            "create", insert, writes=True, single="insert", given=new
        )
        return stored[0]

    @override
    async def get_by_id(
        self, entity_id: ID | None, *, lock: Lock | None = None
    ) -> T | None:
        """Return the entity with this id, or None.

        Args:
            entity_id: Which entity; a tuple where the key is composite.
            lock: Keep others from changing it until the open unit ends.

        Raises:
            UsageError: *entity_id* can't be an id of this entity, or *lock* outside of
                a unit of work.
            NotSupportedError: The home has no such lock.
            UnavailableError: Others hold the lock for too long.
        """
        found = await self._read("get_by_id", self._one(entity_id), (), 1, lock=lock)
        return found[0] if found else None

    @override
    async def update(
        self,
        entity_id: ID | None,
        update_data: Data,
        *,
        expected_version: int | None = None,
        when: Specification | None = None,
    ) -> T | None:
        """Change fields of the entity with this id and return it, or None.

        Args:
            entity_id: Which entity.
            update_data: A mapping, or a schema of which the set fields count. A value
                may be ``Inc(n)``.
            expected_version: The version that the caller has read.
            when: A guard: the entity is changed only where it holds, in one atomic
                step.

        Raises:
            ValidationError: Unknown, key or stamp field, one of the scope, wrong type,
                or a null where none may be.
            StaleDataError: The entity is there in another version.
            ConflictError: The entity is there and *when* does not hold.
            AlreadyExistsError: A unique rule is taken.
        """
        by_key, changes = self._one(entity_id), self._scope.changes(update_data)
        wanted = guard(self._adapter, expected_version, when)

        async def work(unit: Transaction) -> T | None:
            entity = await self._backend.change(unit, by_key & wanted, changes)
            if entity is None and wanted != ALL:
                await explain(self._backend, unit, by_key, expected_version)
            return entity

        return await self._verb(
            "update", work, writes=True, single="change", given=changes
        )

    @override
    async def delete(
        self,
        entity_id: ID | None,
        *,
        expected_version: int | None = None,
        when: Specification | None = None,
    ) -> bool:
        """Remove the entity with this id and tell whether there was one.

        An entity with a ``deleted_at`` is marked by it and hidden from then on;
        ``restore`` takes that back, ``with_deleted().delete`` removes for good.

        Args:
            entity_id: Which entity.
            expected_version: The version that the caller has read.
            when: A guard, as for ``update``.

        Raises:
            StaleDataError: The entity is there in another version.
            ConflictError: *when* does not hold, or something else refers to it.
        """
        by_key, mark = self._one(entity_id), self._scope.mark()
        wanted = guard(self._adapter, expected_version, when)

        async def work(unit: Transaction) -> bool:
            if mark is None:
                deleted = await self._backend.delete(unit, by_key & wanted) > 0
            else:
                marked = await self._backend.change(unit, by_key & wanted, mark)
                deleted = marked is not None
            if not deleted and wanted != ALL:
                await explain(self._backend, unit, by_key, expected_version)
            return deleted

        single: Verb = "delete" if mark is None else "change"
        return await self._verb("delete", work, writes=True, single=single, given=mark)

    async def restore(self, entity_id: ID | None) -> T | None:
        """Take back the soft deletion of the entity with this id, and return it.

        Returns:
            The entity, as it is where it was not deleted; None where it does not exist.

        Raises:
            AlreadyExistsError: Another entity has taken a unique value of it since.
            UsageError: The entity has no ``deleted_at``.
        """
        seen = self._scope.with_deleted("restore").seen
        everywhere = keyed(self._adapter, self._adapter.key_of(entity_id)) & seen
        mark = str(self._adapter.deleted)
        gone = field(mark).is_not_null()

        async def work(unit: Transaction) -> T | None:
            restored = await self._backend.change(unit, everywhere & gone, {mark: None})
            if restored is not None:
                return restored
            found = await self._backend.find(unit, everywhere, (), 0, 1)
            return found[0] if found else None

        return await self._verb(
            "restore", work, writes=True, single="change", given={mark: None}
        )

    @override
    async def exists(self, entity_id: ID | None) -> bool:
        """Tell whether there is an entity with this id."""
        by_key = self._one(entity_id)
        return await self._counted("exists", by_key, 1) > 0

    @override
    async def upsert(self, entity: T | Data, *, key: str | Iterable[str]) -> T:
        """Store *entity*, or change the one that has its values of *key*.

        That is one atomic step: of two at once, one stores and the other changes. What
        is there keeps its key and its stamps, and gets the fields that *entity* has
        set, as ``update`` would write them. A value may be ``Inc(n)``: it is added to
        what is there, and in a new entity to the default of the field, or to 0.

        Args:
            entity: An entity, of which every field that is set counts; a schema, of
                which the fields that were set count; or a mapping.
            key: The field, or fields, of the key or of a unique rule.

        Raises:
            UsageError: No unique rule covers *key*.
            ValidationError: As for ``create``, or a null in *key*.
            AlreadyExistsError: Another unique rule is taken, or the values of *key* are
                by an entity outside of the scope or soft-deleted.
            NotSupportedError: The mapping has rules that no single statement keeps.
        """
        if self.scoped_by:
            self._check_scoped()
        rule = self._adapter.rule_of(names_of(key))
        new = self._scope.upserts([entity], rule, takes_values=False)

        return (await self._upserted("upsert", new, rule, returning=True))[0]

    # The verbs: several entities

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[T]:
        """Return entities in the order of their keys, after the first *skip*.

        Raises:
            UsageError: *skip* is negative, or *limit* is not 1 to 10,000.
        """
        check_bounds(skip, limit)
        orders = completed(self._adapter, ())
        return await self._read("get_all", self._scope.seen, orders, limit, skip=skip)

    @override
    async def get_many(self, ids: Iterable[ID | None]) -> list[T]:
        keys = [self._adapter.key_of(entity_id) for entity_id in given_list(ids)]
        orders = completed(self._adapter, ())
        seen, wanted = self._scope.seen, list(dict.fromkeys(keys))
        size = MAX_LIMIT // len(self._adapter.key)

        async def work(unit: Transaction) -> list[T]:
            by_key: dict[KeyTuple, T] = {}
            for start in range(0, len(wanted), size):
                chunk = wanted[start : start + size]
                found = await self._backend.find(
                    unit, seen & among(self._adapter, chunk), orders, 0, len(chunk)
                )
                read = {place(entity, orders): entity for entity in found}
                by_key |= read
                if not read.keys() <= set(chunk):  # the home spells some otherwise
                    for key in set(chunk) - read.keys():
                        one = keyed(self._adapter, key) & seen
                        for entity in await self._backend.find(unit, one, (), 0, 1):
                            by_key[key] = entity
            return [by_key[key] for key in keys if key in by_key]

        single: Verb | None = "read" if len(wanted) <= size else None
        return await self._verb("get_many", work, single=single)

    @override
    async def find(
        self,
        where: Specification,
        order_by: OrderBy = (),
        skip: int = 0,
        limit: int = 100,
        *,
        lock: Lock | None = None,
    ) -> list[T]:
        """Return what matches *where*, sorted; equal ones in the order of their keys.

        Args:
            where: The filter; ``ALL`` for every entity.
            order_by: ``field("name").asc()``, or several.
            skip: How many to skip, 0 or more.
            limit: The most to return, 1 to 10,000.
            lock: Keep others from changing them until the open unit ends.

        Raises:
            UsageError: A field that the entity does not have, a bound out of range, or
                *lock* outside of a unit of work.
            NotSupportedError: The home has no such lock.
            UnavailableError: Others hold a lock for too long.
        """
        check_bounds(skip, limit)
        wanted, orders = self._scope.inside(where), completed(self._adapter, order_by)
        return await self._read("find", wanted, orders, limit, lock=lock, skip=skip)

    @override
    async def find_one(
        self, where: Specification, *, lock: Lock | None = None
    ) -> T | None:
        """Return the one entity that matches *where*, or None.

        Args:
            where: The filter.
            lock: As for ``find``.

        Raises:
            UsageError: There are two or more, or as for ``find``.
        """
        wanted, orders = self._scope.inside(where), completed(self._adapter, ())
        found = await self._read("find_one", wanted, orders, 2, lock=lock)
        return only_one(found, type(self).__name__)

    @override
    async def count(self, where: Specification = ALL, *, cap: int | None = None) -> int:
        if cap is not None:
            check_number("cap", cap, 1)
        return await self._counted("count", self._scope.inside(where), cap)

    @override
    async def _aggregate(
        self, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        known = checked_figures(self._adapter, wanted)
        scoped = self._scope.inside(where)
        aggregate = partial(self._backend.aggregate, where=scoped, wanted=known)
        return await self._verb("aggregate", aggregate, single="read", given=known)

    @override
    async def _page(self, where: Specification, asked: PageQuery) -> Page[T]:
        wanted = self._scope.inside(where)
        orders = completed(self._adapter, asked.order_by)
        paged = PagedList(self._adapter.name, wanted, orders)
        key, cursor = self._home.cursor_key, asked.cursor
        start = None if cursor is None else read_cursor(key(), cursor, paged)
        backend, size, offset = self._backend, asked.size, asked.offset

        async def work(unit: Transaction) -> Page[T]:
            if offset is None:
                found = await follow(backend, unit, paged, start, size + 1)
            else:
                found = await backend.find(unit, wanted, orders, offset, size + 1)
            page = page_of(found, size, start, paged, key)
            if offset is not None:
                page = replace(page, next_cursor=None, previous_cursor=None)
            if asked.total != "none":
                counted = await backend.count(unit, wanted, asked.cap)
                page = replace(page, total=counted)
            return page

        single: Verb | None = "read" if asked.total == "none" else None
        return await self._verb("paginate", work, single=single)

    @override
    async def stream(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        batch_size: int = 500,
    ) -> AsyncIterator[T]:
        """Yield everything that matches *where*, sorted, a batch at a time.

        Each batch begins where the last one ended; outside a unit of work it is read in
        a unit of its own, so that a long walk holds no transaction. Entities that come
        or move meanwhile may be seen or not; none is seen twice where what they are
        sorted by stays.

        Args:
            where: The filter.
            order_by: The sorting; equal ones come in the order of their keys.
            batch_size: How many are read at once, 1 to 10,000.

        Yields:
            The entities.
        """
        check_number("batch_size", batch_size, 1, MAX_LIMIT)
        wanted, orders = self._scope.inside(where), completed(self._adapter, order_by)
        paged = PagedList(self._adapter.name, wanted, orders)
        start: Position | None = None
        while True:
            batch = partial(
                follow, self._backend, paged=paged, start=start, limit=batch_size
            )
            items = await self._verb("stream", batch, single="read")
            if items:
                start = past(paged, start, items[-1])
            for entity in items:
                yield entity
            if len(items) < batch_size:
                return

    @overload
    async def create_many(
        self, items: Iterable[T | Data], *, returning: Literal[False] = False
    ) -> int: ...

    @overload
    async def create_many(
        self, items: Iterable[T | Data], *, returning: Literal[True]
    ) -> list[T]: ...

    @override
    async def create_many(
        self, items: Iterable[T | Data], *, returning: bool = False
    ) -> int | list[T]:
        """Store new entities, all or none, and return how many, or themselves.

        Args:
            items: Entities, schemas or mappings; all are checked before the first is
                stored.
            returning: True returns the entities in their order, each as ``create`` does
                it, and costs the reading back of what the database generates.

        Raises:
            ValidationError: As for ``create``.
            AlreadyExistsError: A key or a unique rule is taken, be it by another item.
        """
        self._check_scoped()
        takes_values = self._backend.takes_values and not returning
        new = self._scope.all_new(given_list(items), takes_values=takes_values)
        if not new:
            return [] if returning else 0
        insert = partial(self._backend.insert, entities=new, returning=returning)
        stored = await self._verb("create_many", insert, writes=True)
        return stored if returning else len(new)

    @override
    async def update_where(
        self, where: Specification, update_data: Data, *, expect: int | None = None
    ) -> int:
        """Change every entity that matches *where*, all or none, and return how many.

        Args:
            where: The filter; ``ALL`` for every entity.
            update_data: As for ``update``.
            expect: How many it must be.

        Raises:
            ValidationError: As for ``update``.
            AlreadyExistsError: A unique rule is taken.
            ConflictError: It is another number than *expect*; nothing is changed.
        """
        wanted, changes = self._scope.inside(where), self._scope.changes(update_data)
        backend = self._backend

        async def work(unit: Transaction) -> int:
            if changes:
                return await backend.update(unit, wanted, changes)
            return await backend.count(unit, wanted, None)

        return await self._expecting(
            "update_where", work, expect, single="update", given=changes
        )

    @override
    async def delete_where(
        self, where: Specification, *, expect: int | None = None
    ) -> int:
        """Remove every entity that matches *where*, all or none, and return how many.

        Entities with a ``deleted_at`` are marked by it, as ``delete`` does.

        Args:
            where: The filter; ``ALL`` for every entity.
            expect: How many it must be.

        Raises:
            ConflictError: It is another number than *expect*, or something else refers
                to one of them; nothing is removed.
        """
        wanted, mark = self._scope.inside(where), self._scope.mark()

        async def work(unit: Transaction) -> int:
            if mark is None:
                return await self._backend.delete(unit, wanted)
            return await self._backend.update(unit, wanted, mark)

        single: Verb = "delete" if mark is None else "update"
        return await self._expecting(
            "delete_where", work, expect, single=single, given=mark
        )

    @override
    async def upsert_many(
        self, items: Iterable[T | Data], *, key: str | Iterable[str]
    ) -> int:
        """Store or change entities by their values of *key*, all or none.

        Args:
            items: As for ``upsert``; all are checked before the first is stored.
            key: As for ``upsert``.

        Returns:
            How many there were.

        Raises:
            ValidationError: As for ``upsert``, or two items with the same *key*.
            AlreadyExistsError: As for ``upsert``; nothing is stored.
        """
        if self.scoped_by:
            self._check_scoped()
        rule = self._adapter.rule_of(names_of(key))
        takes_values = self._backend.takes_values
        new = self._scope.upserts(given_list(items), rule, takes_values=takes_values)
        if len({item.holds for item in new}) < len(new):
            raise ValidationError(
                f"two items have the same {', '.join(rule.fields)}", fields=rule.fields
            )

        if new:
            await self._upserted("upsert_many", new, rule, returning=False)
        return len(new)

    # What the verbs are built on

    async def _read(
        self,
        name: str,
        where: Specification,
        orders: Orders,
        limit: int,
        *,
        lock: Lock | None = None,
        skip: int = 0,
    ) -> list[T]:
        find = partial(
            self._backend.find,
            where=where,
            orders=orders,
            skip=skip,
            limit=limit,
            lock=lock,
        )
        return await self._verb(name, find, single="read", lock=lock)

    async def _counted(self, name: str, where: Specification, cap: int | None) -> int:
        count = partial(self._backend.count, where=where, cap=cap)
        return await self._verb(name, count, single="read")

    async def _upserted(
        self, name: str, items: list[Upsert[T]], rule: UniqueRule, *, returning: bool
    ) -> list[T]:
        async def work(unit: Transaction) -> list[T]:
            seen = self._scope.seen
            stored = await self._backend.upsert(
                unit, items, rule, seen, returning=returning
            )
            if stored is None:  # its caller can't see what is there
                raise AlreadyExistsError(constraint=rule.name, fields=rule.fields)
            return stored

        single: Verb | None = "upsert" if returning else None
        return await self._verb(
            name, work, writes=True, single=single, given=items[0], whole=not returning
        )


class InMemoryRepository(Repository[T, ID], Generic[T, ID]):
    """Store entities in memory: ``Repository`` with a ``MemoryDatabase`` of its own.

    Args:
        home: The database; left out, the repository makes one.
        model_class: The entity class, where the class itself does not say it.
    """

    def __init__(
        self, home: MemoryDatabase | None = None, model_class: type[T] | None = None
    ) -> None:
        super().__init__(home or MemoryDatabase(), model_class)
