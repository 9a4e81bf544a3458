"""A unit of work on a session of its own, and what any session's unit needs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy import inspect as inspected
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from sqlalchemy.orm import InstanceState, Session, SessionTransaction, registry
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from typing_extensions import override

from layerkit.core.errors import AppException, UnitOfWorkError
from layerkit.sql.collections import COPIES, notice_collections, remember_collections
from layerkit.sql.dialects import check_driver
from layerkit.sql.engine import keep_when_cancelled
from layerkit.sql.errors import (
    driver_errors,
    is_of_database,
    translate,
    translate_commit,
)
from layerkit.sql.loading import WATCHED, explain_unloaded
from layerkit.sql.refresh import EXPIRED, MOVED, fill_expired, refresh_columns
from layerkit.sql.tracked import check_changes
from layerkit.unit_of_work import Transaction, shielded
from layerkit.unit_of_work.shield import OverdueError, within
from layerkit.unit_of_work.transaction import open_blocks

WROTE: Final = "layerkit.wrote"
"""A key of ``session.info``: the running transaction has written something."""

CHECKED: Final = "layerkit.checked"
"""A key of ``session.info``: what is flushed now was checked by the verb at work."""

REGISTRIES: Final = "layerkit.registries"
"""A key of ``session.info``: where the classes of repositories are mapped."""

_OURS: Final = "layerkit."
_KEPT: Final = "layerkit.kept"  # what was loaded when the last rollback began

_ENDED: Final = (
    "the session was committed, rolled back or closed inside a unit of work, which "
    "ends it itself: what came before is no longer part of the unit. Leave that call "
    "out, or make it a unit of its own"
)

Loaded = list[tuple[Any, dict[str, Any]]]
"""Objects, and the column values that they had."""


class SQLTransaction(Transaction):
    """Work on a session that is made for the unit and closed with it.

    Args:
        home: What the unit belongs to.
        make_session: Makes the session; called when the unit begins.
        read_only: True where writing verbs are refused.
        needs_loop: False where the session's driver blocks.
    """

    def __init__(
        self,
        home: object,
        make_session: Callable[[], AsyncSession],
        *,
        read_only: bool = False,
        needs_loop: bool = True,
    ) -> None:
        super().__init__(home, read_only=read_only)
        self.needs_loop = needs_loop
        self._make_session = make_session
        self._ends = self._has_failed = False
        self._session: AsyncSession

    @property
    def session(self) -> AsyncSession:
        """The session that the transaction runs on."""
        return self._session

    @override
    def unwritten(self) -> int:
        notice_collections(self.session.sync_session)
        return self._pending()

    def _pending(self) -> int:
        session = self.session.sync_session
        states = [inspected(entity, raiseerr=True) for entity in session.dirty]
        changed = sum(len(state.committed_state) for state in states)
        return changed + len(session.new) + len(session.deleted)

    @override
    async def _begin(self) -> None:
        self._session = self._make_session()
        watch(self.session)

    @override
    async def _commit(self) -> None:
        self._check_read_only()
        await self._send_commit()

    async def _send_commit(self) -> None:
        """Write what is left to write, and commit the session.

        Raises:
            AppException: It failed, and nothing is stored; see ``translate_commit``.
        """
        await self._flush()
        self.may_be_stored = not self.read_only
        try:
            bind = self.session.sync_session.bind
            if self._has_failed and bind and bind.dialect.name == "postgresql":
                # It answers a COMMIT with ROLLBACK, and no error, after a refusal.
                await self.session.execute(text("SELECT 1"))
            with self._ending():
                await self.session.commit()
        except driver_errors() as error:
            told = translate if self.read_only else translate_commit
            raise told(error, registries=self._registries) from error

    async def _write(self) -> None:
        notice_collections(self.session.sync_session)
        await self.session.flush()
        await fill_expired(self.session)

    async def _flush(self) -> None:
        try:
            await self._write()
        except driver_errors() as error:
            raise translate(error, registries=self._registries) from error

    @override
    def translated(self, error: BaseException) -> BaseException:
        if not is_of_database(error):
            return error
        failure = translate(error, registries=self._registries)
        self.doom(failure)
        return failure

    @property
    def _registries(self) -> set[registry]:
        found: set[registry] = self.session.sync_session.info[REGISTRIES]
        return found

    @override
    async def _rollback(self) -> None:
        kept = loaded_values(self.session.sync_session)
        try:
            with self._ending():
                await self.session.rollback()
        finally:
            restore([*kept, *kept_values(self.session.sync_session)])

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Let the session's transaction end, here and nowhere else."""
        self._ends = True
        try:
            yield
        finally:
            self._ends = False

    def note_flush(self) -> None:
        """Count what is about to be flushed, be it by a verb that only reads."""
        self.writes += self._pending()

    def note_failure(self) -> None:
        """Remember that the database has refused a statement, be it a caught one."""
        self._has_failed = True

    def note_end(self) -> None:
        """Doom the unit where somebody else has ended its transaction."""
        if not self._ends:
            self.lose(UnitOfWorkError(_ENDED))

    @override
    async def _release(self) -> None:
        for state in self.session.sync_session.identity_map.all_states():
            explain_unloaded(state)
        await self.session.close()

    @override
    def _savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._nested()

    @asynccontextmanager
    async def _nested(self) -> AsyncIterator[None]:
        session = self.session
        with self.verb("savepoint", writes=False):
            try:
                await session.run_sync(begin_by_hand)
                await self._write()
                nested = await session.begin_nested()
            except driver_errors() as error:
                failure = translate(error, registries=self._registries)
                self.doom(failure)
                raise failure from error
        try:
            yield
            await self._keep_savepoint(nested)
        except BaseException as error:
            try:
                await self._whole(self._undo_savepoint(nested))
            except AppException as failed:
                # MariaDB ends the whole transaction at a deadlock, savepoints and all.
                self.lose(error)
                tells_more = getattr(
                    error, "retryable", not isinstance(error, Exception)
                )
                if not tells_more:
                    raise
                raise error from failed
            raise

    async def _keep_savepoint(self, nested: AsyncSessionTransaction) -> None:
        try:
            await self._write()
            await self._whole(nested.commit())
        except driver_errors() as error:
            raise translate(error, registries=self._registries) from error

    async def _whole(self, step: Awaitable[None]) -> None:
        """Await *step* to its end, cancelled or not, but not for ever.

        Raises:
            UnavailableError: The server did not answer in time.
        """

        async def bounded() -> None:
            async with within(self.commit_timeout_seconds):
                await step

        try:
            await shielded(bounded())
        except OverdueError as error:
            raise self.overdue() from error

    async def _undo_savepoint(self, nested: AsyncSessionTransaction) -> None:
        open_one = self.session.sync_session.get_nested_transaction()
        if open_one is None or open_one is not nested.sync_transaction:
            return  # released already, or gone with the whole transaction
        try:
            await nested.rollback()
            # Statements past the session may have changed what is not expired, too.
            held = list(self.session.sync_session.identity_map.values())
            await refresh_columns(self.session, held)
            if self.session.sync_session.info[COPIES]:
                remember_collections(self.session.sync_session)
        except driver_errors() as error:
            raise translate(error, registries=self._registries) from error

    def _check_read_only(self) -> None:
        notice_collections(self.session.sync_session)
        if self.read_only and has_writes(self.session.sync_session):
            raise UnitOfWorkError("an entity was changed in a read-only unit of work")


class SingleRead(SQLTransaction):
    """Send one reading statement, on a connection that begins no transaction."""

    @override
    async def _commit(self) -> None:
        self._check_read_only()

    @override
    async def _release(self) -> None:
        with self._ending():
            await super()._release()


def watch(session: AsyncSession | Session) -> None:
    """Let the listeners here and in ``loading`` care for *session*."""
    info = {WATCHED: True, _KEPT: [], COPIES: {}}
    session.info.update(info | {EXPIRED: WeakSet(), MOVED: WeakSet()})
    session.info.setdefault(REGISTRIES, set())


def has_writes(session: Session) -> bool:
    """Tell whether the running transaction has written, or is about to."""
    changed = any(session.is_modified(entity) for entity in session.dirty)
    return bool(session.new or changed or session.deleted or session.info.get(WROTE))


def kept_values(session: Session) -> Loaded:
    """Return what the last rollback found, and forget it."""
    kept: Loaded = session.info[_KEPT]
    session.info[_KEPT] = []
    return kept


@event.listens_for(Session, "before_flush")
def _check_changes(session: Session, _: object, __: object) -> None:
    """Refuse in a unit of work what a verb would have refused.

    Raises:
        AppException: What ``check_changes`` raises; the unit is doomed.
    """
    unit = _unit_on(session)
    if unit is None or session.info.get(CHECKED):
        return
    try:
        for entity in session.dirty:
            check_changes(session, entity)
    except AppException as error:
        unit.doom(error)
        raise
    unit.note_flush()


@event.listens_for(Session, "after_flush")
def _note_expired(session: Session, _: object) -> None:
    """Note what was written: the database may have made up values of it."""
    if session.info.get(WATCHED):
        written = (*session.new, *session.dirty)
        session.info[EXPIRED].update(map(instance_state, written))


def hears_flushes(session: Session) -> bool:
    """Tell whether somebody else listens to what *session* flushes."""
    dispatch: Any = session.dispatch
    events = (
        dispatch.before_flush,
        dispatch.after_flush,
        dispatch.after_flush_postexec,
    )
    listeners = (listener for heard in events for listener in heard)
    return any(not heard.__module__.startswith(_OURS) for heard in listeners)


@event.listens_for(Engine, "handle_error")
def _note_failure(_: object) -> None:
    for block in open_blocks():
        if isinstance(block.transaction, SQLTransaction):
            block.transaction.note_failure()


@event.listens_for(Session, "after_transaction_end")
def _note_end(session: Session, ended: SessionTransaction) -> None:
    unit = None if ended.parent is not None else _unit_on(session)
    if unit is not None:
        unit.note_end()


def _unit_on(session: Session) -> SQLTransaction | None:
    """Return the open unit of work on *session* that this context stands in."""
    for block in open_blocks():
        unit = block.transaction
        if isinstance(unit, SQLTransaction) and unit.session.sync_session is session:
            return unit
    return None


@event.listens_for(Session, "after_begin")
def _set_up(session: Session, _: object, connection: Connection) -> None:
    """Treat an engine of the caller's, once it is seen, as one of ours.

    Raises:
        UsageError: Its driver is not supported.
    """
    if session.info.get(WATCHED):
        check_driver(connection.dialect)
        keep_when_cancelled(connection.dialect)


@event.listens_for(Session, "after_rollback")
def _keep(session: Session) -> None:
    """Remember what is loaded before it expires; a failed flush rolls back too."""
    if session.info.get(WATCHED) and not session.in_nested_transaction():
        session.info[_KEPT] = loaded_values(session)


def loaded_values(session: Session) -> Loaded:
    """Return every object of *session* with its loaded column values."""
    found: Loaded = []
    for entity in session.identity_map.values():
        state: InstanceState[Any] = inspected(entity, raiseerr=True)
        columns = state.mapper.column_attrs
        found.append((entity, {k: v for k, v in state.dict.items() if k in columns}))
    return found


def restore(kept: Iterable[tuple[Any, dict[str, Any]]]) -> None:
    """Set the values of objects whose attributes have been expired since."""
    for entity, values in kept:
        state: InstanceState[Any] = inspected(entity, raiseerr=True)
        for name, value in values.items():
            if name not in state.dict:
                set_committed_value(entity, name, value)


def begin_by_hand(session: Session) -> None:
    """Begin on SQLite where its driver has not.

    Python's sqlite3 begins before the first write only; a savepoint before that would
    be the outermost transaction, and its release a commit.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        if driver is not None and not driver.in_transaction:
            connection.exec_driver_sql("BEGIN")
