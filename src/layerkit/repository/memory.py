"""MemoryDatabase and InMemoryRepository: the reference that other backends equal."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Self

from typing_extensions import TypeVar, override

from layerkit.repository.backend import Backend
from layerkit.repository.base import ID, T
from layerkit.repository.entities import EntityAdapter
from layerkit.repository.evaluate import matches, sorted_by
from layerkit.repository.fields import KeyTuple, UniqueRule
from layerkit.repository.homes import Home
from layerkit.repository.overlay import MemoryTransaction, WriteLock
from layerkit.repository.query import ALL, Inc, Order, Specification
from layerkit.repository.repository import Repository
from layerkit.repository.tables import Row, Table
from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork, transaction_of

E = TypeVar("E")
R = TypeVar("R")


class MemoryDatabase(Home):
    """Keep entities in memory, with the rules of a database.

    Units of work see what is committed and what they have written themselves; one of
    them writes at a time. Unique rules, nullability, generated keys and defaults come
    from the entity class. What is passed in and handed out is copied, so nobody shares
    an object with the store. Everything is gone with the process.

    Args:
        lock_timeout_seconds: How long a write waits for another unit's end.
    """

    def __init__(self, *, lock_timeout_seconds: float = 5.0) -> None:
        self._tables: dict[type, Table] = {}
        self._lock = WriteLock(lock_timeout_seconds)

    async def __aenter__(self) -> Self:
        """Return the database; it has nothing to open."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Keep the data; it has nothing to close."""

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return UnitOfWork(
            lambda: (
                self.transaction()
                or MemoryTransaction(
                    self, self._tables, self._lock, read_only=read_only
                )
            ),
            events=events,
        )

    @override
    def transaction(self) -> Transaction | None:
        return transaction_of(self)

    @override
    def backend(self, adapter: EntityAdapter[E]) -> Backend[E]:
        adapter.check_portable()
        self._tables.setdefault(adapter.entity, Table(adapter.unique))
        return MemoryBackend(adapter, self)


class MemoryBackend(Backend[T], Generic[T]):
    """Store entities of one class in a MemoryDatabase.

    Args:
        adapter: What is known of the entity class.
        database: Where the rows are.
    """

    def __init__(self, adapter: EntityAdapter[T], database: MemoryDatabase) -> None:
        super().__init__(adapter)
        self._database = database

    @override
    async def run(
        self,
        transaction: Transaction,
        verb: str,
        work: Callable[[], Awaitable[R]],
        *,
        writes: bool,
    ) -> R:
        with transaction.verb(verb, writes=writes):
            await asyncio.sleep(0)
            return await work()

    @override
    async def create(self, entity: T) -> T:
        adapter, transaction = self.adapter, self._transaction
        adapter.check_alone(entity)
        given = adapter.values(entity)
        generated = adapter.defaults(given)
        if (name := adapter.integer_key) and given.get(name) is None:
            generated[name] = transaction.next_id(adapter.entity)
        row = {**dict.fromkeys(adapter.fields), **given, **generated}
        key = tuple(row[name] for name in adapter.key)
        await transaction.take_lock()
        await transaction.flush()  # it may give up a value that the new one takes
        if transaction.row(adapter.entity, key) is not None:
            transaction.refuse(UniqueRule("primary key", adapter.key))
        await transaction.write(adapter, key, row)
        adapter.fill(entity, {name: row[name] for name in row if name not in given})
        adapter.fill(entity, generated)
        transaction.track(adapter, key, row, entity)
        return entity

    @override
    async def get(self, key: KeyTuple) -> T | None:
        row = self._transaction.row(self.adapter.entity, key)
        return None if row is None else self._entity(key, row)

    @override
    async def find(
        self, where: Specification, orders: Sequence[Order], skip: int, limit: int
    ) -> list[T]:
        rows = sorted_by(await self._matching(where), orders)
        keys = self.adapter.key
        return [
            self._entity(tuple(row[name] for name in keys), dict(row))
            for row in rows[skip : skip + limit]
        ]

    @override
    async def count(self, where: Specification, cap: int | None) -> int:
        found = len(await self._matching(where))
        return found if cap is None else min(found, cap)

    @override
    async def update(
        self, key: KeyTuple, changes: dict[str, Any], when: Specification
    ) -> T | None:
        adapter, transaction = self.adapter, self._transaction
        await transaction.take_lock()
        await transaction.flush()
        row = transaction.row(adapter.entity, key)
        if row is None or (when != ALL and not matches(when, row)):
            return None
        if not changes:
            return self._entity(key, row)
        applied = adapter.validated(row, _applied(row, changes))
        fresh = {**row, **adapter.on_update(row), **applied}
        await transaction.write(adapter, key, fresh)
        entity: T | None = transaction.tracked(adapter.entity, key)
        if entity is None:
            entity = adapter.load(fresh)
        else:
            adapter.fill(entity, fresh)
        transaction.track(adapter, key, fresh, entity)
        return entity

    @override
    async def delete(self, key: KeyTuple) -> bool:
        transaction = self._transaction
        await transaction.take_lock()
        if transaction.row(self.adapter.entity, key) is None:
            return False
        await transaction.remove(self.adapter.entity, key)
        return True

    @override
    async def exists(self, key: KeyTuple) -> bool:
        return self._transaction.row(self.adapter.entity, key) is not None

    @property
    def _transaction(self) -> MemoryTransaction:
        transaction = self._database.transaction()
        if not isinstance(transaction, MemoryTransaction):
            raise TypeError("a backend works inside a transaction of its database")
        return transaction

    async def _matching(self, where: Specification) -> list[Row]:
        await self._transaction.flush()
        rows = self._transaction.rows(self.adapter.entity)
        return [row for _, row in rows if matches(where, row)]

    def _entity(self, key: KeyTuple, row: Row) -> T:
        """Return the one object that stands for the row in this transaction."""
        entity: T | None = self._transaction.tracked(self.adapter.entity, key)
        if entity is None:
            entity = self.adapter.load(row)
            self._transaction.track(self.adapter, key, row, entity)
        return entity


def _applied(row: Row, changes: dict[str, Any]) -> Row:
    """Return *changes* with each ``Inc`` worked out against *row*; nulls stay null."""
    fresh = copy.deepcopy(changes)
    for name, value in changes.items():
        if isinstance(value, Inc):
            fresh[name] = None if row[name] is None else row[name] + value.amount
    return fresh


class InMemoryRepository(Repository[T, ID], Generic[T, ID]):
    """Store entities in memory: ``Repository`` with a ``MemoryDatabase`` of its own.

    Args:
        home: The database; left out, the repository makes one.
        model_class: The entity class, where the class itself does not say it.
    """

    def __init__(
        self,
        home: MemoryDatabase | None = None,
        model_class: type[T] | None = None,
    ) -> None:
        super().__init__(home or MemoryDatabase(), model_class)
