"""Running the verbs of a mapped class on the session of a unit of work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Generic, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.interfaces import ORMOption
from typing_extensions import TypeVar, override

from layerkit.core.errors import AppException
from layerkit.repository import ALL, Backend, Specification
from layerkit.repository.stores.backend import Verb
from layerkit.sql.bypass import Way, builds_plainly, is_plain
from layerkit.sql.collections import (
    holds_collections,
    notice_collections,
    remember_collections,
)
from layerkit.sql.deletes import enforces_foreign_keys, relies_on_database
from layerkit.sql.engine import hears_flushes
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.errors import in_doubt
from layerkit.sql.loading import brought_along, loaded_relations
from layerkit.sql.moves import follow_update
from layerkit.sql.queries import Queries
from layerkit.sql.reading import failure_in
from layerkit.sql.refresh import fill_expired, load_along
from layerkit.sql.session import SessionUnit
from layerkit.sql.state import ensure_state
from layerkit.sql.tracked import confine
from layerkit.sql.transaction import SQLTransaction

T = TypeVar("T")
R = TypeVar("R")

_SAFE: Final = (sa.Boolean, sa.Float, sa.Integer, sa.LargeBinary, sa.String)


class SessionBackend(Backend[T, SQLTransaction], Generic[T]):
    """Know a mapped class in its home, and run the verbs that a subclass writes.

    Args:
        adapter: What is known of the mapped class.
        dialect_of: Returns the dialect of the database that a class lives in.
        load: Loader options for every reading statement, the repository's own.
    """

    def __init__(
        self,
        adapter: MappedAdapter[T],
        dialect_of: Callable[[Mapper[Any]], sa.Dialect],
        load: Sequence[ORMOption] = (),
    ) -> None:
        adapter = adapter.on(dialect_of)
        super().__init__(adapter)
        self._mapped = adapter
        self._dialect_of = dialect_of
        self._load = load
        self._bound = {"mapper": adapter.mapper}
        self._plain: dict[Way, bool] = {}
        self._with: dict[tuple[ORMOption, ...], Self] = {}

    @cached_property
    def _queries(self) -> Queries[T]:
        mapper, dialect_of = self._mapped.mapper, self._dialect_of
        return Queries(self._mapped, lambda: dialect_of(mapper), self._load)

    @cached_property
    def _brings(self) -> list[list[str]]:
        """What a read brings along, as paths of names."""
        return brought_along(self._mapped.mapper, self._queries.options)

    @property
    @override
    def takes_values(self) -> bool:
        return self._is_plain("insert") and builds_plainly(self._mapped)

    @override
    def at_once(self, verb: Verb, given: Any = None) -> bool:
        if verb == "read":
            is_spread = given is not None and self._queries.spreads(given)
            return not (self._brings or is_spread)  # a cursor needs a transaction
        if not self._is_whole:
            return False
        queries, mapper = self._queries, self._mapped.mapper
        if verb == "insert":
            is_alone = self._makes_safely and not self._brings_others([given])
            return self._is_plain("insert") and is_alone
        if verb == "delete":
            relies = relies_on_database(mapper)
            always = queries.server.foreign_keys is None
            return self._is_plain("delete") and (always or not relies)
        if verb == "update":
            return self._is_plain("update") and not queries.adds_narrow(given)
        if not (self._is_plain("update") and self._reads_safely):
            return False
        if verb == "upsert":
            return self._is_plain("upsert") and queries.server.returns_upserts
        is_narrow = queries.adds_narrow(given)
        return queries.dialect.update_returning and bool(given) and not is_narrow

    @cached_property
    def _reads_safely(self) -> bool:
        """True where nothing that is stored can fail to be read, once it is written."""
        return not self._load and all(map(_is_safe, self._mapped.columns.values()))

    @cached_property
    def _makes_safely(self) -> bool:
        """True where nothing that the database makes can fail to be read."""
        columns = self._mapped.columns.values()
        return all(_is_safe(c) for c in columns if _is_made(c))

    @cached_property
    def _is_whole(self) -> bool:
        """True where a statement that writes a row returns all that a reader gets."""
        mapper = self._mapped.mapper
        return not (
            self._brings
            or self._queries.rounded
            or len(self._mapped.columns) < len(mapper.column_attrs)
            or len(mapper.tables) > 1
            or mapper.eager_defaults is False
        )

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
            AppException: It failed; refused by the database, the unit is rollback-only.
        """
        try:
            result = await work(unit)
            await fill_expired(unit.session)
        except AppException:
            raise  # bad data leaves the unit as it is; a refused flush has marked it
        except Exception as error:
            bind = unit.session.sync_session.bind
            url = None if bind is None else bind.engine.url
            failure = failure_in(error, self._mapped, url)
            is_sent = getattr(error, "statement", None) is not None
            if unit.commits_itself and is_sent and isinstance(failure, AppException):
                failure = in_doubt(failure)
            unit.mark_rollback_only(failure)
            if failure is error:
                raise  # a column type's, or the mapping's own code's
            raise failure from error
        return result

    def with_options(self, load: Sequence[ORMOption]) -> Self:
        """Return the backend with more loader options, made once for each list."""
        if not load:
            return self
        found = self._with.get(key := tuple(load))
        if found is None:
            made = type(self)(self._mapped, self._dialect_of, load)
            found = self._with[key] = made
        return found.refreshed()

    def refreshed(self) -> Self:
        """Return this backend, which asks again who listens to the class."""
        self._plain.clear()
        return self

    def select(self, where: Specification = ALL) -> sa.Select[T]:
        """Return a SELECT of what matches *where*, with the options of every read."""
        return self._queries.select(where)

    @override
    def confine(self, unit: SQLTransaction, entity: T, fields: frozenset[str]) -> None:
        confine(entity, fields)

    def _follow(
        self, session: AsyncSession, changes: Iterable[str]
    ) -> set[sa.ColumnElement[Any]]:
        """Let what the unit holds know what *changes* lead to, and return columns."""
        columns: set[sa.ColumnElement[Any]] = {self._mapped.columns[n] for n in changes}
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
        return self._plainly("update", session) and not self._load

    def _changes_plainly(
        self, unit: SQLTransaction, changes: Mapping[str, Any]
    ) -> bool:
        """Tell whether one statement changes a row and returns it."""
        if unit.commits_itself:
            return True  # it is on its way because of that
        returns = bool(changes) and self._queries.dialect.update_returning
        is_narrow = self._queries.adds_narrow(changes)
        return returns and not is_narrow and self._returns(unit.session)

    def _brings_others(self, entities: Sequence[T]) -> bool:
        """Tell whether related objects would be inserted with *entities*."""
        mapper = self._mapped.mapper
        if not mapper.relationships:
            return False
        related = (loaded_relations(mapper, entity).values() for entity in entities)
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


def _is_safe(column: sa.Column[Any]) -> bool:
    """Tell whether any value that is stored can be read, whoever has written it."""
    return isinstance(column.type, _SAFE) and not isinstance(column.type, sa.Enum)


def _is_made(column: sa.Column[Any]) -> bool:
    """Tell whether the database may make the value of a new row."""
    default: Any = column.default
    is_sql = default is not None and default.is_clause_element
    return is_sql or column.server_default is not None
