"""A transaction over tables in memory: an overlay of rows, merged at the commit."""

import asyncio
import copy
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

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
from layerkit.repository.fields import KeyTuple, UniqueRule, is_same
from layerkit.repository.tables import Layer, Row, Table, unique_value
from layerkit.unit_of_work import Transaction


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


class Tracked:
    """Remember an object that was handed out, and the row as it was then.

    Every flush asks every object of the unit whether it was changed, so that question
    is one comparison of two dicts wherever it can be.
    """

    __slots__ = ("_is_plain", "_seen", "adapter", "entity", "row")

    def __init__(self, entity: Any, adapter: EntityAdapter[Any], row: Row) -> None:
        self.entity = entity
        self.adapter = adapter
        self.note(row)

    def note(self, row: Row) -> None:
        """Take the object, which holds the values of *row* now, for unchanged."""
        self.row = row
        held = getattr(self.entity, "__dict__", {})
        self._is_plain = row.keys() <= held.keys()  # not so where there are slots
        self._seen: dict[str, Any] | None = row
        if self._is_plain:
            self._seen = {name: row.get(name, value) for name, value in held.items()}
            if _has_collection(held, row):
                self._seen = None

    def may_have_changed(self) -> bool:
        """Tell whether the object needs a look at each of its fields."""
        if self._is_plain:
            return self._seen is None or self.entity.__dict__ != self._seen
        return self.adapter.held(self.entity) != self._seen

    def changes(self) -> Row:
        """Return what the caller has changed on the object since, by field name."""
        now, row = self.adapter.held(self.entity), self.row
        changed = {
            n: v for n, v in now.items() if n not in row or not is_same(row[n], v)
        }
        return copy.deepcopy(changed)


def _has_collection(held: Mapping[str, Any], row: Row) -> bool:
    """Tell whether *held* has a collection, of related entities say, beside the row.

    It is the caller's own, so that no comparison would notice what is added to it.
    """
    return any(n not in row and isinstance(v, Collection) for n, v in held.items())


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
        self._layers = [Layer()]
        self._tracked: dict[tuple[type, KeyTuple], Tracked] = {}

    # Rows

    def row(self, entity: type, key: KeyTuple) -> Row | None:
        """Return the row at *key* as this transaction sees it."""
        for layer in reversed(self._layers):
            written = layer.rows.get(entity, {})
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
        self._layers[-1].put(adapter.entity, key, row, adapter.unique)
        if adapter.integer_key:
            table = self._tables[adapter.entity]
            table.last_id = max(table.last_id, key[0])

    async def remove(self, entity: type, key: KeyTuple) -> None:
        """Delete the row at *key* in the overlay."""
        await self.take_lock()
        self._layers[-1].rows.setdefault(entity, {})[key] = None
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
        suspects = [
            (key, tracked)
            for (_, key), tracked in self._tracked.items()
            if tracked.may_have_changed()
        ]
        for key, tracked in suspects:
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
        changes = adapter.validated(tracked.row, adapter.changes(changes))
        await self.take_lock()  # before the look: others may be writing until then
        row, version = self.row(adapter.entity, key), adapter.version
        if row is None or (version and row[version] != tracked.row[version]):
            raise StaleDataError
        changes = {**adapter.on_update(row), **changes}
        fresh = {**row, **changes}
        await self.write(adapter, key, fresh)
        self.writes += 1
        adapter.fill(tracked.entity, changes)
        tracked.note(fresh)

    # The steps of a home

    @override
    async def _begin(self) -> None:
        await asyncio.sleep(0)

    @override
    async def _commit(self) -> None:
        await asyncio.sleep(0)
        await self.flush()
        for entity, written in self._layers[0].rows.items():
            self._tables[entity].merge(written)
        self._layers = [Layer()]

    @override
    async def _rollback(self) -> None:
        await asyncio.sleep(0)
        self._layers = [Layer()]

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
        self._layers.append(Layer())
        try:
            yield
            await self.flush()
        except BaseException:
            self._layers.pop()
            self._tracked = {}
            for at, (entity, adapter, row) in before.items():
                adapter.fill(entity, row)
                self._tracked[at] = Tracked(entity, adapter, row)
            raise
        top = self._layers.pop()
        self._layers[-1].absorb(top)

    # Helpers

    def _written(self, entity: type) -> Mapping[KeyTuple, Row | None]:
        if len(self._layers) == 1:
            return self._layers[0].rows.get(entity, {})
        merged: dict[KeyTuple, Row | None] = {}
        for layer in self._layers:
            merged.update(layer.rows.get(entity, {}))
        return merged

    def _is_taken(
        self, entity: type, rule: UniqueRule, key: KeyTuple, row: Row
    ) -> bool:
        value = unique_value(row, rule)
        if value is None:
            return False
        written = [layer.holders.get((entity, rule), {}) for layer in self._layers]
        committed = self._tables[entity].holders.get(rule, {})
        for holders in (*written, committed):
            holder = holders.get(value)
            if holder is None or holder == key:
                continue
            held = self.row(entity, holder)  # it may have given the value up
            if held is not None and unique_value(held, rule) == value:
                return True
        return False
