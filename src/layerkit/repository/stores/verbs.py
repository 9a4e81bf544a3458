"""The verbs on the rows of a transaction with an overlay."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic

from typing_extensions import TypeVar, override

from layerkit.core.errors import ValidationError
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.entities.nesting import deep_copy
from layerkit.repository.filters.aggregates import AggregateRow, Aggregation, Groups
from layerkit.repository.filters.evaluate import matches, sorted_by
from layerkit.repository.filters.specification import Inc, Order, Specification
from layerkit.repository.stores.backend import Backend, Lock, Upsert
from layerkit.repository.stores.overlay import OverlayTransaction
from layerkit.repository.stores.tables import Row
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
R = TypeVar("R")


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
                await self.transaction.flush()  # what the caller has changed counts
                result = await work()
                await self.transaction.settle()
            except Exception as error:
                if self.transaction.rows_written > before:
                    transaction.doom(error)  # it was refused in the middle of its rows
                raise
            return result

    @override
    async def create(self, entity: T) -> T:
        given = self.adapter.values(entity)
        key, row = await self._insert(entity, given)
        made = {n: v for n, v in row.items() if n not in given or v is not given[n]}
        self.adapter.fill(entity, made)
        self.transaction.objects.add(self.adapter, key, row, entity)
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
        rows = sorted_by((row for _, row in found), orders, skip + limit)
        keys = self.adapter.key
        return [
            self._entity(tuple(row[name] for name in keys), dict(row), lock)
            for row in rows[skip:]
        ]

    @override
    async def count(self, where: Specification, cap: int | None) -> int:
        found = len(await self.transaction.rows(self.adapter, where, (), cap))
        return found if cap is None else min(found, cap)

    @override
    async def aggregate(
        self, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        groups = Groups(wanted, self.adapter.name)
        for _, row in await self.transaction.rows(self.adapter, where):
            groups.add_row(row)
        return groups.rows()

    @override
    async def exists(self, key: KeyTuple, where: Specification) -> bool:
        return await self._row(key, where) is not None

    @override
    async def update(
        self, key: KeyTuple, changes: dict[str, Any], where: Specification
    ) -> T | None:
        await self.transaction.claim()
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
        self.transaction.objects.confine(self.adapter.entity, key, fields)

    @abstractmethod
    async def lock(self, lock: Lock | None) -> None:
        """Keep others from writing what is about to be read."""

    async def _insert(self, entity: T, given: Row) -> tuple[KeyTuple, Row]:
        adapter, transaction = self.adapter, self.transaction
        adapter.check_alone(entity)
        generated = adapter.stored(adapter.defaults(given))
        name = adapter.integer_key
        is_counted = name is not None and given.get(name) is None
        if name is not None and is_counted:
            generated[name] = await transaction.next_id(adapter)
        row = {**dict.fromkeys(adapter.fields), **given, **generated}
        key = tuple(row[name] for name in adapter.key)
        await transaction.claim()
        if not is_counted and await transaction.row(adapter, key) is not None:
            transaction.refuse(adapter, UniqueRule("primary key", adapter.key))
        await transaction.write(adapter, key, row)
        return key, row

    async def _change(self, key: KeyTuple, row: Row, changes: dict[str, Any]) -> Row:
        if not changes:
            return row
        applied = self._applied(row, changes)
        applied = self.adapter.validated(row, applied, are_set=False)
        fresh = self.adapter.rewritten(row, applied)
        await self.transaction.write(self.adapter, key, fresh, row)
        return fresh

    def _applied(self, row: Row, changes: dict[str, Any]) -> Row:
        """Return *changes* with each ``Inc`` worked out on *row*; nulls stay null.

        Raises:
            ValidationError: A sum is beyond what its field holds.
        """
        added = {n: v.amount for n, v in changes.items() if isinstance(v, Inc)}
        filled = {n: amount for n, amount in added.items() if row[n] is not None}
        try:
            sums = self.adapter.stored({n: row[n] + filled[n] for n in filled})
        except ValidationError as error:
            self.transaction.doom(error)  # as a server does
            raise
        return {**deep_copy(changes), **dict.fromkeys(added), **sums}

    async def _row(self, key: KeyTuple, where: Specification) -> Row | None:
        row = await self.transaction.row(self.adapter, key)
        return row if row is not None and matches(where, row) else None

    def _entity(self, key: KeyTuple, row: Row, lock: Lock | None = None) -> T:
        """Return the one object that stands for the row in this transaction."""
        tracked = self.transaction.objects.get(self.adapter.entity, key)
        if tracked is not None:
            if lock is not None:
                tracked.refresh(row)  # what was read before may be stale
            known: T = tracked.entity
            return known
        entity = self.adapter.load(row)
        self.transaction.objects.add(self.adapter, key, row, entity)
        return entity
