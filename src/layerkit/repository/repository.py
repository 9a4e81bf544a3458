"""Repository: one repository class for any home."""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Self, get_args, get_origin

from typing_extensions import TypeVar, override

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    StaleDataError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository.backend import Backend, Lock, Upsert
from layerkit.repository.base import ID, BaseRepository, T, only_one
from layerkit.repository.bounds import (
    MAX_LIMIT,
    OrderBy,
    Total,
    check_bounds,
    check_expected,
    check_number,
    check_page,
    check_total,
    check_where,
    given_list,
    orders_of,
)
from layerkit.repository.cursors import (
    PagedList,
    Position,
    beyond,
    read_cursor,
    write_cursor,
)
from layerkit.repository.entities import Data, EntityAdapter
from layerkit.repository.fields import KeyTuple, UniqueRule, type_name
from layerkit.repository.homes import Home, SessionSource, home_of
from layerkit.repository.page import Page
from layerkit.repository.query import (
    ALL,
    And,
    Choices,
    Comparison,
    Or,
    Order,
    Specification,
    comparisons,
)
from layerkit.repository.registry import adapter_for
from layerkit.repository.scope import Scope, pinned
from layerkit.unit_of_work import EventSink, UnitOfWork

R = TypeVar("R")

_MOST_VALUES = 30_000  # what PostgreSQL and SQLite take in one statement, and some room


class Repository(BaseRepository[T, ID], Generic[T, ID]):
    """Store entities of one class in whatever home it is given.

    Subclass it with finders written in specifications; the same class serves a
    ``Database`` in production and a ``MemoryDatabase`` in a test::

        class UserRepository(Repository[User, int]):
            async def get_by_email(self, email: str) -> User | None:
                return await self.find_one(field("email") == email)

    Inside a unit of work of its home each verb joins it; outside, each verb is a unit
    of its own. For SQL of one's own, subclass ``layerkit.sql.SQLRepository``.

    Args:
        home: Where the entities live: a ``Database``, a ``MemoryDatabase``, a
            ``RedisDatabase``, an AsyncSession or an async_sessionmaker.
        model_class: The entity class, where neither the generic argument nor a class
            attribute ``model_class`` says it.

    Raises:
        UsageError: No entity class, or *home* is none.
    """

    model_class: type[T]
    _declared: ClassVar[type | None] = None

    scoped_by: ClassVar[tuple[str, ...]] = ()
    """Fields, such as the tenant's, that ``scoped`` must have set before any verb."""

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared = _generic_argument(cls) or cls._declared

    def __init__(
        self, home: Home | SessionSource, model_class: type[T] | None = None
    ) -> None:
        declared = getattr(self, "model_class", None) or self._declared
        chosen = model_class or declared
        if chosen is None:
            name = type(self).__name__
            raise UsageError(
                f"{name} does not know its entity: subclass {name}[User, int], set "
                f"model_class, or pass it: {name}(home, User)"
            )
        self.model_class = chosen
        self._home = home_of(home)
        self._adapter: EntityAdapter[T] = adapter_for(chosen)
        self._backend: Backend[T] = self._home.backend(self._adapter)
        self._scope: Scope[T] = Scope(self._adapter)

    @property
    def home(self) -> Home:
        """Where the entities live; what shares a home shares its units of work."""
        return self._home

    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        """Return a unit of work of this repository's home.

        Args:
            events: Where ``emit`` sends events: a bus, or an outbox.
            read_only: True refuses writing verbs; on SQLite it takes no write lock.
        """
        return self._home.unit_of_work(events=events, read_only=read_only)

    @override
    def id_of(self, entity: T) -> Any:
        """Return the id of *entity*; a tuple where the key is composite."""
        return self._adapter.id_of(entity)

    # Views

    def scoped(
        self,
        where: Specification = ALL,
        defaults: Mapping[str, object] | None = None,
    ) -> Self:
        """Return a view that every verb obeys: what *where* does not mean is not there.

        New entities get *defaults*, and what *where* demands to be equal to a value;
        one that lies outside of the view is refused. No update through it, nor of a
        tracked entity from it, writes the fields that the view names::

            orders = OrderRepository(database).scoped(field("tenant_id") == tenant_id)

        Args:
            where: What can be seen.
            defaults: Values for fields that new entities leave out.

        Raises:
            UsageError: An unknown field, a value of None, or one that contradicts the
                view that this one is made from.
        """
        return self._view(self._scope.narrowed(self._checked(where), defaults))

    def with_deleted(self) -> Self:
        """Return a view in which soft-deleted entities are like all others.

        ``delete`` removes for good there.

        Raises:
            UsageError: The entity has no ``deleted_at``.
        """
        self._check_soft("with_deleted")
        return self._view(self._scope.with_deleted())

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
        self._check_scoped()
        new = self._scope.new(entity)
        return await self._one("create", lambda: self._backend.create(new), writes=True)

    @override
    async def get_by_id(self, entity_id: ID, *, lock: Lock | None = None) -> T | None:
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
        key = self._adapter.key_of(entity_id)
        self._check_lock(lock)
        return await self._one(
            "get_by_id", lambda: self._backend.get(key, self._scope.seen, lock)
        )

    @override
    async def update(
        self,
        entity_id: ID,
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
        key = self._adapter.key_of(entity_id)
        changes = self._scope.changes(update_data)
        guard = self._guard(expected_version, when)

        async def work() -> T | None:
            found = self._scope.seen & guard
            entity = await self._backend.update(key, changes, found)
            if entity is None and guard != ALL:
                await self._explain(key, expected_version)
            return entity

        return await self._one("update", work, writes=True)

    @override
    async def delete(
        self,
        entity_id: ID,
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
        key = self._adapter.key_of(entity_id)
        guard = self._guard(expected_version, when)
        mark = self._mark()

        async def work() -> bool:
            found = self._scope.seen & guard
            if mark is None:
                deleted = await self._backend.delete(key, found)
            else:
                deleted = await self._backend.update(key, mark, found) is not None
            if not deleted and guard != ALL:
                await self._explain(key, expected_version)
            return deleted

        return await self._verb("delete", work, writes=True)

    async def restore(self, entity_id: ID) -> T | None:
        """Take back the soft deletion of the entity with this id, and return it.

        Returns:
            The entity, as it is where it was not deleted; None where there is none.

        Raises:
            AlreadyExistsError: Another entity has taken a unique value of it since.
            UsageError: The entity has no ``deleted_at``.
        """
        self._check_soft("restore")
        key = self._adapter.key_of(entity_id)
        everywhere = self._scope.with_deleted().seen
        mark = str(self._adapter.deleted)
        gone = ~Comparison(mark, "null")

        async def work() -> T | None:
            restored = await self._backend.update(key, {mark: None}, everywhere & gone)
            return restored or await self._backend.get(key, everywhere)

        return await self._one("restore", work, writes=True)

    @override
    async def exists(self, entity_id: ID) -> bool:
        """Tell whether there is an entity with this id."""
        key = self._adapter.key_of(entity_id)
        return await self._verb(
            "exists", lambda: self._backend.exists(key, self._scope.seen)
        )

    @override
    async def upsert(self, entity: T | Data, *, key: str | Iterable[str]) -> T:
        """Store *entity*, or change the one that has its values of *key*.

        That is one atomic step: of two at once, one stores and the other changes. What
        is there keeps its key and its stamps, and gets the fields that *entity* has
        set, as ``update`` would write them.

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
        self._check_scoped()
        rule = self._adapter.rule_of(_names(key))
        item = self._upsert(entity, rule)

        async def work() -> T:
            stored = await self._backend.upsert(item, rule, self._scope.seen)
            if stored is None:
                raise _hidden(rule)
            return stored

        return await self._one("upsert", work, writes=True)

    # The verbs: several entities

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[T]:
        """Return entities in the order of their keys, *skip* passed over.

        Raises:
            UsageError: *skip* is negative, or *limit* is not 1 to 10,000.
        """
        check_bounds(skip, limit)
        orders = self._orders(())
        return await self._list(
            "get_all",
            lambda: self._backend.find(self._scope.seen, orders, skip, limit),
        )

    @override
    async def get_many(self, ids: Iterable[ID]) -> list[T]:
        keys = [self._adapter.key_of(entity_id) for entity_id in given_list(ids)]
        orders = self._orders(())
        wanted = list(dict.fromkeys(keys))
        size = MAX_LIMIT // len(self._adapter.key)

        async def work() -> list[T]:
            by_key: dict[KeyTuple, T] = {}
            for start in range(0, len(wanted), size):
                chunk = wanted[start : start + size]
                found = await self._backend.find(
                    self._scope.seen & self._among(chunk), orders, 0, len(chunk)
                )
                by_key |= {self._key(entity): entity for entity in found}
            return [by_key[key] for key in keys if key in by_key]

        return await self._list("get_many", work)

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
        """Return what *where* means, sorted; equal ones in the order of their keys.

        Args:
            where: The filter; ``ALL`` for every entity.
            order_by: ``field("name").asc()``, or several.
            skip: How many to pass over, 0 or more.
            limit: The most to return, 1 to 10,000.
            lock: Keep others from changing them until the open unit ends.

        Raises:
            UsageError: A field that the entity does not have, a bound out of range, or
                *lock* outside of a unit of work.
            NotSupportedError: The home has no such lock.
            UnavailableError: Others hold a lock for too long.
        """
        check_bounds(skip, limit)
        wanted, orders = self._seen(where), self._orders(order_by)
        self._check_lock(lock)
        return await self._list(
            "find", lambda: self._backend.find(wanted, orders, skip, limit, lock)
        )

    @override
    async def find_one(
        self, where: Specification, *, lock: Lock | None = None
    ) -> T | None:
        """Return the one entity that *where* means, or None.

        Args:
            where: The filter.
            lock: As for ``find``.

        Raises:
            UsageError: There are two or more, or as for ``find``.
        """
        wanted, orders = self._seen(where), self._orders(())
        self._check_lock(lock)
        found = await self._list(
            "find_one", lambda: self._backend.find(wanted, orders, 0, 2, lock)
        )
        return only_one(found, type(self).__name__)

    @override
    async def count(self, where: Specification = ALL, *, cap: int | None = None) -> int:
        if cap is not None:
            check_number("cap", cap, 1)
        wanted = self._seen(where)
        return await self._verb("count", lambda: self._backend.count(wanted, cap))

    @override
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
        """Return one page of what *where* means.

        Without *offset* it begins where the last page ended (keyset), so that it costs
        the same on every page, and rows that come or go meanwhile shift nothing. A
        cursor holds the values that its entity is sorted by, signed and readable.

        Args:
            where: The filter.
            order_by: The sorting; the key breaks ties, so pages never overlap.
            size: The most items on the page, 1 to 9,999.
            cursor: Where the page begins: ``next_cursor`` or ``previous_cursor`` of
                another page of the same list, of any size.
            offset: How many entities come before the page, where it has no cursor.
            total: ``"none"``, ``"exact"``, or a cap to count up to.

        Raises:
            UsageError: As for ``find``, or both *cursor* and *offset*.
            ValidationError: The cursor was changed, or has another filter, order, scope
                or secret.
        """
        check_page(size, offset, cursor)
        cap = check_total(total)
        wanted, orders = self._seen(where), self._orders(order_by)
        paged = PagedList(self._adapter.name, wanted, orders)
        start = (
            None
            if cursor is None
            else read_cursor(self._home.cursor_key(), cursor, paged)
        )

        async def work() -> Page[T]:
            if start is None:
                found = await self._backend.find(wanted, orders, offset or 0, size + 1)
            else:
                found = await self._neighbours(wanted, orders, start, size + 1)
            counted = (
                None if total == "none" else await self._backend.count(wanted, cap)
            )
            page = self._page(found, size, start, paged)
            if offset is not None:
                page = replace(page, next_cursor=None, previous_cursor=None)
            return replace(page, total=counted)

        page = await self._verb("paginate", work)
        self._confine(page.items)
        return page

    @override
    async def stream(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        batch_size: int = 500,
    ) -> AsyncIterator[T]:
        """Yield everything that *where* means, sorted, a batch at a time.

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
        wanted, orders = self._seen(where), self._orders(order_by)
        start: Position | None = None
        while True:
            items = await self._list(
                "stream",
                lambda at=start: self._neighbours(wanted, orders, at, batch_size),  # type: ignore[misc] # mypy can't infer a lambda with a default
            )
            if items:
                start = Position(_place(items[-1], orders))
            for entity in items:
                yield entity
            if len(items) < batch_size:
                return

    @override
    async def create_many(self, items: Iterable[T | Data]) -> int:
        """Store new entities, all or none, and return how many.

        What the database generates is not read back: give keys on the client's side,
        by ``UUIDKeyMixin``, say, where they are needed.

        Args:
            items: Entities, schemas or mappings; all are checked before the first is
                stored.

        Raises:
            ValidationError: As for ``create``.
            AlreadyExistsError: A key or a unique rule is taken, be it by another item.
        """
        self._check_scoped()
        takes_values, entity = self._backend.takes_values, self._adapter.entity
        new = [
            self._scope.new_values(item)
            if takes_values and not isinstance(item, entity)
            else self._scope.new(item)
            for item in given_list(items)
        ]
        if new:
            await self._verb(
                "create_many", lambda: self._backend.create_many(new), writes=True
            )
        return len(new)

    @override
    async def update_where(
        self,
        where: Specification,
        update_data: Data,
        *,
        expect: int | None = None,
    ) -> int:
        """Change every entity that *where* means, all or none, and return how many.

        Args:
            where: The filter; ``ALL`` for every entity.
            update_data: As for ``update``.
            expect: How many it must be.

        Raises:
            ValidationError: As for ``update``.
            AlreadyExistsError: A unique rule is taken.
            ConflictError: It is another number than *expect*; nothing is changed.
        """
        wanted, changes = self._seen(where), self._scope.changes(update_data)
        if not changes:
            return await self._counted("update_where", wanted, expect)
        return await self._expecting(
            "update_where", lambda: self._backend.update_where(wanted, changes), expect
        )

    @override
    async def delete_where(
        self, where: Specification, *, expect: int | None = None
    ) -> int:
        """Remove every entity that *where* means, all or none, and return how many.

        Entities with a ``deleted_at`` are marked by it, as ``delete`` does.

        Args:
            where: The filter; ``ALL`` for every entity.
            expect: How many it must be.

        Raises:
            ConflictError: It is another number than *expect*, or something else refers
                to one of them; nothing is removed.
        """
        wanted, mark = self._seen(where), self._mark()

        async def work() -> int:
            if mark is None:
                return await self._backend.delete_where(wanted)
            return await self._backend.update_where(wanted, mark)

        return await self._expecting("delete_where", work, expect)

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
        self._check_scoped()
        rule = self._adapter.rule_of(_names(key))
        new = [self._upsert(item, rule) for item in given_list(items)]
        held = [tuple(getattr(i.entity, n) for n in rule.fields) for i in new]
        if len(set(held)) < len(held):
            raise ValidationError(
                f"two items have the same {', '.join(rule.fields)}", fields=rule.fields
            )

        async def work() -> None:
            if not await self._backend.upsert_many(new, rule, self._scope.seen):
                raise _hidden(rule)

        if new:
            await self._whole(lambda: self._verb("upsert_many", work, writes=True))
        return len(new)

    # What the verbs stand on

    async def _verb(
        self, name: str, work: Callable[[], Awaitable[R]], *, writes: bool = False
    ) -> R:
        """Run *work* in the open unit, or in one of its own."""
        self._check_scoped()
        transaction = self._home.transaction()
        if transaction is None:
            return await self._home.alone(
                lambda: self._verb(name, work, writes=writes), writes=writes
            )
        label = f"{type(self).__name__}.{name}"
        return await self._backend.run(transaction, label, work, writes=writes)

    async def _one(
        self, name: str, work: Callable[[], Awaitable[R]], *, writes: bool = False
    ) -> R:
        """Run *work*, which returns an entity or None."""
        entity = await self._verb(name, work, writes=writes)
        if isinstance(entity, self._adapter.entity):
            self._confine([entity])
        return entity

    async def _list(self, name: str, work: Callable[[], Awaitable[list[T]]]) -> list[T]:
        found = await self._verb(name, work)
        self._confine(found)
        return found

    def _confine(self, entities: Iterable[T]) -> None:
        """Let tracked entities keep what the scope has set."""
        if self._scope.fields and self._home.transaction() is not None:
            for entity in entities:
                self._backend.confine(entity, self._scope.fields)

    async def _whole(self, work: Callable[[], Awaitable[R]]) -> R:
        """Run *work* so that its error undoes just what it has done."""
        self._check_scoped()
        transaction = self._home.transaction()
        if transaction is None:
            return await self._home.alone(work, writes=True)
        async with transaction.savepoint():
            return await work()

    async def _expecting(
        self, name: str, work: Callable[[], Awaitable[int]], expect: int | None
    ) -> int:
        """Run *work*, and undo it where it has met another number than *expect*."""
        if expect is None:
            return await self._verb(name, work, writes=True)
        check_number("expect", expect, 0)

        async def checked() -> int:
            found = await self._verb(name, work, writes=True)
            check_expected(found, expect)
            return found

        return await self._whole(checked)

    async def _counted(
        self, name: str, where: Specification, expect: int | None
    ) -> int:
        found = await self._verb(
            name, lambda: self._backend.count(where, None), writes=True
        )
        check_expected(found, expect)
        return found

    async def _neighbours(
        self,
        where: Specification,
        orders: tuple[Order, ...],
        start: Position | None,
        limit: int,
    ) -> list[T]:
        """Return what follows *start*, nearest first; from the beginning where None."""
        if start is None:
            return await self._backend.find(where, orders, 0, limit)
        if start.backward:
            orders = tuple(order.reversed() for order in orders)
        nullable = {n for n, info in self._adapter.fields.items() if info.nullable}
        after = beyond(orders, start, nullable)
        return await self._backend.find(where & after, orders, 0, limit)

    def _page(
        self, found: list[T], size: int, start: Position | None, paged: PagedList
    ) -> Page[T]:
        """Return *found* as a page; it is one more than *size* where there is more."""
        is_full = len(found) > size
        backward = start is not None and start.backward
        items = found[:size][::-1] if backward else found[:size]
        has_next = backward or is_full
        has_previous = is_full if backward else start is not None

        def mark(at: int, *, backward: bool) -> str:
            if (
                start is not None and not items
            ):  # all is gone that lay there: turn round
                position = Position(start.values, backward, inclusive=True)
            else:
                position = Position(_place(items[at], paged.orders), backward)
            return write_cursor(self._home.cursor_key(), position, paged)

        return Page(
            items,
            has_next=has_next,
            next_cursor=mark(-1, backward=False) if has_next else None,
            previous_cursor=mark(0, backward=True) if has_previous else None,
        )

    async def _explain(self, key: KeyTuple, expected_version: int | None) -> None:
        """Raise where the entity is there, and only its guard did not hold.

        Raises:
            StaleDataError: It has another version.
            ConflictError: It does not meet the condition.
        """
        found = self._scope.seen & self._among([key])
        if not await self._backend.exists_now(key, found):
            return
        if expected_version is not None:
            current = Comparison(self._version(), "eq", expected_version)
            if not await self._backend.exists_now(key, found & current):
                raise StaleDataError
        raise ConflictError(
            f"{self._adapter.name} does not meet the condition", kind="guard"
        )

    def _guard(
        self, expected_version: int | None, when: Specification | None
    ) -> Specification:
        guard = ALL if when is None else self._checked(when)
        if expected_version is None:
            return guard
        version = self._version()
        check_number("expected_version", expected_version, 0)
        return Comparison(version, "eq", expected_version) & guard

    def _version(self) -> str:
        if self._adapter.version is None:
            raise UsageError(
                f"{self._adapter.name} has no version to expect: add VersionMixin, or "
                "a field `version: int`"
            )
        info = self._adapter.fields[self._adapter.version]
        if info.kind is not int:
            raise UsageError(
                f"{self._adapter.name}.{info.name} holds {type_name(info)}, and "
                "expected_version goes by versions that are numbers: write "
                f"when=field({info.name!r}) == ..."
            )
        return self._adapter.version

    def _mark(self) -> dict[str, Any] | None:
        """Return what marks an entity as deleted; None where it is removed."""
        name = self._scope.hides
        return {name: datetime.now(UTC)} if name else None

    def _upsert(self, data: T | Data, rule: UniqueRule) -> Upsert[T]:
        entity = self._scope.new(data)
        held, adapter = self._adapter.values(entity), self._adapter
        if empty := [n for n in rule.fields if held.get(n) is None]:
            raise ValidationError(
                f"an upsert by {', '.join(rule.fields)} needs a value of each",
                fields=empty,
            )
        kept = {*adapter.key, *rule.fields, *adapter.stamps, adapter.version}
        kept |= self._scope.fields
        changes = {n: held[n] for n in adapter.given(data) if n in held.keys() - kept}
        return Upsert(entity, changes)

    def _key(self, entity: T) -> KeyTuple:
        return tuple(getattr(entity, name) for name in self._adapter.key)

    def _among(self, keys: list[KeyTuple]) -> Specification:
        names = self._adapter.key
        if len(names) == 1:
            return Comparison(names[0], "in", Choices(key[0] for key in keys))
        whole = (
            And(tuple(Comparison(n, "eq", v) for n, v in zip(names, key, strict=True)))
            for key in keys
        )
        return Or(tuple(whole))

    def _seen(self, where: Specification) -> Specification:
        """Return *where* inside the scope."""
        return self._scope.seen & self._checked(where)

    def _checked(self, where: Specification) -> Specification:
        """Return *where* after a look at every field and value in it.

        Raises:
            UsageError: It is no specification, or names an unknown field, a value of
                another type, or an order where the field has none.
        """
        check_where(where)
        held = 0
        for test in comparisons(where):
            self._adapter.check_operator(test.field, test.operator)
            values = test.value if isinstance(test.value, tuple) else (test.value,)
            held += len(values)
            for value in values:
                self._adapter.check_value(test.field, value)
        if held > _MOST_VALUES:
            raise UsageError(
                f"a filter with {held:,} values is more than a database takes: split "
                f"it into several of at most {_MOST_VALUES:,}"
            )
        return where

    def _orders(self, order_by: OrderBy) -> tuple[Order, ...]:
        """Return the orders that decide, completed by the key so that nothing ties."""
        given = orders_of(order_by)
        for order in given:
            self._adapter.check_order(order.field)
        undecided = set(self._adapter.key)
        orders: dict[str, Order] = {}
        for order in (*given, *(Order(name) for name in self._adapter.key)):
            if undecided:
                orders.setdefault(order.field, order)
                undecided.discard(order.field)
        return tuple(orders.values())

    def _view(self, scope: Scope[T]) -> Self:
        view = copy.copy(self)
        view._scope = scope  # noqa: SLF001 - a copy of this very repository
        return view

    def _check_scoped(self) -> None:
        if not self.scoped_by:
            return
        missing = set(self.scoped_by) - pinned(self._scope.where).keys()
        if missing:
            name = type(self).__name__
            raise UsageError(
                f"{name} is scoped by {', '.join(sorted(missing))}, which nothing has "
                f'set: {name}(...).scoped(field("...") == ...)'
            )

    def _check_soft(self, what: str) -> None:
        if self._adapter.deleted is None:
            raise UsageError(
                f"{what}() needs soft deletion: give {self._adapter.name} "
                "SoftDeleteMixin, or a field `deleted_at: datetime | None`"
            )

    def _check_lock(self, lock: Lock | None) -> None:
        if lock is None:
            return
        if lock not in ("wait", "nowait", "skip_locked"):
            raise UsageError(f'lock is "wait", "nowait" or "skip_locked", got {lock!r}')
        transaction = self._home.transaction()
        if transaction is None or transaction.read_only:
            raise UnitOfWorkError(
                "a lock lasts as long as its unit of work: open one that may write, "
                "`async with repository.unit_of_work():`"
            )


def _place(entity: object, orders: Iterable[Order]) -> tuple[Any, ...]:
    """Return what *entity* is sorted by."""
    return tuple(getattr(entity, order.field) for order in orders)


def _hidden(rule: UniqueRule) -> AlreadyExistsError:
    """Return the error of an upsert that met what its caller can't see."""
    return AlreadyExistsError(constraint=rule.name, fields=rule.fields)


def _names(key: str | Iterable[str]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(given_list(key))


def _generic_argument(cls: type) -> type | None:
    """Return the entity class that *cls* gives to its generic base, or None."""
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, BaseRepository):
            argument = get_args(base)[0]
            if isinstance(argument, type) and argument is not Any:
                return argument
    return None
