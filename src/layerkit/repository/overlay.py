"""A transaction over tables in memory: an overlay of rows, merged at the commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    StaleDataError,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.repository.entities import EntityAdapter
from layerkit.repository.fields import UniqueRule
from layerkit.unit_of_work import Transaction

KeyTuple: TypeAlias = tuple[Any, ...]
Row: TypeAlias = dict[str, Any]
Layer: TypeAlias = dict[type, dict[KeyTuple, Row | None]]
"""What a transaction has written, by entity class and key; None is a deleted row."""


@dataclass(slots=True)
class Table:
    """Hold the committed rows of one entity class, and who holds each unique value."""

    unique: tuple[UniqueRule, ...]
    rows: dict[KeyTuple, Row] = field(default_factory=dict)
    holders: dict[UniqueRule, dict[KeyTuple | None, KeyTuple]] = field(
        default_factory=dict
    )
    last_id: int = 0

    def merge(self, written: dict[KeyTuple, Row | None]) -> None:
        """Take over what a transaction has written; None removes a row."""
        for key in written:  # all old values leave first, so that two rows can swap
            if (old := self.rows.pop(key, None)) is not None:
                for rule in self.unique:
                    self.holders.setdefault(rule, {}).pop(unique_value(old, rule), None)
        for key, row in written.items():
            if row is not None:
                self.rows[key] = row
                for rule in self.unique:
                    self.holders.setdefault(rule, {})[unique_value(row, rule)] = key


def unique_value(row: Row, rule: UniqueRule) -> KeyTuple | None:
    """Return what *row* holds under *rule*; None where a null can't collide."""
    value = tuple(row[name] for name in rule.fields)
    return None if None in value else value


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
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
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

    def release(self) -> None:
        """Give the lock to the next in turn."""
        self._lock.release()


@dataclass(slots=True)
class Tracked:
    """Remember an object that was handed out, and the row as it was then."""

    entity: Any
    adapter: EntityAdapter[Any]
    row: Row

    def changes(self) -> Row:
        """Return what the caller has changed on the object since, by field name."""
        now, row = self.adapter.values(self.entity), self.row
        return {n: v for n, v in now.items() if n not in row or row[n] != v}


class MemoryTransaction(Transaction):
    """Write into an overlay, read through it, and merge it when the unit commits.

    Args:
        home: The database.
        tables: Its committed tables, by entity class.
        lock: Its write lock; taken by the first write, held to the end.
        read_only: True where writing is refused.
    """

    def __init__(
        self,
        home: object,
        tables: dict[type, Table],
        lock: WriteLock,
        *,
        read_only: bool = False,
    ) -> None:
        super().__init__(home, read_only=read_only)
        self._tables = tables
        self._lock = lock
        self._locked = False
        self._layers: list[Layer] = [{}]
        self._tracked: dict[tuple[type, KeyTuple], Tracked] = {}

    # Rows

    def row(self, entity: type, key: KeyTuple) -> Row | None:
        """Return the row at *key* as this transaction sees it."""
        written = self._written(entity)
        if key in written:
            return written[key]
        return self._tables[entity].rows.get(key)

    def rows(self, entity: type) -> Iterator[tuple[KeyTuple, Row]]:
        """Yield every row that this transaction sees, with its key."""
        written = self._written(entity)
        for key, committed in self._tables[entity].rows.items():
            if key not in written:
                yield key, committed
        for key, row in written.items():
            if row is not None:
                yield key, row

    async def write(self, adapter: EntityAdapter[Any], key: KeyTuple, row: Row) -> None:
        """Put *row* at *key* in the overlay.

        Raises:
            AlreadyExistsError: A unique rule is taken; the transaction is doomed.
            UnavailableError: Another transaction keeps writing.
        """
        await self.take_lock()
        for rule in adapter.unique:
            if self._is_taken(adapter.entity, rule, key, row):
                self.refuse(rule)
        self._layers[-1].setdefault(adapter.entity, {})[key] = row
        if adapter.integer_key:
            table = self._tables[adapter.entity]
            table.last_id = max(table.last_id, key[0])

    async def remove(self, entity: type, key: KeyTuple) -> None:
        """Delete the row at *key* in the overlay."""
        await self.take_lock()
        self._layers[-1].setdefault(entity, {})[key] = None
        self._tracked.pop((entity, key), None)

    def refuse(self, rule: UniqueRule) -> None:
        """Doom the transaction, as a server does, and report the rule that is taken.

        Raises:
            AlreadyExistsError: Always.
        """
        error = AlreadyExistsError(constraint=rule.name, fields=rule.fields)
        self.doom(error)
        raise error

    def next_id(self, entity: type) -> int:
        """Return the next generated key; a rollback does not give it back."""
        table = self._tables[entity]
        table.last_id += 1
        return table.last_id

    async def take_lock(self) -> None:
        """Become the one that writes.

        Raises:
            UnitOfWorkError: The unit is read-only.
        """
        if self.read_only:
            raise UnitOfWorkError("an entity was changed in a read-only unit of work")
        if not self._locked:
            await self._lock.acquire()
            self._locked = True

    # Objects

    def tracked(self, entity: type, key: KeyTuple) -> Any | None:
        """Return the object that was handed out for *key*, or None."""
        found = self._tracked.get((entity, key))
        return None if found is None else found.entity

    def track(
        self, adapter: EntityAdapter[Any], key: KeyTuple, row: Row, entity: Any
    ) -> None:
        """Remember that *entity* stands for the row at *key*."""
        self._tracked[adapter.entity, key] = Tracked(entity, adapter, row)

    @override
    def unwritten(self) -> int:
        return sum(len(tracked.changes()) for tracked in self._tracked.values())

    async def flush(self) -> None:
        """Write what the caller has changed on tracked objects.

        Raises:
            ValidationError: A value of the wrong type, or a null where none may be.
            UsageError: The key of an object was changed.
            StaleDataError: Another unit has removed the row, or moved its version on.
            AppException: What ``write`` refuses; each of these dooms the transaction.
        """
        for (_, key), tracked in list(self._tracked.items()):
            try:
                await self._flush_one(key, tracked)
            except AppException as error:
                self.doom(error)  # as a server does with a statement that failed
                raise

    async def _flush_one(self, key: KeyTuple, tracked: Tracked) -> None:
        tracked.adapter.check_alone(tracked.entity)
        if changes := tracked.changes():
            await self._write_changes(tracked, key, changes)

    async def _write_changes(
        self, tracked: Tracked, key: KeyTuple, changes: Row
    ) -> None:
        adapter = tracked.adapter
        if changed_key := [name for name in changes if name in adapter.key]:
            raise UsageError(
                f"the key of a {adapter.name} was changed: {', '.join(changed_key)}"
            )
        changes = adapter.changes(changes)
        await self.take_lock()  # before the look: others may be writing until then
        row, version = self.row(adapter.entity, key), adapter.version
        if row is None or (version and row[version] != tracked.row[version]):
            raise StaleDataError
        changes = {**adapter.on_update(row), **changes}
        fresh = {**row, **changes}
        await self.write(adapter, key, fresh)
        self.writes += 1
        adapter.fill(tracked.entity, changes)
        tracked.row = fresh

    # The steps of a home

    @override
    async def _begin(self) -> None:
        await asyncio.sleep(0)

    @override
    async def _commit(self) -> None:
        await asyncio.sleep(0)
        await self.flush()
        for entity, written in self._layers[0].items():
            self._tables[entity].merge(written)
        self._layers = [{}]

    @override
    async def _rollback(self) -> None:
        await asyncio.sleep(0)
        self._layers = [{}]

    @override
    async def _release(self) -> None:
        self._tracked = {}
        if self._locked:
            self._locked = False
            self._lock.release()

    @override
    def _savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._layered()

    @asynccontextmanager
    async def _layered(self) -> AsyncIterator[None]:
        with self.verb("savepoint", writes=False):
            await asyncio.sleep(0)
            await self.flush()
        before = {k: (t.entity, t.adapter, t.row) for k, t in self._tracked.items()}
        self._layers.append({})
        try:
            yield
            await self.flush()
        except BaseException:
            self._layers.pop()
            self._tracked = {k: Tracked(*parts) for k, parts in before.items()}
            for tracked in self._tracked.values():
                tracked.adapter.fill(tracked.entity, tracked.row)
            raise
        top = self._layers.pop()
        for entity, written in top.items():
            self._layers[-1].setdefault(entity, {}).update(written)

    # Helpers

    def _written(self, entity: type) -> Mapping[KeyTuple, Row | None]:
        if len(self._layers) == 1:
            return self._layers[0].get(entity, {})
        merged: dict[KeyTuple, Row | None] = {}
        for layer in self._layers:
            merged.update(layer.get(entity, {}))
        return merged

    def _is_taken(
        self, entity: type, rule: UniqueRule, key: KeyTuple, row: Row
    ) -> bool:
        value = unique_value(row, rule)
        if value is None:
            return False
        written = self._written(entity)
        for other, other_row in written.items():
            if other != key and other_row and unique_value(other_row, rule) == value:
                return True
        holder = self._tables[entity].holders.get(rule, {}).get(value)
        return holder is not None and holder != key and holder not in written
