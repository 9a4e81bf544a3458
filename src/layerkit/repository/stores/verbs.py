"""The verbs on the rows of a transaction with an overlay."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, cast

from typing_extensions import TypeVar, override

from layerkit.core.errors import NotSupportedError, ValidationError
from layerkit.repository.entities.checks import keyed
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.entities.nesting import deep_copy
from layerkit.repository.filters.aggregates import AggregateRow, Aggregation, Groups
from layerkit.repository.filters.evaluate import sorted_by
from layerkit.repository.filters.specification import Inc, Orders, Specification
from layerkit.repository.stores.backend import Backend, Changes, Lock, Upsert
from layerkit.repository.stores.overlay import OverlayTransaction
from layerkit.repository.stores.tables import Row

T = TypeVar("T")
X = TypeVar("X", bound=OverlayTransaction, default=OverlayTransaction)
R = TypeVar("R")


class OverlayBackend(Backend[T, X], Generic[T, X]):
    """Carry out the verbs on the rows of an open ``OverlayTransaction``.

    Args:
        adapter: What is known of the entity class.
    """

    @override
    async def run(
        self, unit: X, verb: str, work: Callable[[X], Awaitable[R]], *, writes: bool
    ) -> R:
        if unit.is_alone:
            return await work(unit)
        with unit.verb(verb, writes=writes):
            await asyncio.sleep(0)
            before = unit.rows_written
            try:
                result = await work(unit)
                await unit.end_statement()
            except Exception as error:
                if unit.rows_written > before:
                    unit.mark_rollback_only(
                        error
                    )  # it was refused in the middle of its rows
                raise
            return result

    @override
    async def insert(
        self, unit: X, entities: Sequence[T | Mapping[str, Any]], *, returning: bool
    ) -> list[T]:
        new: Sequence[Any] = entities
        if returning:
            return [await self._create(unit, entity) for entity in new]
        for entity in new:
            await self._insert(unit, entity, self.adapter.values(entity))
        return []

    async def _create(self, unit: X, entity: T) -> T:
        given = self.adapter.values(entity)
        key, row = await self._insert(unit, entity, given)
        made = {n: v for n, v in row.items() if n not in given or v is not given[n]}
        self.adapter.fill(entity, made)
        unit.objects.add_new(self.adapter, key, row, entity, given)
        return entity

    @override
    async def find(
        self,
        unit: X,
        where: Specification,
        orders: Orders,
        skip: int,
        limit: int,
        *,
        lock: Lock | None = None,
    ) -> list[T]:
        await self.lock(unit, lock)
        found = await unit.rows(self.adapter, where, orders, skip + limit)
        rows = sorted_by((row for _, row in found), orders, skip + limit)
        keys = self.adapter.key
        return [
            self._entity(unit, tuple(row[name] for name in keys), dict(row), lock)
            for row in rows[skip:]
        ]

    @override
    async def count(
        self, unit: X, where: Specification, cap: int | None, *, now: bool = False
    ) -> int:
        found = len(await unit.rows(self.adapter, where, (), cap))
        return found if cap is None else min(found, cap)

    @override
    async def aggregate(
        self, unit: X, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        groups = Groups(wanted, self.adapter.name)
        for _, row in await unit.rows(self.adapter, where):
            groups.add_row(row)
        return groups.rows()

    @override
    async def change(self, unit: X, where: Specification, changes: Changes) -> T | None:
        await unit.claim()
        for key, row in await unit.rows(self.adapter, where):
            return self._entity(unit, key, await self._change(unit, key, row, changes))
        return None

    @override
    async def update(self, unit: X, where: Specification, changes: Changes) -> int:
        await unit.claim()
        found = await unit.rows(self.adapter, where)
        for key, row in found:
            await self._change(unit, key, row, changes)
        return len(found)

    @override
    async def delete(self, unit: X, where: Specification) -> int:
        await unit.claim()
        found = await unit.rows(self.adapter, where)
        for key, _ in found:
            await unit.remove(self.adapter, key)
        return len(found)

    @override
    async def upsert(
        self,
        unit: X,
        items: Sequence[Upsert[T]],
        rule: UniqueRule,
        where: Specification,
        *,
        returning: bool,
    ) -> list[T] | None:
        stored: list[T] = []
        for item in items:
            entity = await self._upsert(unit, item, rule, where)
            if entity is None:
                return None
            stored += [entity] * returning
        return stored

    async def _upsert(
        self, unit: X, item: Upsert[T], rule: UniqueRule, where: Specification
    ) -> T | None:
        await unit.claim()
        key = await unit.holder(self.adapter, rule, item.holds)
        if key is None:
            return await self._create(unit, item.entity)  # type: ignore[arg-type] # see takes_values
        return await self.change(unit, keyed(self.adapter, key) & where, item.changes)

    @override
    def confine(self, unit: X, entity: T, fields: frozenset[str]) -> None:
        key = tuple(getattr(entity, name) for name in self.adapter.key)
        unit.objects.confine(self.adapter.entity, key, fields)

    async def lock(self, unit: X, lock: Lock | None) -> None:
        """Keep others from writing what is about to be read, where a home can.

        Raises:
            NotSupportedError: There is a lock to take, and this one can't.
        """
        if lock is not None:
            raise NotSupportedError(
                f"lock={lock!r}: a {type(unit.home).__name__} locks nothing for who "
                "reads; where another unit was faster, the commit is refused: repeat "
                "the unit by `await home.run(...)`"
            )

    async def _insert(self, unit: X, entity: T, given: Row) -> tuple[KeyTuple, Row]:
        adapter = self.adapter
        adapter.check_alone(entity)
        generated = adapter.stored(adapter.defaults(given))
        name = adapter.integer_key
        is_counted = name is not None and given.get(name) is None
        if name is not None and is_counted:
            generated[name] = await unit.next_id(adapter)
        row = {**dict.fromkeys(adapter.fields), **given, **generated}
        key = tuple(row[name] for name in adapter.key)
        await unit.claim()
        if not is_counted and await unit.row(adapter, key) is not None:
            unit.refuse(adapter, UniqueRule("primary key", adapter.key))
        await unit.write(adapter, key, row)
        return key, row

    async def _change(self, unit: X, key: KeyTuple, row: Row, changes: Changes) -> Row:
        if not changes:
            return row
        applied = self._applied(unit, row, changes)
        applied = self.adapter.validated(row, applied, are_set=False)
        fresh = self.adapter.rewritten(row, applied)
        await unit.write(self.adapter, key, fresh, row)
        return fresh

    def _applied(self, unit: X, row: Row, changes: Changes) -> Row:
        """Return *changes* with each ``Inc`` worked out on *row*; nulls stay null.

        Raises:
            ValidationError: A sum is beyond what its field holds.
        """
        added = {n: v.amount for n, v in changes.items() if isinstance(v, Inc)}
        filled = {n: amount for n, amount in added.items() if row[n] is not None}
        try:
            sums = self.adapter.stored({n: row[n] + filled[n] for n in filled})
        except ValidationError as error:
            unit.mark_rollback_only(error)  # as a server does
            raise
        return {**deep_copy(changes), **dict.fromkeys(added), **sums}

    def _entity(self, unit: X, key: KeyTuple, row: Row, lock: Lock | None = None) -> T:
        """Return the one object that stands for the row in this transaction."""
        tracked = unit.objects.get(self.adapter.entity, key)
        if tracked is not None:
            if lock is not None:  # what was read before may be stale
                unit.objects.refresh(tracked, row)
            return cast(T, unit.objects.hand_out(tracked))
        entity = self.adapter.load(row)
        unit.objects.add(self.adapter, key, row, entity)
        return entity
