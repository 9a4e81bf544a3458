"""The verbs in SQL: one statement each where the mapping and the dialect allow it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, Generic, Self

from sqlalchemy import (
    URL,
    ColumnElement,
    CursorResult,
    Delete,
    Select,
    Update,
    delete,
    insert,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import make_transient
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
from layerkit.sql.batches import insert_counted
from layerkit.sql.bypass import Way, builds_plainly, is_plain
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
from layerkit.sql.objects import Objects, SessionHolder
from layerkit.sql.queries import Queries
from layerkit.sql.reading import failure_in
from layerkit.sql.refresh import EXPIRED, fill_expired, forget, load_along
from layerkit.sql.session import SessionUnit
from layerkit.sql.tracked import confine
from layerkit.sql.transaction import hears_flushes
from layerkit.sql.upserts import Upserts, adds, all_settled, settle
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE: Final = 1_000
_UNSYNCHRONIZED: Final = {"synchronize_session": False}


class SQLBackend(Backend[T], Generic[T]):
    """Store mapped entities through the session of the open unit.

    Args:
        adapter: What is known of the mapped class.
        home: Knows the session.
        load: Loader options for every reading statement, the repository's own.
    """

    def __init__(
        self,
        adapter: MappedAdapter[T],
        home: SessionHolder,
        load: Sequence[ORMOption] = (),
    ) -> None:
        adapter = adapter.on(home.dialect_of)
        super().__init__(adapter)
        self._mapped = adapter
        self._home = home
        self._queries = Queries(adapter, lambda: home.dialect_of(adapter.mapper), load)
        self._objects = Objects(home, self._queries)
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
        transaction: Transaction,
        verb: str,
        work: Callable[[], Awaitable[R]],
        *,
        writes: bool,
    ) -> R:
        with transaction.verb(verb, writes=writes):
            await asyncio.sleep(0)
            held = self._home.session()
            session = held.sync_session
            autoflush = session.autoflush
            # What was changed on objects is written before statements, also where the
            # session itself would not: a statement that returns them would undo it.
            session.autoflush = autoflush or writes or bool(transaction.blocks)
            try:
                notice_collections(session)
                result = await work()
                await fill_expired(held)
                if transaction.blocks and holds_collections(self._mapped.mapper):
                    remember_collections(session)
            except AppException:
                raise  # bad data dooms nothing; what a flush refuses has doomed already
            except Exception as error:
                failure = failure_in(error, self._mapped, self._url())
                transaction.doom(failure)
                if failure is error:
                    raise  # a column type's, or the mapping's own code's
                raise failure from error
            finally:
                session.autoflush = autoflush
            if writes and isinstance(transaction, SessionUnit):
                transaction.note_write(verb)
            return result

    def with_options(self, load: Sequence[ORMOption]) -> "SQLBackend[T]":
        """Return the backend with more loader options, made once for each list."""
        if not load:
            return self
        found = self._with.get(key := tuple(load))
        if found is None:
            found = self._with[key] = SQLBackend(self._mapped, self._home, load)
        return found.refreshed()

    def refreshed(self) -> Self:
        """Return this backend, which asks again who listens to the class."""
        self._plain.clear()
        return self

    def select(self, where: Specification = ALL) -> Select[T]:
        """Return a SELECT of what *where* means, with the options of every read."""
        return self._queries.select(where)

    @override
    async def create(self, entity: T) -> T:
        session, state = self._home.session(), instance_state(entity)
        if state.detached or state.deleted:
            make_transient(entity)  # else it would count as stored, and nothing be sent
        key = tuple(getattr(entity, name) for name in self.adapter.key)
        held = self._objects.held(key)
        if held is not None and self._plainly("insert"):
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
        await self._flush_whole([entity])
        await self._objects.read_key(entity)
        self._objects.expire_rounded(entity)
        return entity

    @override
    async def create_many(self, entities: Sequence[T | Mapping[str, Any]]) -> None:
        session = self._home.session()
        built = [e for e in entities if isinstance(e, self._mapped.entity)]
        if not self._plainly("insert") or self._brings_others(built):
            if any(instance_state(entity).persistent for entity in built):
                raise AlreadyExistsError(fields=self.adapter.key)
            values = (e for e in entities if isinstance(e, Mapping))
            session.add_all([*built, *(self.adapter.build(v) for v in values)])
            await session.flush()
            return
        await session.flush()  # what the caller changed on objects goes first
        rows = [self._mapped.inserted(entity) for entity in entities]
        statement = insert(self._mapped.entity)
        options = {"render_nulls": True}
        for alike in self._queries.grouped(rows):
            await session.execute(statement, alike, execution_options=options)

    @override
    async def create_all(self, entities: Sequence[T]) -> list[T]:
        session, key = self._home.session(), self.adapter.key
        is_known = any(
            instance_state(e).has_identity
            or self._objects.held(tuple(getattr(e, name) for name in key)) is not None
            for e in entities
        )
        if is_known or len(set(map(id, entities))) < len(entities):
            return await super().create_all(entities)
        name, counted = self._queries.dialect().name, self.adapter.integer_key
        is_counted = counted and all(getattr(e, counted) is None for e in entities)
        is_alone = self._plainly("insert") and not self._brings_others(entities)
        if name == "sqlite" and is_counted and is_alone:
            await insert_counted(session, self._mapped, entities)
            await load_along(session, entities, self._queries.options)
        else:
            session.add_all(entities)
            await self._flush_whole(entities)
        for entity in entities:
            await self._objects.read_key(entity)
            self._objects.expire_rounded(entity)
        return list(entities)

    @override
    async def get(
        self, key: KeyTuple, where: Specification, lock: Lock | None = None
    ) -> T | None:
        if where == ALL and lock is None:
            held = self._objects.held(key)
            is_known = held is not None and not instance_state(held).expired
            if is_known and has_all(held, self._brings):
                return held
            # The session's own way is the fastest, but it completes nothing.
            if not is_known and self._queries.sends_whole(key):
                session, options = self._home.session(), self._queries.options
                return await session.get(self._mapped.entity, key, options=options)
        found = await self._objects.read(self._queries.select_one(key, where), lock)
        return found.one_or_none()

    @override
    async def find(
        self,
        where: Specification,
        orders: Sequence[Order],
        skip: int,
        limit: int,
        lock: Lock | None = None,
    ) -> list[T]:
        statement = self._queries.page(where, orders, skip, limit)
        return list((await self._objects.read(statement, lock)).all())

    @override
    async def count(self, where: Specification, cap: int | None) -> int:
        counting = self._queries.count(where, cap)
        return (await self._home.session().scalar(counting)) or 0

    @override
    async def aggregate(
        self, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        session, query = self._home.session(), self._queries.aggregate(where, wanted)
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
    async def exists(self, key: KeyTuple, where: Specification) -> bool:
        statement = self._queries.exists(key, where)
        return (await self._home.session().scalar(statement)) is not None

    @override
    async def exists_now(self, key: KeyTuple, where: Specification) -> bool:
        statement = self._queries.exists(key, where, now=True)
        return (await self._home.session().scalar(statement)) is not None

    @override
    async def update(
        self, key: KeyTuple, changes: dict[str, Any], where: Specification
    ) -> T | None:
        session, queries = self._home.session(), self._queries
        mapper, known = self._mapped.mapper, self._objects.held(key)
        loaded = {} if known is None else loaded_relations(mapper, known)
        returns = self._returns and not queries.adds_narrow(changes)
        if returns and changes and queries.dialect().update_returning:
            meant = (queries.has_key(key), queries.condition(where))
            statement = queries.update(changes).where(*meant)
            options = {"populate_existing": True, "synchronize_session": False}
            with _sums(changes):
                found = await session.scalars(
                    statement.returning(self._mapped.entity), execution_options=options
                )
            entity = self._returned(found.one_or_none())
        else:
            one = queries.select_one(key, where)
            changed = await self._objects.change(one, changes)
            entity = changed[0] if changed else None
        if entity is not None:
            columns = self._follow(changes)
            if stale := keep_relations(mapper, entity, loaded, columns):
                session.expire(entity, stale)
                await self._objects.read(queries.select_one(key))  # what `load` names
        return entity

    @override
    async def update_where(self, where: Specification, changes: dict[str, Any]) -> int:
        if not self._plainly("update") or self._queries.adds_narrow(changes):
            return len(await self._objects.change(self.select(where), changes))
        meant = self._queries.condition(where)
        with _sums(changes):
            count = await self._execute(self._queries.update(changes).where(meant))
        self._follow(changes)
        return count

    @override
    async def delete(self, key: KeyTuple, where: Specification) -> bool:
        session, queries = self._home.session(), self._queries
        if not await self._deletes_plainly():
            return await self._objects.remove(queries.select_one(key, where)) > 0
        statement = delete(self._mapped.entity)
        statement = statement.where(queries.has_key(key), queries.condition(where))
        result = await session.execute(statement, execution_options=_UNSYNCHRONIZED)
        known = self._objects.held(key)
        gone = isinstance(result, CursorResult) and result.rowcount > 0
        if gone:
            forget(session, [] if known is None else [known])
            await follow_delete(session, tables_of(self._mapped.mapper))
        return gone

    @override
    async def delete_where(self, where: Specification) -> int:
        if not await self._deletes_plainly():
            return await self._objects.remove(self.select(where))
        statement = delete(self._mapped.entity)
        statement = statement.where(self._queries.condition(where))
        count = await self._execute(statement)
        await follow_delete(self._home.session(), tables_of(self._mapped.mapper))
        return count

    @override
    async def upsert(
        self, item: Upsert[T], rule: UniqueRule, where: Specification
    ) -> T | None:
        upserts = self._upserts(rule, where)
        await self._home.session().flush()
        with _sums(item.changes):
            stored = await self._upsert(upserts, item, rule, where)
        self._follow(item.changes)
        return stored

    async def _upsert(
        self,
        upserts: Upserts[T],
        item: Upsert[T],
        rule: UniqueRule,
        where: Specification,
    ) -> T | None:
        session = self._home.session()
        statement, rows = upserts.statement([item])
        if upserts.returns:
            returning = statement.values(rows[0]).returning(self._mapped.entity)
            options = {"populate_existing": True}
            found = await session.scalars(returning, execution_options=options)
            stored = self._returned(found.one_or_none())
            if stored is None or self._returns:
                return stored
            key = instance_state(stored).identity or ()
            found = await self._objects.read(self._queries.select_one(key))
            return found.one_or_none()
        written = await session.execute(statement.values(rows[0]))
        changed = isinstance(written, CursorResult) and written.rowcount > 1  # MySQL's
        return await settle(self._objects, item, rule, where, is_changed=changed)

    @override
    async def upsert_many(
        self, items: Sequence[Upsert[T]], rule: UniqueRule, where: Specification
    ) -> bool:
        upserts = self._upserts(rule, where)
        await self._home.session().flush()
        for group in upserts.groups(items):
            with _sums(group[0].changes):
                if not await self._upsert_group(upserts, group, rule, where):
                    return False
            self._follow(group[0].changes)
        await self._objects.synchronize()
        return True

    async def _upsert_group(
        self,
        upserts: Upserts[T],
        group: list[Upsert[T]],
        rule: UniqueRule,
        where: Specification,
    ) -> bool:
        session = self._home.session()
        statement, rows = upserts.statement(group)
        if not upserts.returns and any(map(adds, group)):
            for item in group:
                if await self.upsert(item, rule, where) is None:
                    return False
        elif not upserts.returns:
            await session.execute(statement.values(rows))
            return await all_settled(self._objects, group, rule, where)
        elif where == ALL:
            await session.execute(statement, rows)
        else:
            written = statement.returning(*self._queries.key)
            return len((await session.execute(written, rows)).all()) == len(rows)
        return True

    @override
    def confine(self, entity: T, fields: frozenset[str]) -> None:
        confine(entity, fields)

    def _upserts(self, rule: UniqueRule, where: Specification) -> Upserts[T]:
        if not self._plainly("upsert"):
            raise NotSupportedError(
                f"{self.adapter.name} is mapped with inheritance, or something listens "
                "to its inserts, updates or flushes, which an upsert passes by: use "
                "create and update"
            )
        queries = self._queries
        held = None if rule.where is None else queries.condition(rule.where)
        seen = queries.condition(where)
        return Upserts(self._mapped, queries.dialect(), rule, seen, held)

    async def _execute(self, statement: Update | Delete) -> int:
        """Run *statement*, and let what the unit has loaded know of it."""
        session = self._home.session()
        result = await session.execute(statement, execution_options=_UNSYNCHRONIZED)
        await self._objects.synchronize()
        return result.rowcount if isinstance(result, CursorResult) else 0

    def _follow(self, changes: Iterable[str]) -> set[ColumnElement[Any]]:
        """Let what the unit holds know what *changes* lead to, and return columns."""
        columns: set[ColumnElement[Any]] = {self._mapped.columns[n] for n in changes}
        follow_update(self._home.session().sync_session, columns)
        return columns

    def _returned(self, entity: T | None) -> T | None:
        """Return *entity*, of which no statement returns what is no column.

        SQLite's RETURNING makes integers of whole floats; a SELECT does not.
        """
        for name in self._floats if entity is not None else ():
            value = instance_state(entity).dict.get(name)
            if isinstance(value, int):
                set_committed_value(entity, name, float(value))
        width = len(self._mapped.mapper.column_attrs)
        if entity is not None and len(self._mapped.columns) < width:
            held = self._home.session().sync_session.info[EXPIRED]
            held.add(instance_state(entity))
        return entity

    @property
    def _returns(self) -> bool:
        """True where a statement that changes a row returns all that a reader gets."""
        return self._plainly("update") and not self._loads_more

    def _brings_others(self, entities: Sequence[T]) -> bool:
        """Tell whether related objects would be inserted with *entities*."""
        related = (loaded_relations(self._mapped.mapper, e).values() for e in entities)
        return any(map(any, related))

    def _plainly(self, what: Way) -> bool:
        """Tell whether a statement past the session breaks nobody's rules."""
        session = self._home.session().sync_session
        return self._is_plain(what) and not hears_flushes(session)

    def _is_plain(self, what: Way) -> bool:
        if what not in self._plain:
            self._plain[what] = is_plain(self._mapped, what)
        return self._plain[what]

    async def _flush_whole(self, entities: Sequence[T]) -> None:
        """Write new *entities*, and read what a read of them brings along."""
        session = self._home.session()
        new = [*session.new]  # with what the entities bring along themselves
        await session.flush()
        await load_along(session, entities, self._queries.options)
        await load_along(session, new)

    async def _deletes_plainly(self) -> bool:
        """Tell whether a DELETE does all that the mapping and the tables ask for."""
        session, mapper = self._home.session(), self._mapped.mapper
        if not self._plainly("delete"):
            return False
        relies = relies_on_database(mapper)
        return not relies or await enforces_foreign_keys(session, mapper)

    def _url(self) -> URL | None:
        bind = self._home.session().sync_session.bind
        return None if bind is None else bind.engine.url


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
