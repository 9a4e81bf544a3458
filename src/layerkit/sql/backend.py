"""The verbs in SQL: one statement each where the mapping and the dialect allow it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Generic, Protocol, get_args

from sqlalchemy import (
    URL,
    CursorResult,
    Delete,
    Dialect,
    ScalarResult,
    Select,
    Table,
    Update,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    Mapper,
    QueryableAttribute,
    make_transient,
    undefer,
)
from sqlalchemy.orm.attributes import (
    flag_modified,
    instance_state,
    set_committed_value,
)
from sqlalchemy.orm.interfaces import ORMOption
from typing_extensions import TypeVar, override

from layerkit.core.errors import AlreadyExistsError, AppException, NotSupportedError
from layerkit.repository import (
    ALL,
    And,
    Backend,
    Comparison,
    Inc,
    KeyTuple,
    Lock,
    Order,
    Specification,
    UniqueRule,
    Upsert,
)
from layerkit.repository.evaluate import matches
from layerkit.sql.bypass import Way, builds_plainly, is_plain
from layerkit.sql.collections import (
    holds_collections,
    notice_collections,
    remember_collections,
)
from layerkit.sql.compile import MYSQL, condition, is_sent_whole, ordering
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.errors import DRIVER_ERRORS, translate
from layerkit.sql.loading import loader_options
from layerkit.sql.refresh import EXPIRED, fill_expired, forget, refresh_columns
from layerkit.sql.session import SessionUnit
from layerkit.sql.tracked import confine
from layerkit.sql.transaction import CHECKED, REGISTRIES, hears_flushes
from layerkit.sql.upserts import Upserts
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
R = TypeVar("R")

_UNSYNCHRONIZED: Final = {"synchronize_session": False}


class SessionHolder(Protocol):
    """Know the session of the unit of work that this context stands in."""

    def dialect_of(self, mapper: Mapper[Any] | None) -> Dialect:
        """Return the dialect of the database that the classes of *mapper* live in."""
        ...

    def session(self) -> AsyncSession:
        """Return that session."""
        ...


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
        super().__init__(adapter)
        self._mapped = adapter
        self._home = home
        self._options = (*loader_options(adapter.mapper), *load)
        self._reading = select(adapter.entity).options(*self._options)
        self._attributes: Mapping[str, QueryableAttribute[Any]] = {
            name: getattr(adapter.entity, name) for name in adapter.fields
        }
        self._nullable = {name: f.nullable for name, f in adapter.fields.items()}
        self._related = [r.key for r in adapter.mapper.relationships]
        self._deferred = {a.key for a in adapter.mapper.column_attrs if a.deferred}
        self._version = adapter.version if adapter.counts_by_one else None
        self._width = len(adapter.mapper.column_attrs)
        self._holds_collections = holds_collections(adapter.mapper)
        self._plain = {way: is_plain(adapter, way) for way in get_args(Way)}
        self._loads_more = bool(load)
        self.takes_values = self._plain["insert"] and builds_plainly(adapter)

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
            session = self._home.session().sync_session
            session.info[REGISTRIES].add(self._mapped.mapper.registry)
            autoflush = session.autoflush
            # What was changed on objects is written before statements, also where the
            # session itself would not: a statement that returns them would undo it.
            session.autoflush = autoflush or writes or bool(transaction.blocks)
            try:
                notice_collections(session)
                result = await work()
                await fill_expired(self._home.session())
                if transaction.blocks and self._holds_collections:
                    remember_collections(session)
            except AppException:
                raise  # bad data dooms nothing; what a flush refuses has doomed already
            except (SQLAlchemyError, *DRIVER_ERRORS) as error:
                translated = translate(error, self._mapped, self._url())
                transaction.doom(translated)
                raise translated from error
            except Exception as error:
                transaction.doom(error)  # a column type's, or the mapping's own code's
                raise
            finally:
                session.autoflush = autoflush
            if writes and isinstance(transaction, SessionUnit):
                transaction.note_write(verb)
            return result

    def with_options(self, load: Sequence[ORMOption]) -> "SQLBackend[T]":
        """Return the backend with more loader options."""
        return SQLBackend(self._mapped, self._home, load)

    def select(self, where: Specification = ALL) -> Select[T]:
        """Return a SELECT of what *where* means, with the options of every read."""
        if where == ALL:
            return self._reading
        return self._reading.where(self._condition(where))

    @override
    async def create(self, entity: T) -> T:
        session, state = self._home.session(), instance_state(entity)
        if state.persistent:
            raise AlreadyExistsError(fields=self.adapter.key)
        if state.detached:
            make_transient(entity)  # else it would count as stored, and nothing be sent
        key = tuple(getattr(entity, name) for name in self.adapter.key)
        held = self._held(session, key)
        if held is not None and self._plainly("insert"):
            # The session warns of two objects with one key; the database refuses.
            await session.flush()
            row = self._mapped.inserted(entity)
            await session.execute(insert(self._mapped.entity).values(row))
            await session.refresh(held)
            return held
        session.add(entity)
        await session.flush()
        return entity

    @override
    async def create_many(self, entities: Sequence[T | Mapping[str, Any]]) -> None:
        session = self._home.session()
        built = [e for e in entities if isinstance(e, self._mapped.entity)]
        if any(instance_state(entity).persistent for entity in built):
            raise AlreadyExistsError(fields=self.adapter.key)
        if not self._plainly("insert") or any(map(self._has_related, built)):
            values = (e for e in entities if isinstance(e, Mapping))
            session.add_all([*built, *(self.adapter.build(v) for v in values)])
            await session.flush()
            return
        await session.flush()  # what the caller changed on objects goes first
        rows = self._sorted_by_shape([self._mapped.inserted(e) for e in entities])
        statement = insert(self._mapped.entity)
        options = {"render_nulls": True}
        for _, alike in groupby(rows, key=lambda row: row.keys()):
            await session.execute(statement, list(alike), execution_options=options)

    @override
    async def get(
        self, key: KeyTuple, where: Specification, lock: Lock | None = None
    ) -> T | None:
        if where == ALL and lock is None:
            session = self._home.session()
            held = self._held(session, key)
            if held is not None and not instance_state(held).expired:
                return held
            pairs = zip(self._mapped.mapper.primary_key, key, strict=True)
            if all(is_sent_whole(c, v, self._dialect.name) for c, v in pairs):
                options = self._options  # the session's own way is the fastest
                return await session.get(self._mapped.entity, key, options=options)
        return (await self._read(self._select(key, where), lock)).one_or_none()

    @override
    async def find(
        self,
        where: Specification,
        orders: Sequence[Order],
        skip: int,
        limit: int,
        lock: Lock | None = None,
    ) -> list[T]:
        statement = self._loading(self.select(where), [o.field for o in orders])
        statement = statement.limit(limit).order_by(
            *ordering(orders, self._attributes, self._nullable)
        )
        if skip:
            statement = statement.offset(skip)
        return list((await self._read(statement, lock)).all())

    @override
    async def count(self, where: Specification, cap: int | None) -> int:
        rows = select(*self._key_columns()).where(self._condition(where))
        if cap is not None:
            rows = rows.limit(cap)
        counting = select(func.count()).select_from(rows.subquery())
        return (await self._home.session().scalar(counting)) or 0

    @override
    async def exists(self, key: KeyTuple, where: Specification) -> bool:
        statement = self._select_one(key, where)
        return (await self._home.session().scalar(statement)) is not None

    @override
    async def exists_now(self, key: KeyTuple, where: Specification) -> bool:
        statement = self._select_one(key, where)
        # MySQL's units read what there was at their first read, unless they lock.
        snapshots = self._dialect.name in MYSQL
        statement = statement.with_for_update(read=True) if snapshots else statement
        return (await self._home.session().scalar(statement)) is not None

    @override
    async def update(
        self, key: KeyTuple, changes: dict[str, Any], where: Specification
    ) -> T | None:
        session = self._home.session()
        known = self._held(session, key)
        loaded = {} if known is None else self._loaded_relations(known)
        if self._returns and changes and self._dialect.update_returning:
            statement = (
                self._update(changes)
                .where(self._has_key(key), self._condition(where))
                .returning(self._mapped.entity)
            )
            options = {"populate_existing": True, "synchronize_session": False}
            found = await session.scalars(statement, execution_options=options)
            entity = self._returned(found.one_or_none())
        else:
            changed = await self._change(self._select(key, where), changes)
            entity = changed[0] if changed else None
        if entity is not None:
            await self._keep_relations(entity, key, changes, loaded)
        return entity

    @override
    async def update_where(self, where: Specification, changes: dict[str, Any]) -> int:
        if not self._plainly("update"):
            return len(await self._change(self.select(where), changes))
        statement = self._update(changes).where(self._condition(where))
        return await self._execute(statement)

    @override
    async def delete(self, key: KeyTuple, where: Specification) -> bool:
        if not self._plainly("delete"):
            return bool(await self._remove(self._select(key, where)))
        session = self._home.session()
        statement = delete(self._mapped.entity)
        statement = statement.where(self._has_key(key), self._condition(where))
        result = await session.execute(statement, execution_options=_UNSYNCHRONIZED)
        known = self._held(session, key)
        gone = isinstance(result, CursorResult) and result.rowcount > 0
        if gone and known is not None:
            forget(session, [known])
        return gone

    @override
    async def delete_where(self, where: Specification) -> int:
        if not self._plainly("delete"):
            return await self._remove(self.select(where))
        statement = delete(self._mapped.entity).where(self._condition(where))
        return await self._execute(statement)

    @override
    async def upsert(
        self, item: Upsert[T], rule: UniqueRule, where: Specification
    ) -> T | None:
        session, upserts = self._home.session(), self._upserts(rule, where)
        await session.flush()
        statement, rows = upserts.statement([item])
        if upserts.returns:
            returning = statement.values(rows[0]).returning(self._mapped.entity)
            options = {"populate_existing": True}
            found = await session.scalars(returning, execution_options=options)
            stored = self._returned(found.one_or_none())
            if stored is None or self._returns:
                return stored
            key = instance_state(stored).identity or ()
            return (await self._read(self._select(key, ALL), None)).one_or_none()
        await session.execute(statement.values(rows[0]))
        return await self._settle(item, rule, where)

    @override
    async def upsert_many(
        self, items: Sequence[Upsert[T]], rule: UniqueRule, where: Specification
    ) -> bool:
        session, upserts = self._home.session(), self._upserts(rule, where)
        await session.flush()
        for group in upserts.groups(items):
            statement, rows = upserts.statement(group)
            if not upserts.returns:
                await session.execute(statement.values(rows))
                if not await self._all_settled(group, rule, where):
                    return False
            elif where == ALL:
                await session.execute(statement, rows)
            else:
                written = statement.returning(*self._key_columns())
                if len((await session.execute(written, rows)).all()) < len(rows):
                    return False
        await self._synchronize(session)
        return True

    async def _all_settled(
        self, items: Sequence[Upsert[T]], rule: UniqueRule, where: Specification
    ) -> bool:
        """Make sure that all are stored; look again at those that seem not to be."""
        changed = items[0].changes
        columns = [self._attributes[name] for name in (*rule.fields, *changed)]
        rows = [self._mapped.inserted(item.entity) for item in items]
        # By the collation, which finds more; what is found is compared exactly below.
        held = tuple_(*(self._attributes[name] for name in rule.fields)).in_(
            [tuple(row[name] for name in rule.fields) for row in rows]
        )
        seen = where if rule.where is None else where & rule.where
        statement = select(*columns).where(held, self._condition(seen))
        found = {tuple(row) for row in await self._home.session().execute(statement)}
        for item, row in zip(items, rows, strict=True):
            wanted = *(row[name] for name in rule.fields), *item.changes.values()
            is_stored = wanted in found
            if not is_stored and await self._settle(item, rule, where) is None:
                return False
        return True

    async def _settle(
        self, item: Upsert[T], rule: UniqueRule, where: Specification
    ) -> T | None:
        """Make sure that the entity of an upsert that returns nothing is stored.

        MySQL takes any unique key for the one that is meant. Ours left alone what holds
        another one, and the statement here runs into it as any other would.
        """
        held = self._mapped.inserted(item.entity)
        statement = self.select().where(self._holds(held, rule))
        statement = self._loading(statement, self._deferred)
        stored = (await self._read(statement, "wait")).one_or_none()
        if stored is None:
            session = self._home.session()
            await session.execute(insert(self._mapped.entity).values(held))
            return (await self._read(statement, None)).one_or_none()
        if not matches(where, self.adapter.values(stored)):
            return None
        if any(getattr(stored, name) != item.changes[name] for name in item.changes):
            changed = await self._change(statement, item.changes)
            return changed[0]
        return stored

    @override
    def confine(self, entity: T, fields: frozenset[str]) -> None:
        confine(entity, fields)

    # Statements

    def _sorted_by_shape(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return *rows* so that those with the same columns are one statement.

        Keys that the database counts, and rows that refer to others of their table,
        need the order as it is given.
        """
        tables = [t for t in self._mapped.mapper.tables if isinstance(t, Table)]
        names = {table.fullname for table in tables}
        targets = {
            key.target_fullname.rpartition(".")[0]
            for table in tables
            for key in table.foreign_keys
        }
        keyed = all(row.keys() >= set(self.adapter.key) for row in rows)
        if names & targets or not keyed:
            return rows
        shapes: dict[frozenset[str], int] = {}
        by_shape = (shapes.setdefault(frozenset(row), len(shapes)) for row in rows)
        ranked = sorted(zip(by_shape, rows, strict=True), key=lambda pair: pair[0])
        return [row for _, row in ranked]

    def _select(self, key: KeyTuple, where: Specification) -> Select[T]:
        return self.select(where).where(self._has_key(key))

    def _select_one(self, key: KeyTuple, where: Specification) -> Select[int]:
        statement = select(1).select_from(self._mapped.entity)
        return statement.where(self._has_key(key), self._condition(where))

    def _loading(self, statement: Select[T], names: Iterable[str]) -> Select[T]:
        """Return *statement* so that it loads columns that are deferred elsewhere."""
        late = [undefer(self._attributes[n]) for n in names if n in self._deferred]
        return statement.options(*late) if late else statement

    def _loaded_relations(self, entity: T) -> dict[str, Any]:
        held = instance_state(entity).dict
        return {name: held[name] for name in self._related if name in held}

    async def _keep_relations(
        self, entity: T, key: KeyTuple, changes: Mapping[str, Any], before: Any
    ) -> None:
        """Leave what was loaded, but for what goes by a column that has changed."""
        session = self._home.session()
        changed = {self._mapped.columns[name] for name in changes}
        relationships = self._mapped.mapper.relationships
        stale = {r.key for r in relationships if r.local_columns & changed}
        now = self._loaded_relations(entity)
        for name in before.keys() - now.keys() - stale:
            set_committed_value(entity, name, before[name])
        if stale & now.keys():
            session.expire(entity, stale & now.keys())
            await self._read(self._select(key, ALL), None)  # what `load` names

    def _held(self, session: AsyncSession, key: KeyTuple) -> T | None:
        """Return the object that stands for *key* in *session*, where it is loaded."""
        identity = self._mapped.mapper.identity_key_from_primary_key(key)
        found = session.sync_session.identity_map.get(identity)
        return found if isinstance(found, self._mapped.entity) else None

    async def _read(self, statement: Select[T], lock: Lock | None) -> ScalarResult[T]:
        options = {}
        if lock is not None:
            if lock == "skip_locked" and self._dialect.name == "sqlite":
                raise NotSupportedError(
                    "SQLite locks the whole database, so there are no locked rows to "
                    'skip: use lock="wait"'
                )
            statement = statement.with_for_update(
                nowait=lock == "nowait",
                skip_locked=lock == "skip_locked",
                of=self._mapped.entity,
            )
            options["populate_existing"] = True  # what was read before may be stale
        session = self._home.session()
        found = await session.scalars(statement, execution_options=options)
        return found.unique()

    def _upserts(self, rule: UniqueRule, where: Specification) -> Upserts[T]:
        if not self._plainly("upsert"):
            raise NotSupportedError(
                f"{self.adapter.name} is mapped with inheritance, or something listens "
                "to its inserts, updates or flushes, which an upsert passes by: use "
                "create and update"
            )
        held = None if rule.where is None else self._condition(rule.where)
        seen = self._condition(where)
        return Upserts(self._mapped, self._dialect, rule, seen, held)

    def _update(self, changes: dict[str, Any]) -> Update:
        values = self._values(changes)
        if self._version is not None:
            values[self._version] = self._attributes[self._version] + 1
        return update(self._mapped.entity).values(values)

    async def _execute(self, statement: Update | Delete) -> int:
        """Run *statement*, and let what the unit has loaded know of it."""
        session = self._home.session()
        result = await session.execute(statement, execution_options=_UNSYNCHRONIZED)
        await self._synchronize(session)
        return result.rowcount if isinstance(result, CursorResult) else 0

    async def _change(self, found: Select[T], changes: dict[str, Any]) -> list[T]:
        """Let the mapping's own rules run: versions, validators, events, cascades."""
        session = self._home.session()
        entities = (await self._read(self._loading(found, changes), "wait")).all()
        for entity in entities:
            for name, value in changes.items():
                setattr(entity, name, _worked_out(getattr(entity, name), value))
                # Else a value that was there already would not move the version on.
                flag_modified(entity, name)
        session.info[CHECKED] = True
        try:
            await session.flush()
        finally:
            session.info[CHECKED] = False
        return list(entities)

    async def _remove(self, found: Select[T]) -> int:
        """Delete objects one by one: the mapping's cascades run on them."""
        session = self._home.session()
        entities = (await self._read(found, None)).all()
        for entity in entities:
            await session.delete(entity)
        await session.flush()
        return len(entities)

    async def _synchronize(self, session: AsyncSession) -> None:
        """Let what the unit has loaded know of a statement past the session."""
        held = session.sync_session.identity_map.values()
        known = [entity for entity in held if isinstance(entity, self._mapped.entity)]
        await refresh_columns(session, known)

    @property
    def _dialect(self) -> Dialect:
        return self._home.dialect_of(self._mapped.mapper)

    def _returned(self, entity: T | None) -> T | None:
        """Return *entity*, of which no statement returns what is no column."""
        if entity is not None and len(self._mapped.columns) < self._width:
            held = self._home.session().sync_session.info[EXPIRED]
            held.add(instance_state(entity))
        return entity

    @property
    def _returns(self) -> bool:
        """True where a statement that changes a row returns all that a reader gets."""
        return self._plainly("update") and not self._loads_more

    def _plainly(self, what: Way) -> bool:
        """Tell whether a statement past the session breaks nobody's rules."""
        session = self._home.session().sync_session
        return self._plain[what] and not hears_flushes(session)

    def _has_related(self, entity: T) -> bool:
        """Tell whether other entities are to be stored along with this one."""
        held = instance_state(entity).dict
        return any(held.get(name) for name in self._related)

    def _url(self) -> URL | None:
        bind = self._home.session().sync_session.bind
        return None if bind is None else bind.engine.url

    def _values(self, changes: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._attributes[name] + value.amount
            if isinstance(value, Inc)
            else value
            for name, value in changes.items()
        }

    def _condition(self, where: Specification) -> Any:
        return condition(where, self._attributes, self._dialect.name)

    def _holds(self, values: Mapping[str, Any], rule: UniqueRule) -> Any:
        held = [Comparison(name, "eq", values[name]) for name in rule.fields]
        where = ALL if rule.where is None else rule.where
        return self._condition(And((*held, where)))

    def _key_columns(self) -> list[QueryableAttribute[Any]]:
        return [self._attributes[name] for name in self.adapter.key]

    def _has_key(self, key: KeyTuple) -> Any:
        pairs = zip(self.adapter.key, key, strict=True)
        return self._condition(And(tuple(Comparison(n, "eq", v) for n, v in pairs)))


def _worked_out(now: Any, value: Any) -> Any:
    """Return what *value* makes of *now*, in a row that nobody else can change."""
    if not isinstance(value, Inc):
        return value
    return None if now is None else now + value.amount
