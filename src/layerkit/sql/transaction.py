"""A unit of work on a session of its own, and what any session's unit needs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from sqlalchemy.orm import Session, registry
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.pool import QueuePool
from typing_extensions import override

from layerkit.core.errors import AppException, UnitOfWorkError
from layerkit.sql.collections import notice_collections, remember_collections
from layerkit.sql.dialects import server_of
from layerkit.sql.errors import driver_errors, in_doubt, is_of_database, translate
from layerkit.sql.loading import explain_unloaded
from layerkit.sql.refresh import fill_expired, refresh_columns
from layerkit.sql.snapshots import Mark, loaded_values, restore
from layerkit.sql.state import SessionState, ensure_state
from layerkit.unit_of_work import Transaction, shielded
from layerkit.unit_of_work.shield import OverdueError, within

_ENDED: Final = (
    "the session was committed, rolled back or closed inside a unit of work, which "
    "ends it itself: what came before is no longer part of the unit. Leave that call "
    "out, or make it a unit of its own"
)


class SQLTransaction(Transaction):
    """Work on a session that is made for the unit and closed with it.

    Args:
        home: What the unit belongs to.
        make_session: Makes the session; called when the unit begins.
        read_only: True where writing verbs are refused.
        needs_loop: False where the session's driver blocks.
        registries: Where the classes of its repositories are mapped.

    Attributes:
        commits_itself: True where its one statement is stored as it is sent.
    """

    def __init__(
        self,
        home: object,
        make_session: Callable[[], AsyncSession],
        *,
        read_only: bool = False,
        needs_loop: bool = True,
        registries: set[registry] | None = None,
    ) -> None:
        super().__init__(home, read_only=read_only)
        self.needs_loop = needs_loop
        self.commits_itself = False
        self._make_session = make_session
        self._registries = set() if registries is None else registries
        self._ends = self._has_failed = False
        self._session: AsyncSession

    @property
    def session(self) -> AsyncSession:
        """The session that the transaction runs on."""
        return self._session

    @property
    def state(self) -> SessionState:
        """What is known of the session."""
        return ensure_state(self.session.sync_session)

    @override
    def unwritten(self) -> int:
        session = self.session.sync_session
        notice_collections(session)
        return _pending(session)

    @override
    async def _begin(self) -> None:
        self._session = self._make_session()
        state = ensure_state(self._session)
        state.units.append(self)
        state.registries = self._registries

    @override
    async def _commit(self) -> None:
        self._check_read_only()
        await self._send_commit()

    async def _send_commit(self) -> None:
        """Write what is left to write, and commit the session.

        Raises:
            AppException: It failed, and nothing is stored; see ``in_doubt``.
        """
        session = self.session
        await self._flush(session)
        self.may_be_stored = not self.read_only
        try:
            bind = session.sync_session.bind
            if self._has_failed and bind and server_of(bind.dialect).hides_failure:
                await session.execute(text("SELECT 1"))  # which is refused, too
            with self._ending():
                await session.commit()
        except driver_errors() as error:
            failure = translate(error, registries=self.state.registries)
            raise (failure if self.read_only else in_doubt(failure)) from error

    async def _flush(self, session: AsyncSession) -> None:
        try:
            await _write(session)
        except driver_errors() as error:
            raise translate(error, registries=self.state.registries) from error

    @override
    def translated(self, error: BaseException) -> BaseException:
        if not is_of_database(error):
            return error
        failure = translate(error, registries=self.state.registries)
        self.mark_rollback_only(failure)
        return failure

    @override
    async def _rollback(self) -> None:
        loaded = loaded_values(self.session.sync_session)
        try:
            with self._ending():
                await self.session.rollback()
        finally:
            restore([*loaded, *self.state.take_kept()])

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Let the session's transaction end, here and nowhere else."""
        self._ends = True
        try:
            yield
        finally:
            self._ends = False

    def note_flush(self, session: Session) -> None:
        """Count what is about to be flushed, be it by a verb that only reads."""
        self.writes += _pending(session)

    def note_failure(self) -> None:
        """Remember that the database has refused a statement, be it a caught one."""
        self._has_failed = True

    def note_end(self) -> None:
        """Mark the unit unrecoverable where somebody else has ended its transaction."""
        if not self._ends:
            self.mark_unrecoverable(UnitOfWorkError(_ENDED))

    @override
    async def _release(self) -> None:
        session = self.session
        explain_unloaded(session.sync_session.identity_map.all_states())
        try:
            await session.close()
        finally:
            ensure_state(session).units.remove(self)  # else each would hold the other

    @override
    def _savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._nested()

    @asynccontextmanager
    async def _nested(self) -> AsyncIterator[None]:
        session = self.session
        with self.verb("savepoint", writes=False):
            try:
                await session.run_sync(_begin_by_hand)
                await _write(session)
                nested = await session.begin_nested()
                mark = Mark(session.sync_session)
            except driver_errors() as error:
                failure = translate(error, registries=self.state.registries)
                self.mark_rollback_only(failure)
                raise failure from error
        try:
            yield
            await self._keep_savepoint(nested)
        except BaseException as error:
            try:
                await self._whole(self._undo_savepoint(nested, mark))
            except AppException as failed:
                # MariaDB ends the whole transaction at a deadlock, savepoints and all.
                self.mark_unrecoverable(error)
                tells_more = getattr(
                    error, "retryable", not isinstance(error, Exception)
                )
                if not tells_more:
                    raise
                raise error from failed
            raise

    async def _keep_savepoint(self, nested: AsyncSessionTransaction) -> None:
        try:
            await _write(self.session)
            await self._whole(nested.commit())
        except driver_errors() as error:
            raise translate(error, registries=self.state.registries) from error

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

    async def _undo_savepoint(
        self, nested: AsyncSessionTransaction, mark: Mark
    ) -> None:
        session = self.session.sync_session
        open_one = session.get_nested_transaction()
        if open_one is None or open_one is not nested.sync_transaction:
            return  # released already, or gone with the whole transaction
        notice_collections(session)  # or a change inside of one would stay
        try:
            await nested.rollback()
            # Statements past the session may have changed what is not expired, too.
            await refresh_columns(self.session, mark.filled_since())
            if self.state.holders:
                remember_collections(session)
        except driver_errors() as error:
            raise translate(error, registries=self.state.registries) from error

    def _check_read_only(self) -> None:
        if not self.read_only:
            return
        notice_collections(self.session.sync_session)
        if has_writes(self.session.sync_session):
            raise UnitOfWorkError("an entity was changed in a read-only unit of work")


class SingleRead(SQLTransaction):
    """Send one reading statement, on a connection that begins no transaction."""

    @override
    def _ends_silently(self) -> bool:
        pool = getattr(self.session.sync_session.bind, "pool", None)
        return isinstance(pool, QueuePool) and pool.overflow() <= 0  # it closes nothing

    @override
    async def _end_alone(self, error: BaseException | None) -> None:
        await self._give_back()


async def _write(session: AsyncSession) -> None:
    held = session.sync_session
    notice_collections(held)
    if held.new or held.dirty or held.deleted:  # else it would switch for nothing
        await session.flush()
    await fill_expired(session)


def _pending(session: Session) -> int:
    """Return how many changes of objects wait to be flushed."""
    changed = len(session.new) + len(session.deleted)
    for entity in session.dirty:
        changed += len(instance_state(entity).committed_state)
    return changed


def has_writes(session: Session) -> bool:
    """Tell whether the running transaction has written, or is about to."""
    changed = any(session.is_modified(entity) for entity in session.dirty)
    return bool(
        session.new or changed or session.deleted or ensure_state(session).has_written
    )


def _begin_by_hand(session: Session) -> None:
    """Begin where the driver has not."""
    connection = session.connection()
    server_of(connection.dialect).begin(connection)
