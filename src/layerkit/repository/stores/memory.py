"""MemoryDatabase and InMemoryRepository: the reference that other backends equal."""

import asyncio
from collections.abc import Iterable
from typing import Generic, NamedTuple

from typing_extensions import TypeVar, override

from layerkit.core.errors import NotSupportedError, UnavailableError, UsageError
from layerkit.repository.entities.adapter import Adapter, EntityAdapter
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.filters.specification import Orders, Specification
from layerkit.repository.stores.backend import Backend, Lock
from layerkit.repository.stores.homes import OTHER_LOOP, Home
from layerkit.repository.stores.overlay import OverlayTransaction
from layerkit.repository.stores.references import References
from layerkit.repository.stores.tables import Row, Table, Written
from layerkit.repository.stores.verbs import OverlayBackend
from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork

T = TypeVar("T")


class WriteLock:
    """Let one transaction write at a time, as SQLite does; waiters come in turn."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def acquire(self) -> None:
        """Take the lock.

        Raises:
            UnavailableError: Another held it for longer than the time-out.
            UsageError: A unit in another event loop, which is running, holds it.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            is_running = self._loop is not None and self._loop.is_running()
            if is_running and self._lock.locked():
                raise UsageError(OTHER_LOOP.format("MemoryDatabase", "home"))
            # A lock belongs to the loop that first waited for it; tests have many.
            self._loop, self._lock = loop, asyncio.Lock()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._lock.acquire()
        except TimeoutError as error:
            raise UnavailableError(
                "another unit of work has been writing for "
                f"{self._timeout_seconds} seconds; try again"
            ) from error

    @property
    def is_taken(self) -> bool:
        """True while a unit holds it."""
        return self._loop is asyncio.get_running_loop() and self._lock.locked()

    def release(self) -> None:
        """Give the lock to the next in turn."""
        self._lock.release()


class Kept(NamedTuple):
    """Hold what all transactions of a ``MemoryDatabase`` share.

    Attributes:
        tables: The committed tables, by entity class.
        lock: Held by the one transaction that writes.
        references: What the classes refer to.
    """

    tables: dict[type, Table]
    lock: WriteLock
    references: References


class MemoryDatabase(Home):
    """Keep entities in memory, with the rules of a database.

    Units of work see what is committed and what they have written themselves; one of
    them writes at a time. Unique rules, nullability, generated keys and defaults come
    from the entity class, and so do the foreign keys between mapped classes that each
    have a repository made on this database. What is passed in and handed out is copied,
    so nobody shares an object with the store. Everything is gone with the process.

    Args:
        foreign_keys: False where foreign keys and what mappings do at a delete are
            to be left out.
        lock_timeout_seconds: How long a write waits for another unit's end.
        cursor_secret: What cursors of pages are signed with; left out, each process
            makes a key of its own.
    """

    def __init__(
        self,
        *,
        foreign_keys: bool = True,
        lock_timeout_seconds: float = 5.0,
        cursor_secret: str | bytes | None = None,
    ) -> None:
        self._set_cursor_secret(cursor_secret)
        self._kept = Kept({}, WriteLock(lock_timeout_seconds), References())
        self._foreign_keys = foreign_keys

    async def ping(self) -> None:
        """Do nothing: what is in this process answers."""

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return UnitOfWork(
            lambda: self.transaction() or self._new(read_only=read_only), events=events
        )

    @override
    def _reading(self) -> Transaction:
        return self._new(read_only=True)

    def _new(self, *, read_only: bool) -> "MemoryTransaction":
        return MemoryTransaction(self, self._kept, read_only=read_only)

    @override
    def backend(self, adapter: EntityAdapter[T]) -> Backend[T]:
        if adapter.entity not in self._kept.tables:
            adapter.check_portable()
            self._kept.tables[adapter.entity] = Table(adapter)
            if self._foreign_keys:
                self._kept.references.add(adapter)
        return MemoryBackend(adapter)


class MemoryTransaction(OverlayTransaction):
    """Write over the tables of a ``MemoryDatabase``; one unit writes at a time.

    Args:
        home: The database.
        kept: What it keeps; the lock is taken by the first write, and held to the end.
        read_only: True where writing is refused.
    """

    def __init__(self, home: object, kept: Kept, *, read_only: bool) -> None:
        super().__init__(home, read_only=read_only)
        self._tables, self._lock, self._references = kept
        self._locked = False

    @override
    async def stored(self, adapter: Adapter, key: KeyTuple) -> Row | None:
        return self._tables[adapter.entity].rows.get(key)

    @override
    async def stored_rows(
        self, adapter: Adapter, where: Specification, orders: Orders, limit: int | None
    ) -> Iterable[tuple[KeyTuple, Row]]:
        table = self._tables[adapter.entity]
        keys = table.candidates(where)
        return ((key, table.rows[key]) for key in keys if key in table.rows)

    @override
    async def stored_holder(
        self, adapter: Adapter, rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        return self._tables[adapter.entity].holders.get(rule, {}).get(value)

    @override
    async def next_id(self, adapter: Adapter) -> int:
        table = self._tables[adapter.entity]
        table.last_id += 1
        return table.last_id

    @override
    async def write(
        self, adapter: Adapter, key: KeyTuple, row: Row, old: Row | None = None
    ) -> None:
        await self._look_around(adapter, old, row)
        await super().write(adapter, key, row, old)
        if adapter.integer_key:
            table = self._tables[adapter.entity]
            table.last_id = max(table.last_id, key[0])
        await self._references.note(self, adapter.entity, old, row)

    @override
    async def remove(self, adapter: Adapter, key: KeyTuple) -> None:
        old = await self.row(adapter, key)
        await self._look_around(adapter, old, None)
        await super().remove(adapter, key)
        await self._references.note(self, adapter.entity, old, None)

    async def _look_around(
        self, adapter: Adapter, old: Row | None, new: Row | None
    ) -> None:
        """See first to what the caller has changed, where others may refer to a row."""
        if old is not None and self._references.are_moved(adapter.entity, old, new):
            await self.look()

    @override
    async def end_statement(self) -> None:
        if self.top.lost:
            await self._references.run_referential_actions(self)

    @override
    async def claim(self) -> None:
        """Become the one that writes.

        Raises:
            UnitOfWorkError: The unit is read-only.
            UnavailableError: Another unit keeps writing.
        """
        await super().claim()
        if not self._locked:
            await self._lock.acquire()
            self._locked = True

    @property
    def must_wait(self) -> bool:
        """True where another unit is writing."""
        return not self._locked and self._lock.is_taken

    @override
    async def store(self, written: Written) -> None:
        await self._references.check(self, self.top.deferred)
        for entity, rows in written.items():
            self._tables[entity].merge(rows)

    @override
    async def _release(self) -> None:
        await super()._release()
        if self._locked:
            self._locked = False
            self._lock.release()


class MemoryBackend(OverlayBackend[T, MemoryTransaction], Generic[T]):
    """Store entities of one class in a MemoryDatabase."""

    @override
    async def lock(self, unit: MemoryTransaction, lock: Lock | None) -> None:
        """Take the write lock of the whole database.

        Raises:
            NotSupportedError: Single rows are not locked, so that none can be skipped.
            UnavailableError: Another unit is writing.
        """
        if lock is None:
            return
        if lock == "skip_locked":
            raise NotSupportedError(
                "a MemoryDatabase locks as a whole, so there are no locked rows to "
                'skip: use lock="wait"'
            )
        if lock == "nowait" and unit.must_wait:
            raise UnavailableError("another unit of work is writing")
        await unit.claim()
