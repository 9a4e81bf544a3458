"""The verbs in SQL: one statement each where the mapping and the dialect allow it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Literal, Protocol

from sqlalchemy import (
    URL,
    CursorResult,
    Select,
    and_,
    delete,
    func,
    select,
    update,
)
from sqlalchemy import inspect as inspected
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    QueryableAttribute,
    make_transient,
)
from sqlalchemy.orm.interfaces import ORMOption
from typing_extensions import TypeVar, override

from layerkit.core.errors import AlreadyExistsError, AppException
from layerkit.repository import Backend, Inc, Order, Specification
from layerkit.sql.compile import condition, ordering
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.errors import DRIVER_ERRORS, translate
from layerkit.sql.loading import loader_options
from layerkit.sql.session import SessionUnit
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
R = TypeVar("R")


class SessionHolder(Protocol):
    """Know the session of the unit of work that this context stands in."""

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
        self._attributes: Mapping[str, QueryableAttribute[Any]] = {
            name: getattr(adapter.entity, name) for name in adapter.fields
        }
        self._nullable = {name: f.nullable for name, f in adapter.fields.items()}
        self._updates_plainly = _is_plain(adapter.mapper, "update")
        self._deletes_plainly = _is_plain(adapter.mapper, "delete") and not (
            adapter.mapper.relationships
        )

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
            try:
                with _autoflush(self._home.session(), bool(transaction.blocks)):
                    result = await work()
            except AppException:
                raise  # bad data dooms nothing; what a flush refuses has doomed already
            except (SQLAlchemyError, *DRIVER_ERRORS) as error:
                translated = translate(error, self._mapped, self._url())
                transaction.doom(translated)
                raise translated from error
            except Exception as error:
                transaction.doom(error)  # a column type's, or the mapping's own code's
                raise
            if writes and isinstance(transaction, SessionUnit):
                transaction.note_write(verb)
            return result

    def with_options(self, load: Sequence[ORMOption]) -> "SQLBackend[T]":
        """Return the backend with more loader options."""
        return SQLBackend(self._mapped, self._home, load)

    def select(self) -> Select[T]:
        """Return a SELECT of the entity with the loader options of every read."""
        return select(self._mapped.entity).options(*self._options)

    @override
    async def create(self, entity: T) -> T:
        session, state = self._home.session(), _state(entity)
        if state.persistent:
            raise AlreadyExistsError(fields=self.adapter.key)
        if state.detached:
            make_transient(entity)  # else it would count as stored, and nothing be sent
        session.add(entity)
        await session.flush()
        await _fill_expired(session, entity)
        return entity

    @override
    async def get(self, key: tuple[Any, ...]) -> T | None:
        session = self._home.session()
        return await session.get(self._mapped.entity, key, options=self._options)

    @override
    async def find(
        self, where: Specification, orders: Sequence[Order], skip: int, limit: int
    ) -> list[T]:
        statement = self.select().where(self._condition(where)).limit(limit)
        statement = statement.order_by(
            *ordering(orders, self._attributes, self._nullable)
        )
        if skip:
            statement = statement.offset(skip)
        found = await self._home.session().scalars(statement)
        return list(found.unique().all())

    @override
    async def count(self, where: Specification, cap: int | None) -> int:
        rows = select(*self._key_columns()).where(self._condition(where))
        if cap is not None:
            rows = rows.limit(cap)
        counting = select(func.count()).select_from(rows.subquery())
        return (await self._home.session().scalar(counting)) or 0

    @override
    async def update(
        self, key: tuple[Any, ...], changes: dict[str, Any], when: Specification
    ) -> T | None:
        session = self._home.session()
        returns = session.get_bind().dialect.update_returning
        if self._updates_plainly and changes and returns:
            return await self._update_returning(session, key, changes, when)
        return await self._update_by_flush(session, key, changes, when)

    @override
    async def delete(self, key: tuple[Any, ...]) -> bool:
        session = self._home.session()
        if not self._deletes_plainly:
            entity = await self.get(key)  # the mapping's cascades run on objects
            if entity is not None:
                await session.delete(entity)
                await session.flush()
            return entity is not None
        statement = delete(self._mapped.entity).where(self._has_key(key))
        result = await session.execute(
            statement, execution_options={"synchronize_session": False}
        )
        known = session.sync_session.identity_map.get(
            self._mapped.mapper.identity_key_from_primary_key(key)
        )
        if known is not None:
            session.expunge(known)
        return isinstance(result, CursorResult) and result.rowcount > 0

    @override
    async def exists(self, key: tuple[Any, ...]) -> bool:
        statement = select(1).select_from(self._mapped.entity).where(self._has_key(key))
        return (await self._home.session().scalar(statement)) is not None

    async def _update_returning(
        self,
        session: AsyncSession,
        key: tuple[Any, ...],
        changes: dict[str, Any],
        when: Specification,
    ) -> T | None:
        statement = (
            update(self._mapped.entity)
            .where(self._has_key(key), self._condition(when))
            .values(self._values(changes))
            .returning(self._mapped.entity)
        )
        options = {"populate_existing": True, "synchronize_session": False}
        found = await session.scalars(statement, execution_options=options)
        return found.one_or_none()

    async def _update_by_flush(
        self,
        session: AsyncSession,
        key: tuple[Any, ...],
        changes: dict[str, Any],
        when: Specification,
    ) -> T | None:
        """Let the mapping's own rules run: versions, validators, events, cascades."""
        statement = self.select().where(self._has_key(key), self._condition(when))
        options = {"populate_existing": True}
        found = await session.scalars(
            statement.with_for_update(of=self._mapped.entity), execution_options=options
        )
        entity = found.unique().one_or_none()
        if entity is not None:
            for name, value in self._values(changes).items():
                setattr(entity, name, value)
            await session.flush()
            await _fill_expired(session, entity)
        return entity

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
        dialect = self._home.session().get_bind().dialect.name
        return condition(where, self._attributes, dialect)

    def _key_columns(self) -> list[QueryableAttribute[Any]]:
        return [self._attributes[name] for name in self.adapter.key]

    def _has_key(self, key: tuple[Any, ...]) -> Any:
        pairs = zip(self._key_columns(), key, strict=True)
        return and_(*(column == part for column, part in pairs))


@contextmanager
def _autoflush(session: AsyncSession, wanted: bool) -> Iterator[None]:
    """Write tracked changes before statements, even where the session would not."""
    sync_session = session.sync_session
    before = sync_session.autoflush
    sync_session.autoflush = before or wanted
    try:
        yield
    finally:
        sync_session.autoflush = before


def _state(entity: object) -> InstanceState[Any]:
    state: InstanceState[Any] = inspected(entity, raiseerr=True)
    return state


async def _fill_expired(session: AsyncSession, entity: object) -> None:
    """Read what the database has made up and did not return with the statement."""
    if expired := _state(entity).expired_attributes:
        await session.refresh(entity, expired)


def _is_plain(mapper: Mapper[Any], what: Literal["update", "delete"]) -> bool:
    """Tell whether a statement past the session breaks no rule of the mapping."""
    eager = any(r.lazy not in {"select", True, "raise"} for r in mapper.relationships)
    dispatch: Any = mapper.dispatch
    listens = any(getattr(dispatch, f"{when}_{what}") for when in ("before", "after"))
    return not (
        mapper.inherits
        or mapper.polymorphic_on is not None
        or mapper.version_id_col is not None
        or mapper.validators
        or listens
        or eager
    )
