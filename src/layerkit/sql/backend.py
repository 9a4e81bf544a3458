"""The verbs in SQL: one statement each where the mapping and the dialect allow it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, cast

from sqlalchemy import CursorResult, delete, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import make_transient
from sqlalchemy.orm.attributes import instance_state
from typing_extensions import TypeVar, override

from layerkit.core.errors import AlreadyExistsError, NotSupportedError
from layerkit.repository import (
    ALL,
    AggregateRow,
    Aggregation,
    Inc,
    KeyTuple,
    Lock,
    Order,
    Specification,
    UniqueRule,
    Upsert,
)
from layerkit.repository.filters.aggregates import Groups
from layerkit.repository.filters.specification import key_in
from layerkit.sql.batches import insert_counted
from layerkit.sql.deletes import follow_delete, tables_of
from layerkit.sql.errors import SumError, failure_of
from layerkit.sql.loading import has_all, keep_relations, loaded_relations
from layerkit.sql.objects import Objects
from layerkit.sql.refresh import load_along, refresh_columns
from layerkit.sql.running import SessionBackend
from layerkit.sql.transaction import SQLTransaction
from layerkit.sql.upserts import Upserts, adds, ensure_all_stored, ensure_stored

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE: Final = 1_000


class SQLBackend(SessionBackend[T], Generic[T]):
    """Store mapped entities through the session of the open unit.

    Args:
        adapter: What is known of the mapped class.
        dialect_of: Returns the dialect of the database that a class lives in.
        load: Loader options for every reading statement, the repository's own.
    """

    @override
    async def insert(
        self,
        unit: SQLTransaction,
        entities: Sequence[T | Mapping[str, Any]],
        *,
        returning: bool,
    ) -> list[T]:
        objects = Objects(unit.session, self._queries)
        if not returning:
            await self._insert(objects, entities)
            return []
        new = cast("list[T]", [*entities])
        if len(new) > 1 and self._are_new(objects, new):
            return await self._create_new(objects, new)
        return [await self._create(objects, entity) for entity in new]

    async def _insert(
        self, objects: Objects[T], entities: Sequence[T | Mapping[str, Any]]
    ) -> None:
        session = objects.session
        built = [e for e in entities if isinstance(e, self._mapped.entity)]
        if not self._plainly("insert", session) or self._brings_others(built):
            if any(instance_state(entity).persistent for entity in built):
                raise AlreadyExistsError(fields=self.adapter.key)
            values = (e for e in entities if isinstance(e, Mapping))
            session.add_all([*built, *(self.adapter.build(v) for v in values)])
            await session.flush()
            return
        await session.flush()  # what the caller changed on objects goes first
        rows = [self._mapped.inserted(entity) for entity in entities]
        statement = insert(self._mapped.target)
        options = {"render_nulls": True}
        for alike in self._queries.grouped(rows):
            await session.execute(
                statement, alike, execution_options=options, bind_arguments=self._bound
            )

    def _are_new(self, objects: Objects[T], entities: list[T]) -> bool:
        """Tell whether each is there once, and the session knows none of them."""
        if len(set(map(id, entities))) < len(entities):
            return False
        names = self.adapter.key
        keys = (tuple(getattr(e, name) for name in names) for e in entities)
        is_stored = any(instance_state(e).has_identity for e in entities)
        return not is_stored and all(objects.held(key) is None for key in keys)

    async def _create_new(self, objects: Objects[T], entities: list[T]) -> list[T]:
        session, counted = objects.session, self.adapter.integer_key
        is_counted = counted and all(getattr(e, counted) is None for e in entities)
        is_alone = self._plainly("insert", session) and not self._brings_others(
            entities
        )
        if self._queries.server.counts_in_order and is_counted and is_alone:
            await insert_counted(session, self._mapped, entities)
            await load_along(session, entities, self._queries.options)
        else:
            session.add_all(entities)
            await self._flush_whole(session, entities)
        for entity in entities:
            await objects.read_key(entity)
            objects.expire_rounded(entity)
        return entities

    async def _create(self, objects: Objects[T], entity: T) -> T:
        session, state = objects.session, instance_state(entity)
        if state.detached or state.deleted:
            make_transient(entity)  # else it would count as stored, and nothing be sent
        key = tuple(getattr(entity, name) for name in self.adapter.key)
        held = None if None in key else objects.held(key)
        if held is not None and self._plainly("insert", session):
            # The session warns of two objects with one key; the database refuses.
            await session.flush()
            row = self._mapped.inserted(entity)
            await session.execute(insert(self._mapped.entity).values(row))
            await session.refresh(held)
            await load_along(session, [held], self._queries.options)
            return held
        if state.persistent:
            raise AlreadyExistsError(fields=self.adapter.key)
        session.add(entity)
        await self._flush_whole(session, [entity])
        await objects.read_key(entity)
        objects.expire_rounded(entity)
        return entity

    @override
    async def find(
        self,
        unit: SQLTransaction,
        where: Specification,
        orders: Sequence[Order],
        skip: int,
        limit: int,
        *,
        lock: Lock | None = None,
    ) -> list[T]:
        queries = self._queries
        objects = Objects(unit.session, queries)
        if skip or (found := key_in(where, self.adapter.key)) is None:
            statement = queries.page(where, orders, skip, limit)
            return list((await objects.read(statement, lock)).all())
        key, rest = found
        if rest is ALL and lock is None:
            held = objects.held(key)
            state = None if held is None else instance_state(held)
            is_known = state is not None and not state.expired_attributes
            if held is not None and is_known and has_all(held, self._brings):
                return [held]
            # The session's own way is the fastest, but it completes nothing.
            if (state is None or state.expired) and queries.sends_whole(key):
                entity = self._mapped.entity
                one = await unit.session.get(entity, key, options=queries.options)
                return [] if one is None else [one]
        return list((await objects.read(queries.select(where), lock)).all())

    @override
    async def count(
        self,
        unit: SQLTransaction,
        where: Specification,
        cap: int | None,
        *,
        now: bool = False,
    ) -> int:
        queries = self._queries
        counting = (
            queries.exists(where, now=now) if cap == 1 else queries.count(where, cap)
        )
        return (await unit.session.scalar(counting)) or 0

    @override
    async def aggregate(
        self, unit: SQLTransaction, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        session, query = unit.session, self._queries.aggregate(where, wanted)
        groups = Groups(wanted, self.adapter.name)
        if query.is_spread:
            found = await session.stream(query.statement)
            try:
                async for part in found.partitions(_AT_ONCE):
                    for row in part:
                        groups.add(*query.partial(row))
            finally:
                await found.close()
        else:
            for row in await session.execute(query.statement):
                groups.add(*query.partial(row))
        return groups.rows()

    @override
    async def change(
        self, unit: SQLTransaction, where: Specification, changes: dict[str, Any]
    ) -> T | None:
        session, queries = unit.session, self._queries
        objects = Objects(session, queries)
        mapper = self._mapped.mapper
        key, _ = key_in(where, self.adapter.key) or ((), ALL)  # it is always there
        known = objects.held(key)
        loaded = {} if known is None else loaded_relations(mapper, known)
        if self._changes_plainly(unit, changes):
            statement = queries.update(changes).where(queries.condition(where))
            options = {"populate_existing": True, "synchronize_session": False}
            with _sums(changes):
                found = await session.scalars(
                    statement.returning(self._mapped.entity), execution_options=options
                )
            entity = self._returned(session, found.one_or_none())
        else:
            changed = await objects.change(queries.select(where), changes)
            entity = changed[0] if changed else None
        if entity is not None:
            columns = self._follow(session, changes)
            if stale := keep_relations(mapper, entity, loaded, columns):
                session.expire(entity, stale)
                await objects.read(queries.select_one(key))  # what `load` names
        return entity

    @override
    async def update(
        self, unit: SQLTransaction, where: Specification, changes: dict[str, Any]
    ) -> int:
        session, queries = unit.session, self._queries
        objects = Objects(session, queries)
        if not self._plainly("update", session) or queries.adds_narrow(changes):
            return len(await objects.change(queries.select(where), changes))
        with _sums(changes):
            statement = queries.update(changes).where(queries.condition(where))
            count = await objects.execute(statement)
        self._follow(session, changes)
        return count

    @override
    async def delete(self, unit: SQLTransaction, where: Specification) -> int:
        session, queries = unit.session, self._queries
        objects = Objects(session, queries)
        if not await self._deletes_plainly(session):
            return await objects.remove(queries.select(where))
        statement = delete(self._mapped.entity).where(queries.condition(where))
        found = key_in(where, self.adapter.key)
        count = await objects.execute(statement, found and found[0])
        if count:
            await follow_delete(session, tables_of(self._mapped.mapper))
        return count

    @override
    async def upsert(
        self,
        unit: SQLTransaction,
        items: Sequence[Upsert[T]],
        rule: UniqueRule,
        where: Specification,
        *,
        returning: bool,
    ) -> list[T] | None:
        session = unit.session
        objects = Objects(session, self._queries)
        if not self._plainly("upsert", session):
            raise NotSupportedError(
                f"{self.adapter.name} is mapped with inheritance, or something listens "
                "to its inserts, updates or flushes, which an upsert passes by: use "
                "create and update"
            )
        upserts = Upserts(self._queries, rule, where)
        await session.flush()
        if returning:
            stored = [await self._upsert(objects, upserts, item) for item in items]
            kept = [entity for entity in stored if entity is not None]
            return kept if len(kept) == len(items) else None
        needs_keys = upserts.returns and (upserts.seen != ALL or objects.holds_any)
        keys: list[KeyTuple] = []
        for group, rows in upserts.groups(items):
            changes = group[0].changes
            with _sums(changes):
                if not upserts.returns:
                    is_whole = await self._settle_group(objects, upserts, group, rows)
                else:
                    statement = upserts.for_rows(changes, returning=needs_keys)
                    found = await session.execute(
                        statement, rows, bind_arguments=self._bound
                    )
                    written = [tuple(row) for row in found] if needs_keys else []
                    is_whole = len(written) == len(rows) or not needs_keys
                    keys += written
                if not is_whole:
                    return None
            self._follow(session, changes)
        if objects.holds_any:
            finds = needs_keys and self._queries.goes_by_key
            known = objects.known(keys if finds else None)
            await refresh_columns(session, known)
        return []

    async def _upsert(
        self, objects: Objects[T], upserts: Upserts[T], item: Upsert[T]
    ) -> T | None:
        with _sums(item.changes):
            stored = await self._upsert_one(objects, upserts, item)
        self._follow(objects.session, item.changes)
        return stored

    async def _upsert_one(
        self, objects: Objects[T], upserts: Upserts[T], item: Upsert[T]
    ) -> T | None:
        session = objects.session
        statement = upserts.statement(item.changes)
        statement = statement.values(self._mapped.inserted(item.entity))
        if upserts.returns:
            returning = statement.returning(self._mapped.entity)
            options = {"populate_existing": True}
            found = await session.scalars(returning, execution_options=options)
            stored = self._returned(session, found.one_or_none())
            if stored is None or self._returns(session):
                return stored
            key = instance_state(stored).identity or ()
            found = await objects.read(self._queries.select_one(key))
            return found.one_or_none()
        written = await session.execute(statement)
        changed = isinstance(written, CursorResult) and written.rowcount > 1  # MySQL's
        return await ensure_stored(
            objects, item, upserts.rule, upserts.seen, is_changed=changed
        )

    async def _settle_group(
        self,
        objects: Objects[T],
        upserts: Upserts[T],
        group: list[Upsert[T]],
        rows: list[dict[str, Any]],
    ) -> bool:
        """Store *group* where no statement returns what it has stored."""
        if any(map(adds, group)):
            for item in group:
                if await self._upsert(objects, upserts, item) is None:
                    return False
            return True
        await objects.session.execute(upserts.statement(group[0].changes).values(rows))
        return await ensure_all_stored(objects, group, upserts.rule, upserts.seen)


@contextmanager
def _sums(changes: Mapping[str, Any]) -> Iterator[None]:
    """Name the fields of sums that their columns don't hold.

    Raises:
        SumError: One of *changes* adds too much.
        DBAPIError: The statement fails for another reason.
    """
    sums = tuple(name for name, value in changes.items() if isinstance(value, Inc))
    try:
        yield
    except DBAPIError as error:
        if sums and failure_of(error) == "data":
            raise SumError(sums) from error
        raise
