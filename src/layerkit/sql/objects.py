"""Objects of one mapped class in the session of the open unit.

What is changed and removed here goes through a flush, where the mapping's own rules
run: versions, validators, events, cascades.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import CursorResult, Delete, ScalarResult, Select, Update, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified, instance_state, set_committed_value

from layerkit.core.errors import NotSupportedError, ValidationError
from layerkit.repository import Inc, KeyTuple, Lock
from layerkit.sql.deletes import (
    enforces_foreign_keys,
    follow_delete,
    hands_over,
    left_to_database,
    tables_of,
)
from layerkit.sql.errors import KeptError, SumError, failure_of
from layerkit.sql.queries import Queries
from layerkit.sql.refresh import forget, refresh_columns
from layerkit.sql.state import ensure_state

T = TypeVar("T")

_UNSYNCHRONIZED: Final = {"synchronize_session": False}


class Objects(Generic[T]):
    """Read, change and remove objects of one class.

    Args:
        session: The session of the open unit.
        queries: The statements of the class.
    """

    def __init__(self, session: AsyncSession, queries: Queries[T]) -> None:
        self.session = session
        self.adapter, self.queries = queries.adapter, queries

    def held(self, key: KeyTuple) -> T | None:
        """Return the object that stands for *key* in the session, if it is loaded."""
        identity = self.adapter.mapper.identity_key_from_primary_key(key)
        found = self.session.sync_session.identity_map.get(identity)
        return found if isinstance(found, self.adapter.entity) else None

    async def read(
        self, statement: Select[T], lock: Lock | None = None
    ) -> ScalarResult[T]:
        """Return what *statement* finds, each object once.

        Raises:
            NotSupportedError: The database has no such lock.
        """
        options = {}
        if lock is not None:
            if lock == "skip_locked" and not self.queries.server.skips_locked:
                raise NotSupportedError(
                    "SQLite locks the whole database, so there are no locked rows to "
                    'skip: use lock="wait"'
                )
            statement = statement.with_for_update(
                nowait=lock == "nowait",
                skip_locked=lock == "skip_locked",
                of=self.adapter.entity,
            )
            options["populate_existing"] = True  # what was read before may be stale
        found = await self.session.scalars(statement, execution_options=options)
        return found.unique()

    async def change(self, found: Select[T], changes: Mapping[str, Any]) -> list[T]:
        """Make *changes* to each object that *found* finds, and return them."""
        statement = self.queries.undeferred(found, changes)
        entities = list((await self.read(statement, "wait")).all())
        for entity in entities:
            for name, value in self.adapter.touching(changes).items():
                setattr(entity, name, self._worked_out(entity, name, value))
                # Else a value that was there already would not move the version on.
                flag_modified(entity, name)
        state = ensure_state(self.session)
        state.is_checked = True
        try:
            await self.session.flush()
        finally:
            state.is_checked = False
        for entity in entities:
            self.expire_rounded(entity)
        return entities

    def _worked_out(self, entity: T, name: str, value: Any) -> Any:
        """Return what *value* makes of a field, in a row that nobody else can change.

        Raises:
            SumError: A sum is beyond what the column holds.
        """
        now = getattr(entity, name)
        if not isinstance(value, Inc) or now is None:
            return None if isinstance(value, Inc) else value
        try:
            return self.adapter.stored({name: now + value.amount})[name]
        except ValidationError as error:
            raise SumError((name,)) from error

    def expire_rounded(self, entity: T) -> None:
        """Let what the database may have rounded of *entity* be read again."""
        if not self.queries.rounded:
            return
        held, session = self.adapter.held(entity), self.session.sync_session
        names = [
            name
            for name, is_rounded in self.queries.rounded.items()
            if name not in self.adapter.key  # by which it is read again
            and held.get(name) is not None
            and is_rounded(held[name])
        ]
        if names:
            session.expire(entity, names)
            ensure_state(session).expired.add(instance_state(entity))

    async def read_key(self, entity: T) -> None:
        """Let a new *entity* go by its key as it is read: PostgreSQL's CHAR has blanks.

        Else the session would hold another object of the same row beside it.
        """
        names, rounded = self.adapter.key, self.queries.rounded
        given = tuple(getattr(entity, name) for name in names)
        pairs = zip(names, given, strict=True)
        if not any(name in rounded and rounded[name](value) for name, value in pairs):
            return
        statement = select(*self.queries.key).where(self.queries.has_key(given))
        found = (await self.session.execute(statement)).one_or_none()
        if found is None:  # it was rounded, as times on MariaDB
            return
        for name, value in zip(names, found, strict=True):
            set_committed_value(entity, name, value)
        session = self.session.sync_session
        session._register_persistent({instance_state(entity)})  # noqa: SLF001 - as a flush that moves a key, so that a rollback knows of it; nothing public does

    async def remove(self, found: Select[T]) -> int:
        """Delete each object that *found* finds, and return how many.

        Raises:
            KeptError: What refers to it would be left, and the database looks away.
            DBAPIError: The database refuses it.
        """
        entities = (await self.read(found)).all()
        session, mapper = self.session, self.adapter.mapper
        enforced = await enforces_foreign_keys(session, mapper)
        with session.no_autoflush:  # what is deleted goes in one flush, below
            for entity in entities:
                await session.delete(entity)
        mappers = {instance_state(entity).mapper for entity in session.deleted}
        try:
            with left_to_database(session.sync_session, enforced=enforced):
                await session.flush()
        except DBAPIError as error:
            if not enforced and failure_of(error) == "not_null":
                # What refers to it can't be set to null.
                kept = (r for r in mapper.relationships if hands_over(r, enforced=True))
                raise KeptError(", ".join(map(str, kept))) from error
            raise
        await follow_delete(session, set().union(*map(tables_of, mappers)))
        return len(entities)

    @property
    def holds_any(self) -> bool:
        """True where the session holds objects of the class."""
        kind, *_ = self.adapter.mapper.identity_key_from_primary_key(())
        held = self.session.sync_session.identity_map
        return any(identity[0] is kind for identity in held.keys())  # noqa: SIM118 - it iterates over objects

    def known(self, keys: Iterable[KeyTuple] | None) -> list[T]:
        """Return the objects that the session holds of *keys*; of the class for None.

        Args:
            keys: What a statement has returned; None where it returned nothing.
        """
        if keys is not None:
            found = map(self.held, keys)
            return [entity for entity in found if entity is not None]
        held = self.session.sync_session.identity_map.values()
        return [entity for entity in held if isinstance(entity, self.adapter.entity)]

    async def execute(
        self, statement: Update | Delete, key: KeyTuple | None = None
    ) -> int:
        """Run *statement*, which goes past the session, and return how many it hit.

        What the session holds of these is read again, or forgotten: by the keys that
        the statement returns, where the database can; else all of the class is.

        Args:
            statement: What is run.
            key: The only one that it can hit; None where it may hit many.
        """
        session, queries = self.session, self.queries
        deletes = isinstance(statement, Delete)
        await session.flush()
        keys = None if key is None else [key]
        if keys is None and queries.returns_keys(statement) and self.holds_any:
            statement = statement.returning(*queries.key)
            result = await session.execute(statement, execution_options=_UNSYNCHRONIZED)
            keys = [tuple(row) for row in result]
            count = len(keys)
        else:
            result = await session.execute(statement, execution_options=_UNSYNCHRONIZED)
            count = result.rowcount if isinstance(result, CursorResult) else 0
        hit = self.known(keys) if count else []
        if deletes and keys is not None:
            forget(session, hit)
        else:
            await refresh_columns(session, hit)
        return count
