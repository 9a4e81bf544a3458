"""One transaction and what hangs on it: open blocks, hooks, events, and how it ends.

A home (a database, a session, a memory) subclasses ``Transaction`` with the five
steps that are its own; who commits, and when, is decided here for all of them.
"""

import asyncio
import contextlib
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import Self, TypeAlias, TypeVar

from layerkit.core.errors import UnavailableError, UnitOfWorkError, UsageError
from layerkit.core.logging import get_logger, name_of
from layerkit.unit_of_work.driver import is_driving
from layerkit.unit_of_work.shield import (
    COMMIT_TIMEOUT_SECONDS,
    OverdueError,
    is_being_cancelled,
    shielded,
    within,
)
from layerkit.unit_of_work.sink import EventSink

R = TypeVar("R")

Hook: TypeAlias = Callable[[], object]
"""What runs after a commit; an awaitable that it returns is awaited."""

logger = get_logger("layerkit.unit_of_work")

_ONE_TASK = (
    "a unit of work belongs to one flow of control. Give each task and thread a unit, "
    "or a session, of its own, or let one call end before the next"
)

_ASYNC_DRIVER = (
    "layerkit.sync drives homes whose driver blocks, and this one's is asynchronous: "
    "give the repository a sqlalchemy.orm Session or sessionmaker; or call it in a "
    "loop, from threads by a portal of anyio.from_thread"
)


class Block:
    """One ``async with`` around work on a transaction; blocks nest."""

    transaction: "Transaction | None" = None
    is_open: bool = False
    entered_by: asyncio.Task[object] | None = None
    thread: int = 0
    changes_before: int = 0

    def told_apart(self) -> str:
        """Return what a caller that is not inside comes from another one of."""
        if self.thread != threading.get_ident():
            return "thread"
        return "context" if is_driving() else "task"  # one thread has no other task


# The blocks that this context has entered, oldest first. Contexts are copied into
# tasks and generators, so leaving is known by `is_open` and never by resetting this.
_entered: ContextVar[tuple[Block, ...]] = ContextVar("layerkit_blocks", default=())


def open_blocks() -> Iterator[Block]:
    """Yield the open blocks of this context, innermost first."""
    for block in reversed(_entered.get()):
        if block.is_open:
            yield block


def carry(block: Block) -> None:
    """Make *block*, which another context has entered, open in this one too."""
    _entered.set((*_entered.get(), block))


def forget_closed_blocks() -> None:
    """Drop closed blocks from this context, so that they are not held for ever."""
    _entered.set(tuple(block for block in _entered.get() if block.is_open))


class Transaction(ABC):
    """Hold what the blocks of one transaction share, and decide how it ends.

    Args:
        home: What the transaction belongs to; repositories of the same home share it.
        read_only: True where writing verbs are refused.

    Attributes:
        needs_loop: True where what stores is reached by an asynchronous driver, whose
            connections belong to the loop that opened them.
        is_alone: True where one verb is all of it, and nothing else joins.
        commit_timeout_seconds: How long each step of its end waits for the server.
        may_be_stored: True once the commit has been sent to the server.
    """

    needs_loop: bool = False
    is_alone: bool = False
    commit_timeout_seconds: float = COMMIT_TIMEOUT_SECONDS

    def __init__(self, home: object, *, read_only: bool = False) -> None:
        self.home = home
        self.read_only = read_only
        self.may_be_stored = False
        self.sink: EventSink | None = None
        self.failure: BaseException | None = None
        self.blocks: list[Block] = []
        self.writes = 0
        self._hooks: list[Hook] = []
        self._events: list[object] = []
        self._rollback_cause: BaseException | None = None
        self._unrecoverable: BaseException | None = None
        self._running: str | None = None
        self._idle: asyncio.Event | None = None

    # The steps of a home

    @abstractmethod
    async def _begin(self) -> None:
        """Begin the transaction, or raise and leave nothing behind."""

    @abstractmethod
    async def _commit(self) -> None:
        """Write what is left to write, and commit.

        A home that asks a server sets ``may_be_stored`` before it sends the commit.
        """

    @abstractmethod
    async def _rollback(self) -> None:
        """Undo everything; called after a failed commit too."""

    @abstractmethod
    def _savepoint(self) -> AbstractAsyncContextManager[None]:
        """Return a block whose error undoes only what was done inside it."""

    async def _release(self) -> None:  # noqa: B027 - most homes hold nothing else
        """Give back what the transaction held; called once it has ended."""

    def unwritten(self) -> int:
        """Return how many changes of tracked objects wait to be written.

        As many are added to ``writes`` when they are.
        """
        return 0

    def translated(self, error: BaseException) -> BaseException:
        """Return *error*, which leaves a block, as callers of the home know it."""
        return error

    async def _deliver(
        self, hooks: list[Hook], events: list[object], sink: EventSink | None
    ) -> None:
        """Run *hooks* and publish *events*, now that the transaction has committed."""
        await run_hooks(hooks, events, sink)

    # What blocks and verbs call

    def check_caller(self, action: str) -> None:
        """Refuse a caller that is not inside the innermost open block.

        Raises:
            UnitOfWorkError: It is not, a verb is running, or an earlier error has made
                the transaction rollback-only.
        """
        carried = _entered.get()
        if self.blocks and self.blocks[-1] not in carried:
            other = self.blocks[-1].told_apart()
            raise UnitOfWorkError(
                f"{action} from another {other} than the open unit's: {_ONE_TASK}"
            )
        for block in carried if not self.blocks else ():
            if self._is_outlived(block):
                raise UnitOfWorkError(
                    f"{action} from a {block.told_apart()} that outlived its unit of "
                    f"work: {_ONE_TASK}"
                )
        if self._running is not None:
            raise UnitOfWorkError(f"{action} while {self._running} runs: {_ONE_TASK}")
        if self._rollback_cause is not None:
            self.check_rollback_only()

    def _is_outlived(self, block: Block) -> bool:
        """Tell whether the present task began inside *block*, which has ended."""
        # Who entered the block goes on after it, also where another task has left it.
        return (
            block.transaction is self and block.entered_by is not asyncio.current_task()
        )

    @contextlib.contextmanager
    def verb(self, name: str, *, writes: bool) -> Iterator[None]:
        """Mark that verb *name* uses the transaction; a second at once is refused.

        Raises:
            UnitOfWorkError: The caller may not; the unit is rollback-only or read-only.
            UsageError: ``layerkit.sync`` drives the caller, and the driver is async.
        """
        self.check_caller(name)
        if self.needs_loop and is_driving():
            raise UsageError(_ASYNC_DRIVER)
        if writes and self.read_only:
            raise UnitOfWorkError(
                f"{name} writes, and this unit of work is read-only: "
                "open it without read_only=True"
            )
        self._running = name
        try:
            yield
        except Exception:
            raise  # the home marks what its backend refused; bad data marks nothing
        except BaseException as error:
            self.mark_rollback_only(
                error
            )  # cut off in the middle: nobody knows what was done
            raise
        else:
            self.writes += writes
        finally:
            self._running = None
            if self._idle is not None:
                self._idle.set()

    async def enter(self, block: Block, sink: EventSink | None) -> None:
        """Open *block*; the outermost one begins the transaction.

        Raises:
            UnitOfWorkError: The caller may not, or the unit is rollback-only.
            UsageError: The unit has another sink.
        """
        if not self.blocks:
            with self.verb("unit_of_work()", writes=False):
                await self._begin()
        else:
            self.check_caller("unit_of_work()")
            block.changes_before = self.writes + self.unwritten()
        if self.sink is None:
            self.sink = sink
        elif sink is not None and sink is not self.sink:
            raise UsageError(
                f"the open unit of work sends its events to {self.sink!r}, "
                f"this one names {sink!r}: one unit has one sink"
            )
        block.transaction, block.is_open = self, True
        block.entered_by, block.thread = asyncio.current_task(), threading.get_ident()
        self.blocks.append(block)
        carry(block)

    async def leave(self, block: Block, error: BaseException | None) -> None:
        """Close *block*; the outermost one commits or rolls back."""
        if self.blocks[-1] is not block:
            # A block that is left before the ones inside it: nothing can be trusted.
            self.mark_rollback_only(
                error or UnitOfWorkError("blocks were left out of order")
            )
        if self.blocks[0] is block:
            await self._conclude(error)
        else:
            if error is not None and self._has_changed_since(block.changes_before):
                self.mark_rollback_only(error)
            block.is_open = False
            self.blocks.remove(block)

    def _has_changed_since(self, changes: int) -> bool:
        # What is written while a block is open may have been changed before it.
        return self.writes + self.unwritten() > changes

    def mark_rollback_only(self, cause: BaseException) -> None:
        """Mark the transaction rollback-only; the first cause is kept."""
        if self.blocks:
            self._rollback_cause = self._rollback_cause or cause

    def mark_unrecoverable(self, cause: BaseException) -> None:
        """Mark it rollback-only for good: no savepoint around it can undo that."""
        self._unrecoverable = self._unrecoverable or cause
        self.mark_rollback_only(cause)

    def check_rollback_only(self) -> None:
        """Raise where an earlier error has made the transaction rollback-only.

        Raises:
            UnitOfWorkError: It has.
        """
        if isinstance(self._rollback_cause, UnitOfWorkError):
            raise UnitOfWorkError(str(self._rollback_cause)) from self._rollback_cause
        if self._rollback_cause is not None:
            raise UnitOfWorkError(
                "this unit of work is rollback-only after "
                f"{type(self._rollback_cause).__name__}: it can only roll back. To "
                "catch an error and go on, wrap what may fail in "
                "`async with uow.savepoint():`"
            ) from self._rollback_cause

    def emit(self, event: object) -> None:
        """Keep *event* for the sink; it leaves after the commit and never otherwise.

        Raises:
            UsageError: There is no sink, or it can't take *event*.
        """
        if self.sink is None:
            raise UsageError(
                f"emit({type(event).__name__}) has nowhere to go: open the unit with "
                "unit_of_work(events=bus), or give the service events=bus"
            )
        self.sink.check(event)
        self._events.append(event)

    def after_commit(self, hook: Hook) -> None:
        """Keep *hook* for after the commit.

        Raises:
            UsageError: It can't be called.
        """
        if not callable(hook):
            if inspect.iscoroutine(hook):
                hook.close()  # else Python warns that it was never awaited
            raise UsageError(
                "after_commit takes a function to call later, got a "
                f"{type(hook).__name__}: write after_commit(lambda: ...)"
            )
        self._hooks.append(hook)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo what is done inside when an error leaves the block, hooks included."""
        self.check_caller("savepoint()")
        hooks, events = len(self._hooks), len(self._events)
        failure: BaseException | None = None
        is_open, writes = False, 0
        try:
            async with self._savepoint():
                is_open, writes = True, self.writes
                try:
                    yield
                    self.check_rollback_only()
                except BaseException as error:
                    failure = self.translated(error)
                    if failure is not error:
                        raise failure from error
                    raise
        except BaseException as error:
            if failure is not None and error is not failure:
                self.mark_unrecoverable(error)  # it is the undoing that failed
            if is_open:  # else what came before could not be written, and it stays
                self.writes, self._rollback_cause = writes, self._unrecoverable
            del self._hooks[hooks:], self._events[events:]
            raise

    async def alone(self, work: Callable[[Self], Awaitable[R]]) -> R:
        """Run *work*, one verb, as all of this transaction.

        It has no block, so nothing else joins it, and there are no hooks.

        Raises:
            UsageError: ``layerkit.sync`` drives the caller, and the driver is async.
            AppException: What *work* raises.
        """
        if self.needs_loop and is_driving():
            raise UsageError(_ASYNC_DRIVER)
        self.is_alone = True
        await self._begin()
        try:
            result = await work(self)
        except BaseException as error:
            await shielded(self._end_alone(error))
            raise
        end = self._end_alone(None)
        await (end if self._ends_silently() else shielded(end))
        return result

    def _ends_silently(self) -> bool:
        """Tell whether its end sends nothing that could be cut off."""
        return False

    async def _end_alone(self, error: BaseException | None) -> None:
        """End the transaction of one verb, which *error* has left, if any."""
        try:
            await (self._store() if error is None else self._undo())
        finally:
            await self._give_back()

    # How it ends

    async def _conclude(self, error: BaseException | None) -> None:
        await self._await_running_verb()
        try:
            if error is not None or self._rollback_cause is not None:
                self.failure = error or self._rollback_cause
                await self._undo()
                if error is None:
                    self.check_rollback_only()
            else:
                await self._store()
        finally:
            hooks, events, sink = self._hooks, self._events, self.sink
            self._reset()
            await self._give_back()
        if error is None:
            await self._deliver(hooks, events, sink)

    async def _await_running_verb(self) -> None:
        """Wait for a verb that another task left running; trust nothing after it."""
        if self._running is not None:
            self.mark_rollback_only(
                UnitOfWorkError(
                    f"the unit of work was left while {self._running} was running, "
                    f"and is rolled back: {_ONE_TASK}"
                )
            )
            self._idle = asyncio.Event()
            await self._idle.wait()
            self._idle = None

    async def _store(self) -> None:
        try:
            async with within(self.commit_timeout_seconds):
                if self.sink is not None and self._events:
                    await self.sink.before_commit(self._events)
                with self.verb("commit", writes=False):
                    await self._commit()
        except OverdueError as error:
            await self._undo()
            raise self.overdue() from error
        except BaseException:
            await self._undo()
            raise

    def overdue(self) -> UnavailableError:
        """Return the error of an end that the server did not answer in time."""
        outcome = (
            "the unit of work may be stored. Look before you run it again"
            if self.may_be_stored
            else "nothing of the unit of work is stored"
        )
        error = UnavailableError(
            f"no answer in {self.commit_timeout_seconds} seconds "
            f"(`commit_timeout_seconds`), and the connection is dropped: {outcome}",
            kind="disconnected",
        )
        error.retryable = not self.may_be_stored
        error.public = False
        return error

    async def _undo(self) -> None:
        try:
            async with within(self.commit_timeout_seconds):
                await self._rollback()
        except Exception:
            # The error that led here is the one to show; a dead connection rolls back.
            logger.exception("rollback failed")

    async def _give_back(self) -> None:
        try:
            seconds = self.commit_timeout_seconds
            async with nullcontext() if self._ends_silently() else within(seconds):
                await self._release()
        except Exception:
            # The transaction has ended; the pool loses a connection, and nothing else.
            logger.exception("release failed")

    def _reset(self) -> None:
        for block in self.blocks:
            block.is_open = False
        self.blocks, self._hooks, self._events = [], [], []
        self.writes, self._rollback_cause, self.sink, self.failure = 0, None, None, None
        self._unrecoverable, self.may_be_stored = None, False
        forget_closed_blocks()


def transaction_of(home: object) -> Transaction | None:
    """Return the open transaction of *home* that this context is in, or None."""
    for block in reversed(_entered.get()):
        found = block.transaction
        if block.is_open and found is not None and found.home is home:
            return found
    return None


async def run_hooks(
    hooks: list[Hook], events: list[object], sink: EventSink | None
) -> None:
    """Run *hooks* in their order, then publish *events*; what fails is logged.

    Raises:
        CancelledError: The caller was cancelled; later hooks and events are lost.
    """
    for hook in hooks:
        try:
            result = hook()
            if inspect.isawaitable(result):
                await result
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            logger.exception(
                "after_commit hook %s failed; the unit has committed", name_of(hook)
            )
    if sink is not None and events:
        try:
            await sink.after_commit(events)
        except Exception:
            logger.exception("%d events were not published", len(events))
