"""Units of work on a session of the caller's own: joined, adopted or refused.

A transaction that the caller began is joined and never committed here. One that
SQLAlchemy began for a read (autobegin) is adopted. One with the caller's own writes is
refused, since a commit would store what nobody asked to store.
"""

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NamedTuple, Self
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.orm import SessionTransactionOrigin as Origin
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet
from typing_extensions import override

from layerkit.core.errors import UnitOfWorkError
from layerkit.core.logging import get_logger
from layerkit.repository.stores.homes import check_loop
from layerkit.sql.blocking import BlockingSession
from layerkit.sql.dialects import binds_to_loop
from layerkit.sql.engine import check_engine
from layerkit.sql.snapshots import loaded_values, restore
from layerkit.sql.state import Loaded, ensure_state, state_of
from layerkit.sql.transaction import SQLTransaction, has_writes
from layerkit.unit_of_work import EventSink, Hook, run_hooks, shielded
from layerkit.unit_of_work.driver import finish

logger = get_logger("layerkit.sql")

_REFUSED: Final = (
    "the session's transaction has writes that no unit of work knows of, and "
    "committing would store them too. Do one of these: begin it yourself, `async with "
    "session.begin():`; commit or roll back before; or make the writes inside "
    "`async with repository.unit_of_work():`"
)


class SessionUnit(SQLTransaction):
    """Hold the one state that all repositories of a session share.

    It lives in the session's ``info``, so it refers to the session weakly: a cycle
    would leave every session to the garbage collector.

    Args:
        session: The caller's session.
    """

    def __init__(self, session: AsyncSession | Session) -> None:
        super().__init__(None, AsyncSession)  # which is not called: it is given
        self.needs_loop = not isinstance(session, Session)
        self._weakly: Callable[[], AsyncSession | None] = lambda: None
        self._unstored: Counter[str] = Counter()
        self._joined = False
        self._changes_before = 0
        self._known: Loaded = []
        self._waiting: list[_Waiting] = []
        self._marks: WeakKeyDictionary[SessionTransaction, _Mark] = WeakKeyDictionary()
        self._veto: tuple[BaseException, SessionTransaction | None] | None = None

    @property
    @override
    def session(self) -> AsyncSession:
        session = self._weakly()
        if session is None:
            raise UnitOfWorkError("the session of this unit of work is gone")
        return session

    def held(self, session: AsyncSession | Session) -> AsyncSession:
        """Return the session to work on; who uses the unit holds on to it."""
        found = self._weakly()
        if found is None:
            found = (
                BlockingSession(session) if isinstance(session, Session) else session
            )
            self._weakly = weakref.ref(found)
        return found

    def for_block(self, *, read_only: bool) -> Self:
        """Return the unit for a block to enter; the outermost says if it only reads."""
        if not self.blocks:
            self.read_only = read_only
        return self

    @override
    async def _begin(self) -> None:
        session = self.session.sync_session
        running = session.get_transaction()
        self._joined = running is not None and running.origin is Origin.BEGIN
        self.check_veto()
        if not self._joined and running is not None and has_writes(session):
            raise UnitOfWorkError(_REFUSED)
        if not self._joined and session.in_nested_transaction():
            raise UnitOfWorkError(
                "the session is inside a begin_nested() of a transaction that began by "
                "itself; begin it yourself: `async with session.begin():`"
            )
        self._known = loaded_values(session)
        self._changes_before = self.writes + self.unwritten()

    @override
    async def _commit(self) -> None:
        session = self.session.sync_session
        if not self._joined:  # else the caller's own writes would count
            self._check_read_only()
        expires, session.expire_on_commit = session.expire_on_commit, False
        try:
            await (self._flush(self.session) if self._joined else self._send_commit())
        finally:
            session.expire_on_commit = expires

    @override
    async def _rollback(self) -> None:
        if self._joined:
            if (
                self._has_changed_since(self._changes_before)
                or self._rollback_cause is not None
            ):
                self._forbid_commit(self.failure or UnitOfWorkError("it failed"))
            return
        loaded = loaded_values(self.session.sync_session)
        try:
            with self._ending():
                await self.session.rollback()
        finally:
            self._restore([*loaded, *self.state.take_kept()])

    def _restore(self, loaded: Loaded) -> None:
        known = {id(entity) for entity, _ in self._known}
        strangers = [pair for pair in loaded if id(pair[0]) not in known]
        restore([*self._known, *strangers])
        for entity, _ in strangers:
            if entity in self.session:
                # It may hold what was never stored: readable, but read afresh later.
                self.session.expunge(entity)

    @override
    def mark_rollback_only(self, cause: BaseException) -> None:
        super().mark_rollback_only(cause)
        if not self.blocks:
            # PostgreSQL turns the COMMIT after a refused statement into a ROLLBACK.
            self._forbid_commit(cause)

    def _forbid_commit(self, cause: BaseException) -> None:
        place = self.session.sync_session.get_nested_transaction()
        self._veto = self._veto or (cause, place)

    @override
    async def _release(self) -> None:
        self._known, self.read_only, self._has_failed = [], False, False
        self.state.holders.clear()

    @override
    async def _deliver(
        self, hooks: list[Hook], events: list[object], sink: EventSink | None
    ) -> None:
        if not self._joined:
            await run_hooks(hooks, events, sink)
        elif hooks or events:
            nested = self.session.sync_session.get_nested_transaction()
            run = partial(run_hooks, hooks, events, sink)
            self._waiting.append(_Waiting(nested, run))

    def note_write(self, verb: str) -> None:
        """Remember a write outside any unit: the caller has to commit it."""
        if not self.blocks:
            self._unstored[verb] += 1

    @override
    def check_caller(self, action: str) -> None:
        """Refuse a caller as any unit does, and one in another event loop.

        Raises:
            UnitOfWorkError: As for any unit.
            UsageError: What is connected belongs to another event loop.
        """
        super().check_caller(action)
        session = self.session.sync_session
        bind = session.bind
        if isinstance(bind, Engine) and binds_to_loop(bind.dialect):
            check_engine(bind, "AsyncEngine", "engine")
            check_loop(session, session.in_transaction, "AsyncSession", "session")

    # What the session's events report

    def mark(self, savepoint: SessionTransaction) -> None:
        """Remember what there is as a savepoint begins, the caller's or ours."""
        now = _Mark(
            len(self._hooks), len(self._events), self.writes, self._rollback_cause
        )
        self._marks[savepoint] = now

    def check_veto(self) -> None:
        """Raise where a unit inside the caller's transaction failed after writing.

        Raises:
            UnitOfWorkError: One did; the caller has to roll back.
        """
        if self._veto is not None:
            cause, _ = self._veto
            raise UnitOfWorkError(
                f"this transaction is rollback-only after {type(cause).__name__}: it "
                "can only roll back. To catch an error and go on, wrap what may fail "
                "in `async with uow.savepoint():`, or in "
                "`async with session.begin_nested():`"
            ) from cause

    def forget(self, ended: SessionTransaction) -> None:
        """Drop what waited for a savepoint of the caller's that was rolled back."""
        then = self._marks.pop(ended, None)
        if then is not None and self.blocks and not self._ends:
            del self._hooks[then.hooks :], self._events[then.events :]
            self.writes, self._rollback_cause = (
                then.writes,
                then.rollback_cause or self._unrecoverable,
            )
        self._waiting = [w for w in self._waiting if not _is_inside(w.nested, ended)]
        if self._veto is not None and _is_inside(self._veto[1], ended):
            self._veto = None  # what was half done is undone

    def rolled_back(self) -> None:
        """Forget writes that the caller has undone in so many words."""
        self._unstored.clear()

    def ended(self, *, committed: bool) -> None:
        """Run what waited for the caller's commit, or drop it."""
        waiting, self._waiting = self._waiting, []
        veto, self._veto = self._veto, None
        unstored, self._unstored = self._unstored, Counter()
        if committed:
            for one in waiting:
                _complete(one.run())
        elif veto is not None and _error_in_flight() is None:
            logger.warning(
                "a transaction ended without a commit, and all its writes are gone: "
                "%s was caught in it. To catch an error and go on, use a savepoint",
                type(veto[0]).__name__,
            )
        elif unstored:
            logger.warning(
                "a session was closed without a commit, and %d writes are gone (%s); "
                "write inside a unit of work, or commit",
                sum(unstored.values()),
                ", ".join(f"{name}: {count}" for name, count in unstored.items()),
            )


class _Mark(NamedTuple):
    """What a unit held when a savepoint began."""

    hooks: int
    events: int
    writes: int
    rollback_cause: BaseException | None


class _Waiting(NamedTuple):
    """What waits for the caller's commit.

    Attributes:
        nested: The caller's savepoint that the unit ran in, if any.
        run: Runs the hooks of the unit and publishes its events.
    """

    nested: SessionTransaction | None
    run: Callable[[], Coroutine[Any, Any, None]]


def unit_of(session: AsyncSession | Session) -> SessionUnit:
    """Return the one unit of *session*, made when it is first asked for."""
    found = known_unit(session)
    if found is None:
        found = SessionUnit(session)
        ensure_state(session).units.append(found)
    return found


def known_unit(session: AsyncSession | Session) -> SessionUnit | None:
    """Return the one unit of *session*; None where nobody has asked for it yet."""
    state = state_of(session)
    for unit in state.units if state is not None else ():
        if isinstance(unit, SessionUnit):
            return unit
    return None


def _complete(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* before the caller's commit returns, by which way it has come here."""
    if in_greenlet():
        await_only(shielded(work))
    else:
        finish(work)


def _error_in_flight() -> BaseException | None:
    """Return the error that is leaving the caller's block, if one is."""

    async def look() -> BaseException | None:
        return sys.exc_info()[1]  # of the stack that awaits, where the block is left

    return await_only(look()) if in_greenlet() else sys.exc_info()[1]


def _is_inside(inner: SessionTransaction | None, savepoint: SessionTransaction) -> bool:
    """Tell whether *inner* is *savepoint*, or was opened inside it."""
    while inner is not None and inner is not savepoint:
        inner = inner.parent
    return inner is not None
