"""The verbs in SQL: one statement each where the mapping and the dialect allow it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, Generic, Self, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Dialect,
    Select,
    delete,
    insert,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, make_transient
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.interfaces import ORMOption
from typing_extensions import TypeVar, override

from layerkit.core.errors import AlreadyExistsError, AppException, NotSupportedError
from layerkit.repository import (
    ALL,
    AggregateRow,
    Aggregation,
    Backend,
    Inc,
    KeyTuple,
    Lock,
    Order,
    Specification,
    UniqueRule,
    Upsert,
)
from layerkit.repository.filters.aggregates import Groups
from layerkit.repository.filters.specification import key_in, parts_of, spelled_out
from layerkit.sql.batches import insert_counted
from layerkit.sql.bypass import Way, builds_plainly, hears_flushes, is_plain
from layerkit.sql.collections import (
    holds_collections,
    notice_collections,
    remember_collections,
)
from layerkit.sql.deletes import (
    enforces_foreign_keys,
    follow_delete,
    relies_on_database,
    tables_of,
)
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.errors import SumError, failure_of
from layerkit.sql.loading import (
    brought_along,
    has_all,
    keep_relations,
    loaded_relations,
)
from layerkit.sql.moves import follow_update
from layerkit.sql.objects import Objects
from layerkit.sql.queries import Queries
from layerkit.sql.reading import failure_in
from layerkit.sql.refresh import fill_expired, load_along, refresh_columns
from layerkit.sql.session import SessionUnit
from layerkit.sql.state import ensure_state
from layerkit.sql.tracked import confine
from layerkit.sql.transaction import SQLTransaction
from layerkit.sql.upserts import Upserts, adds, all_settled, settle

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE: Final = 1_000
_UNSYNCHRONIZED: Final = {"synchronize_session": False}


class SQLBackend(Backend[T, SQLTransaction], Generic[T]):
    """Store mapped entities through the session of the open unit.

    Args:
        adapter: What is known of the mapped class.
        dialect_of: Returns the dialect of the database that a class lives in.
        load: Loader options for every reading statement, the repository's own.
    """

    def __init__(
        self,
        adapter: MappedAdapter[T],
        dialect_of: Callable[[Mapper[Any]], Dialect],
        load: Sequence[ORMOption] = (),
    ) -> None:
        adapter = adapter.on(dialect_of)
        super().__init__(adapter)
        self._mapped = adapter
        self._dialect_of = dialect_of
        self._queries = Queries(adapter, lambda: dialect_of(adapter.mapper), load)
        self._bound = {"mapper": adapter.mapper}
        self._plain: dict[Way, bool] = {}
        self._loads_more = bool(load)
        self._with: dict[tuple[ORMOption, ...], SQLBackend[T]] = {}

    @cached_property
    def _brings(self) -> list[list[str]]:
        """What a read brings along, as paths of names."""
        return brought_along(self._mapped.mapper, self._queries.options)

    @property
    @override
    def takes_values(self) -> bool:
        return self._is_plain("insert") and builds_plainly(self._mapped)

    @property
    @override
    def reads_at_once(self) -> bool:
        return not self._brings

    @cached_property
    def _floats(self) -> list[str]:
        return [n for n, f in self.adapter.fields.items() if f.kind is float]

    @override
    async def run(
        self,
        unit: SQLTransaction,
        verb: str,
        work: Callable[[SQLTransaction], Awaitable[R]],
        *,
        writes: bool,
    ) -> R:
        if unit.is_alone:
            return await self._reported(unit, work)
        with unit.verb(verb, writes=writes):
            await asyncio.sleep(0)
            session = unit.session.sync_session
            autoflush = session.autoflush
            # What was changed on objects is written before statements, also where the
            # session itself would not: a statement that returns them would undo it.
            session.autoflush = autoflush or writes or bool(unit.blocks)
            try:
                notice_collections(session)
                result = await self._reported(unit, work)
            finally:
                session.autoflush = autoflush
            if unit.blocks and holds_collections(self._mapped.mapper):
                remember_collections(session)
            if writes and isinstance(unit, SessionUnit):
                unit.note_write(verb)
            return result

    async def _reported(
        self, unit: SQLTransaction, work: Callable[[SQLTransaction], Awaitable[R]]
    ) -> R:
        """Return what *work* returns, whole, with a driver's errors translated.

        Raises:
            AppException: It failed; where the database refused it, the unit is doomed.
        """
        try:
            result = await work(unit)
            await fill_expired(unit.session)
        except AppException:
            raise  # bad data dooms nothing; what a flush refuses has doomed already
        except Exception as error:
            bind = unit.session.sync_session.bind
            url = None if bind is None else bind.engine.url
            failure = failure_in(error, self._mapped, url)
            unit.doom(failure)
            if failure is error:
                raise  # a column type's, or the mapping's own code's
            raise failure from error
        return result

    def with_options(self, load: Sequence[ORMOption]) -> "SQLBackend[T]":
        """Return the backend with more loader options, made once for each list."""
        if not load:
            return self
        found = self._with.get(key := tuple(load))
        if found is None:
            found = self._with[key] = SQLBackend(self._mapped, self._dialect_of, load)
        return found.refreshed()

    def refreshed(self) -> Self:
        """Return this backend, which asks again who listens to the class."""
        self._plain.clear()
        return self

    def select(self, where: Specification = ALL) -> Select[T]:
        """Return a SELECT of what *where* means, with the options of every read."""
        return self._queries.select(where)

    @override
    async def insert(
        self,
        unit: SQLTransaction,
        entities: Sequence[T | Mapping[str, Any]],
        *,
        returning: bool,
    ) -> list[T]:
        objects, new = self._objects(unit), [*entities]
        if not returning:
            await self._insert(objects, new)
            return []
        return await self._create_all(objects, cast("list[T]", new))

    async def _create(self, objects: Objects[T], entity: T) -> T:
        session, state = objects.session, instance_state(entity)
        if state.detached or state.deleted:
            make_transient(entity)  # else it would count as stored, and nothing be sent
        key = tuple(getattr(entity, name) for name in self.adapter.key)
        held = objects.held(key)
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

    async def _create_all(self, objects: Objects[T], entities: list[T]) -> list[T]:
        session, key = objects.session, self.adapter.key
        is_known = any(
            instance_state(e).has_identity
            or objects.held(tuple(getattr(e, name) for name in key)) is not None
            for e in entities
        )
        is_one = len(set(map(id, entities))) < max(2, len(entities))
        if is_known or is_one:
            return [await self._create(objects, entity) for entity in entities]
        counted = self.adapter.integer_key
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
        queries, objects = self._queries, self._objects(unit)
        if skip or (found := key_in(where, self.adapter.key)) is None:
            statement = queries.page(where, orders, skip, limit)
            return list((await objects.read(statement, lock)).all())
        key, rest = found
        if rest is ALL and lock is None:
            held = objects.held(key)
            is_known = held is not None and not instance_state(held).expired
            if held is not None and is_known and has_all(held, self._brings):
                return [held]
            # The session's own way is the fastest, but it completes nothing.
            if not is_known and queries.sends_whole(key):
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
        session, queries, objects = unit.session, self._queries, self._objects(unit)
        mapper, spelled = self._mapped.mapper, spelled_out(parts_of(where))
        key = tuple(spelled[name] for name in self.adapter.key)
        known = objects.held(key)
        loaded = {} if known is None else loaded_relations(mapper, known)
        returns = self._returns(session) and not queries.adds_narrow(changes)
        if returns and changes and queries.dialect().update_returning:
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
        session, queries, objects = unit.session, self._queries, self._objects(unit)
        if not self._plainly("update", session) or queries.adds_narrow(changes):
            return len(await objects.change(queries.select(where), changes))
        with _sums(changes):
            statement = queries.update(changes).where(queries.condition(where))
            count = await objects.execute(statement)
        self._follow(session, changes)
        return count

    @override
    async def delete(self, unit: SQLTransaction, where: Specification) -> int:
        session, queries, objects = unit.session, self._queries, self._objects(unit)
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
        session, objects = unit.session, self._objects(unit)
        upserts = self._upserts(session, rule, where)
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
        return await settle(
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
        return await all_settled(objects, group, upserts.rule, upserts.seen)

    @override
    def confine(self, unit: SQLTransaction, entity: T, fields: frozenset[str]) -> None:
        confine(entity, fields)

    def _objects(self, unit: SQLTransaction) -> Objects[T]:
        return Objects(unit.session, self._queries)

    def _upserts(
        self, session: AsyncSession, rule: UniqueRule, where: Specification
    ) -> Upserts[T]:
        if not self._plainly("upsert", session):
            raise NotSupportedError(
                f"{self.adapter.name} is mapped with inheritance, or something listens "
                "to its inserts, updates or flushes, which an upsert passes by: use "
                "create and update"
            )
        queries = self._queries
        return Upserts(queries, rule, where)

    def _follow(
        self, session: AsyncSession, changes: Iterable[str]
    ) -> set[ColumnElement[Any]]:
        """Let what the unit holds know what *changes* lead to, and return columns."""
        columns: set[ColumnElement[Any]] = {self._mapped.columns[n] for n in changes}
        follow_update(session.sync_session, columns)
        return columns

    def _returned(self, session: AsyncSession, entity: T | None) -> T | None:
        """Return *entity*, of which no statement returns what is no column.

        SQLite's RETURNING makes integers of whole floats; a SELECT does not.
        """
        for name in self._floats if entity is not None else ():
            value = instance_state(entity).dict.get(name)
            if isinstance(value, int):
                set_committed_value(entity, name, float(value))
        width = len(self._mapped.mapper.column_attrs)
        if entity is not None and len(self._mapped.columns) < width:
            ensure_state(session).expired.add(instance_state(entity))
        return entity

    def _returns(self, session: AsyncSession) -> bool:
        """Tell whether a statement that changes a row returns all a reader gets."""
        return self._plainly("update", session) and not self._loads_more

    def _brings_others(self, entities: Sequence[T]) -> bool:
        """Tell whether related objects would be inserted with *entities*."""
        related = (loaded_relations(self._mapped.mapper, e).values() for e in entities)
        return any(map(any, related))

    def _plainly(self, what: Way, session: AsyncSession) -> bool:
        """Tell whether a statement past the session breaks nobody's rules."""
        return self._is_plain(what) and not hears_flushes(session.sync_session)

    def _is_plain(self, what: Way) -> bool:
        if what not in self._plain:
            self._plain[what] = is_plain(self._mapped, what)
        return self._plain[what]

    async def _flush_whole(self, session: AsyncSession, entities: Sequence[T]) -> None:
        """Write new *entities*, and read what a read of them brings along."""
        new = [*session.new]  # with what the entities bring along themselves
        await session.flush()
        await load_along(session, entities, self._queries.options)
        await load_along(session, new)

    async def _deletes_plainly(self, session: AsyncSession) -> bool:
        """Tell whether a DELETE does all that the mapping and the tables ask for."""
        mapper = self._mapped.mapper
        if not self._plainly("delete", session):
            return False
        relies = relies_on_database(mapper)
        return not relies or await enforces_foreign_keys(session, mapper)


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
