"""A transaction that writes into an overlay of rows, applied as a whole at the commit.

What lies under the overlay, tables in memory or documents elsewhere, is a subclass's.
"""

import asyncio
import copy
from abc import abstractmethod
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import chain
from typing import Any, Generic, NoReturn

from typing_extensions import TypeVar, override

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    StaleDataError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.repository.backend import Backend, Lock, Upsert
from layerkit.repository.entities import EntityAdapter
from layerkit.repository.evaluate import matches, sorted_by
from layerkit.repository.fields import KeyTuple, UniqueRule, is_same
from layerkit.repository.query import ALL, Inc, Order, Specification
from layerkit.repository.scope import check_confined
from layerkit.repository.tables import Layer, Row, unique_value
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
R = TypeVar("R")


class Tracked:
    """Remember an object that was handed out, and the row as it was then.

    Every flush asks every object of the unit whether it was changed, so that question
    is one comparison of two dicts wherever it can be.
    """

    __slots__ = ("_is_plain", "_seen", "adapter", "confined", "entity", "row")

    def __init__(self, entity: Any, adapter: EntityAdapter[Any], row: Row) -> None:
        self.entity = entity
        self.adapter = adapter
        self.confined: frozenset[str] = frozenset()
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

    def refresh(self, row: Row) -> None:
        """Let the object hold the values of *row*, which were written otherwise."""
        self.adapter.fill(self.entity, row)
        self.note(row)


def _has_collection(held: Mapping[str, Any], row: Row) -> bool:
    """Tell whether *held* has a collection, of related entities say, beside the row.

    It is the caller's own, so that no comparison would notice what is added to it.
    """
    return any(n not in row and isinstance(v, Collection) for n, v in held.items())


class OverlayTransaction(Transaction):
    """Write into an overlay and read through it; nothing is stored before the commit.

    A subclass says what lies under the overlay, and stores it.

    Args:
        home: What the unit belongs to.
        read_only: True where writing is refused.
    """

    def __init__(self, home: object, *, read_only: bool = False) -> None:
        super().__init__(home, read_only=read_only)
        self._layers = [Layer()]
        self._tracked: dict[tuple[type, KeyTuple], Tracked] = {}
        self.rows_written = 0

    # What lies under the overlay

    @abstractmethod
    async def stored(self, adapter: EntityAdapter[Any], key: KeyTuple) -> Row | None:
        """Return the stored row at *key*, or None."""

    @abstractmethod
    async def stored_rows(
        self,
        adapter: EntityAdapter[Any],
        where: Specification,
        orders: Sequence[Order],
        limit: int | None,
    ) -> Iterable[tuple[KeyTuple, Row]]:
        """Return stored rows with their keys: those that *where* means, or more.

        Args:
            adapter: What is known of the entity class.
            where: The filter.
            orders: What the rows will be sorted by.
            limit: How many are enough: the first ones by *orders*; None for all.
        """

    @abstractmethod
    async def stored_holder(
        self, adapter: EntityAdapter[Any], rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        """Return the key of the stored row that holds *value* under *rule*, or None."""

    @abstractmethod
    async def next_id(self, adapter: EntityAdapter[Any]) -> int:
        """Return the next generated key; a rollback does not give it back."""

    @abstractmethod
    async def store(self, written: Layer) -> None:
        """Store what the transaction has written, all or nothing."""

    async def claim(self) -> None:
        """Become one that writes.

        Raises:
            UnitOfWorkError: The unit is read-only.
        """
        if self.read_only:
            raise UnitOfWorkError("an entity was changed in a read-only unit of work")

    # Rows

    async def row(self, adapter: EntityAdapter[Any], key: KeyTuple) -> Row | None:
        """Return the row at *key* as this transaction sees it."""
        for layer in reversed(self._layers):
            written = layer.rows.get(adapter.entity, {})
            if key in written:
                return written[key]
        return await self.stored(adapter, key)

    def is_written(self, entity: type, key: KeyTuple) -> bool:
        """Tell whether the transaction has written or deleted the row at *key*."""
        return any(key in layer.rows.get(entity, {}) for layer in self._layers)

    async def rows(
        self,
        adapter: EntityAdapter[Any],
        where: Specification,
        orders: Sequence[Order] = (),
        limit: int | None = None,
    ) -> list[tuple[KeyTuple, Row]]:
        """Return what *where* means and this transaction sees, with its keys, unsorted.

        Args:
            adapter: What is known of the entity class.
            where: The filter.
            orders: What the rows will be sorted by.
            limit: How many are enough: the first ones by *orders*; None for all.
        """
        await self.flush()
        written = self.written(adapter.entity)
        enough = None if limit is None else limit + len(written)  # it may hide as many
        stored = await self.stored_rows(adapter, where, orders, enough)
        under = ((key, row) for key, row in stored if key not in written)
        over = ((key, row) for key, row in written.items() if row is not None)
        return [(k, row) for k, row in chain(under, over) if matches(where, row)]

    async def holder(
        self, adapter: EntityAdapter[Any], rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        """Return the key of the row that holds *value* under *rule*, or None."""
        if rule.fields == adapter.key:
            return value if await self.row(adapter, value) is not None else None
        at = (adapter.entity, rule)
        holders = [layer.holders.get(at, {}).get(value) for layer in self._layers]
        holders.append(await self.stored_holder(adapter, rule, value))
        for key in holders:
            row = None if key is None else await self.row(adapter, key)
            if row is not None and unique_value(row, rule) == value:
                return key  # and no row that has given the value up since
        return None

    async def write(
        self,
        adapter: EntityAdapter[Any],
        key: KeyTuple,
        row: Row,
        old: Row | None = None,
    ) -> None:
        """Put *row* at *key* in the overlay.

        Args:
            adapter: What is known of the entity class.
            key: Where.
            row: What is there from now on.
            old: What was there; the unique values that it holds need no look.

        Raises:
            AlreadyExistsError: A unique rule is taken; the transaction is doomed.
            UnavailableError: Another transaction keeps writing.
        """
        await self.claim()
        for rule in adapter.unique:
            value = unique_value(row, rule)
            is_held = old is not None and unique_value(old, rule) == value
            if value is not None and not is_held:
                holder = await self.holder(adapter, rule, value)
                if holder not in (None, key):
                    self.refuse(adapter, rule)
        self._layers[-1].put(adapter.entity, key, row, adapter.unique)
        self.rows_written += 1
        if tracked := self._tracked.get((adapter.entity, key)):
            tracked.refresh(row)

    async def remove(self, adapter: EntityAdapter[Any], key: KeyTuple) -> None:
        """Delete the row at *key* in the overlay."""
        await self.claim()
        self._layers[-1].rows.setdefault(adapter.entity, {})[key] = None
        self.rows_written += 1
        self._tracked.pop((adapter.entity, key), None)

    def refuse(
        self,
        adapter: EntityAdapter[Any],  # noqa: ARG002 - for subclasses
        rule: UniqueRule,
    ) -> NoReturn:
        """Doom the transaction, as a server does, and report the rule that is taken.

        Raises:
            AlreadyExistsError: Always.
        """
        error = AlreadyExistsError(constraint=rule.name, fields=rule.fields)
        self.doom(error)
        raise error

    def written(self, entity: type) -> Mapping[KeyTuple, Row | None]:
        """Return what is written of a class so far; None is a deleted row."""
        if len(self._layers) == 1:
            return self._layers[0].rows.get(entity, {})
        merged: dict[KeyTuple, Row | None] = {}
        for layer in self._layers:
            merged.update(layer.rows.get(entity, {}))
        return merged

    # Objects

    def tracked(self, entity: type, key: KeyTuple) -> Tracked | None:
        """Return what is remembered of the object that was handed out for *key*."""
        return self._tracked.get((entity, key))

    def track(
        self, adapter: EntityAdapter[Any], key: KeyTuple, row: Row, entity: Any
    ) -> None:
        """Remember that *entity* stands for the row at *key*."""
        self._tracked[adapter.entity, key] = Tracked(entity, adapter, row)

    def confine(self, entity: type, key: KeyTuple, fields: frozenset[str]) -> None:
        """Refuse changes of *fields* on the object that was handed out for *key*."""
        self._tracked[entity, key].confined |= fields

    @override
    def unwritten(self) -> int:
        changed = (t.changes() for t in self._tracked.values() if t.may_have_changed())
        return sum(map(len, changed))

    async def flush(self) -> None:
        """Write what the caller has changed on tracked objects.

        Raises:
            ValidationError: A value of the wrong type, a null where none may be, or a
                field of the scope that the object was read in.
            UsageError: The key of an object was changed.
            StaleDataError: Another unit has removed the row, or moved its version on.
            AppException: What ``write`` refuses; each of these dooms the transaction.
        """
        before = self.rows_written
        suspects = [
            (key, tracked)
            for (_, key), tracked in self._tracked.items()
            if tracked.may_have_changed()
        ]
        try:
            checked = [(key, t, _checked_changes(t)) for key, t in suspects]
            for key, tracked, changes in checked:
                if changes:
                    await self._write_changes(tracked, key, changes)
        except AppException as error:
            self.doom(error)  # as a server does with a statement that failed
            raise
        self.rows_written = before  # these are complete, whatever the verb does next

    async def _write_changes(
        self, tracked: Tracked, key: KeyTuple, changes: Row
    ) -> None:
        adapter = tracked.adapter
        await self.claim()  # before the look: others may be writing until then
        row, version = await self.row(adapter, key), adapter.version
        if row is None or (version and row[version] != tracked.row[version]):
            raise StaleDataError(kind="serialization")
        fresh = {**row, **changes}
        fresh = {**fresh, **adapter.on_update(fresh), **changes}
        await self.write(adapter, key, fresh, row)
        self.writes += 1

    # The steps of a home

    @override
    async def _begin(self) -> None:
        await asyncio.sleep(0)

    @override
    async def _commit(self) -> None:
        await asyncio.sleep(0)
        await self.flush()
        await self.store(self._layers[0])
        self._layers = [Layer()]

    @override
    async def _rollback(self) -> None:
        await asyncio.sleep(0)
        self._layers = [Layer()]

    @override
    async def _release(self) -> None:
        self._tracked = {}

    @override
    def _savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._layered()

    @asynccontextmanager
    async def _layered(self) -> AsyncIterator[None]:
        with self.verb("savepoint", writes=False):
            await asyncio.sleep(0)
            await self.flush()
        before = {at: (tracked, tracked.row) for at, tracked in self._tracked.items()}
        self._layers.append(Layer())
        try:
            yield
            await self.flush()
        except BaseException:
            self._layers.pop()
            self._tracked = {}
            for at, (tracked, row) in before.items():
                tracked.refresh(row)
                self._tracked[at] = tracked
            raise
        top = self._layers.pop()
        self._layers[-1].absorb(top)


def _checked_changes(tracked: Tracked) -> Row:
    """Return what the caller has changed on an object, where an update may write it.

    Raises:
        ValidationError: As for ``flush``.
        UsageError: The key was changed.
    """
    adapter, changes = tracked.adapter, tracked.changes()
    adapter.check_alone(tracked.entity)
    if not changes:
        return changes
    if changed_key := [name for name in changes if name in adapter.key]:
        raise UsageError(
            f"the key of a {adapter.name} was changed: {', '.join(changed_key)}"
        )
    check_confined(adapter.name, changes, tracked.confined)
    return adapter.validated(tracked.row, adapter.changes(changes), are_set=True)


class OverlayBackend(Backend[T], Generic[T]):
    """Carry out the verbs on the rows of an open ``OverlayTransaction``."""

    @property
    @abstractmethod
    def transaction(self) -> OverlayTransaction:
        """The transaction that this context works in."""

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
            before = self.transaction.rows_written
            try:
                return await work()
            except Exception as error:
                if self.transaction.rows_written > before:
                    transaction.doom(error)  # it was refused in the middle of its rows
                raise

    @override
    async def create(self, entity: T) -> T:
        given = self.adapter.values(entity)
        key, row = await self._insert(entity, given)
        made = {name: row[name] for name in row if row[name] is not given.get(name)}
        self.adapter.fill(entity, made)
        self.transaction.track(self.adapter, key, row, entity)
        return entity

    @override
    async def create_many(self, entities: Sequence[T | Mapping[str, Any]]) -> None:
        for entity in entities:
            given = self.adapter.values(entity)  # type: ignore[arg-type] # see takes_values
            await self._insert(entity, given)  # type: ignore[arg-type] # see takes_values

    @override
    async def get(
        self, key: KeyTuple, where: Specification, lock: Lock | None = None
    ) -> T | None:
        await self.lock(lock)
        await self.transaction.flush()
        row = await self._row(key, where)
        return None if row is None else self._entity(key, row, lock)

    @override
    async def find(
        self,
        where: Specification,
        orders: Sequence[Order],
        skip: int,
        limit: int,
        lock: Lock | None = None,
    ) -> list[T]:
        await self.lock(lock)
        found = await self.transaction.rows(self.adapter, where, orders, skip + limit)
        rows = sorted_by((row for _, row in found), orders)
        keys = self.adapter.key
        return [
            self._entity(tuple(row[name] for name in keys), dict(row), lock)
            for row in rows[skip : skip + limit]
        ]

    @override
    async def count(self, where: Specification, cap: int | None) -> int:
        found = len(await self.transaction.rows(self.adapter, where, (), cap))
        return found if cap is None else min(found, cap)

    @override
    async def exists(self, key: KeyTuple, where: Specification) -> bool:
        await self.transaction.flush()
        return await self._row(key, where) is not None

    @override
    async def update(
        self, key: KeyTuple, changes: dict[str, Any], where: Specification
    ) -> T | None:
        await self.transaction.claim()
        await self.transaction.flush()
        row = await self._row(key, where)
        if row is None:
            return None
        return self._entity(key, await self._change(key, row, changes))

    @override
    async def update_where(self, where: Specification, changes: dict[str, Any]) -> int:
        await self.transaction.claim()
        found = await self.transaction.rows(self.adapter, where)
        for key, row in found:
            await self._change(key, row, changes)
        return len(found)

    @override
    async def delete(self, key: KeyTuple, where: Specification) -> bool:
        await self.transaction.claim()
        await self.transaction.flush()
        if await self._row(key, where) is None:
            return False
        await self.transaction.remove(self.adapter, key)
        return True

    @override
    async def delete_where(self, where: Specification) -> int:
        await self.transaction.claim()
        found = await self.transaction.rows(self.adapter, where)
        for key, _ in found:
            await self.transaction.remove(self.adapter, key)
        return len(found)

    @override
    async def upsert(
        self, item: Upsert[T], rule: UniqueRule, where: Specification
    ) -> T | None:
        transaction = self.transaction
        await transaction.claim()
        await transaction.flush()
        held = self.adapter.held(item.entity)
        value = tuple(held[name] for name in rule.fields)
        key = await transaction.holder(self.adapter, rule, value)
        if key is None:
            return await self.create(item.entity)
        return await self.update(key, item.changes, where)

    @override
    async def upsert_many(
        self, items: Sequence[Upsert[T]], rule: UniqueRule, where: Specification
    ) -> bool:
        for item in items:
            if await self.upsert(item, rule, where) is None:
                return False
        return True

    @override
    def confine(self, entity: T, fields: frozenset[str]) -> None:
        key = tuple(getattr(entity, name) for name in self.adapter.key)
        self.transaction.confine(self.adapter.entity, key, fields)

    @abstractmethod
    async def lock(self, lock: Lock | None) -> None:
        """Keep others from writing what is about to be read."""

    async def _insert(self, entity: T, given: Row) -> tuple[KeyTuple, Row]:
        adapter, transaction = self.adapter, self.transaction
        adapter.check_alone(entity)
        generated = adapter.defaults(given)
        name = adapter.integer_key
        is_counted = name is not None and given.get(name) is None
        if name is not None and is_counted:
            generated[name] = await transaction.next_id(adapter)
        row = {**dict.fromkeys(adapter.fields), **given, **generated}
        key = tuple(row[name] for name in adapter.key)
        await transaction.claim()
        await transaction.flush()  # it may give up a value that the new one takes
        if not is_counted and await transaction.row(adapter, key) is not None:
            transaction.refuse(adapter, UniqueRule("primary key", adapter.key))
        await transaction.write(adapter, key, row)
        return key, row

    async def _change(self, key: KeyTuple, row: Row, changes: dict[str, Any]) -> Row:
        if not changes:
            return row
        applied = _applied(row, changes)
        applied = self.adapter.validated(row, applied, are_set=False)
        fresh = {**row, **applied}
        fresh = {**fresh, **self.adapter.on_update(fresh), **applied}
        await self.transaction.write(self.adapter, key, fresh, row)
        return fresh

    async def _row(self, key: KeyTuple, where: Specification) -> Row | None:
        if where != ALL:
            await self.transaction.flush()  # what the caller has changed counts
        row = await self.transaction.row(self.adapter, key)
        return row if row is not None and matches(where, row) else None

    def _entity(self, key: KeyTuple, row: Row, lock: Lock | None = None) -> T:
        """Return the one object that stands for the row in this transaction."""
        tracked = self.transaction.tracked(self.adapter.entity, key)
        if tracked is not None:
            if lock is not None:
                tracked.refresh(row)  # what was read before may be stale
            known: T = tracked.entity
            return known
        entity = self.adapter.load(row)
        self.transaction.track(self.adapter, key, row, entity)
        return entity


def _applied(row: Row, changes: dict[str, Any]) -> Row:
    """Return *changes* with each ``Inc`` worked out against *row*; nulls stay null."""
    fresh = copy.deepcopy(changes)
    for name, value in changes.items():
        if isinstance(value, Inc):
            fresh[name] = None if row[name] is None else row[name] + value.amount
    return fresh
