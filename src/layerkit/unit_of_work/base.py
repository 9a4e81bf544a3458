"""UnitOfWork: several writes as one transaction, all stored or none."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from layerkit.core.errors import UnitOfWorkError, UsageError
from layerkit.unit_of_work.shield import shielded
from layerkit.unit_of_work.sink import EventSink
from layerkit.unit_of_work.transaction import (
    Block,
    Hook,
    Transaction,
    forget_closed_blocks,
    open_blocks,
)


class UnitOfWork(Block):
    """Make several writes one: all are stored, or none.

    ``async with database.unit_of_work() as uow:`` commits on a clean exit and rolls
    back on any error, cancellation included. A block inside another joins it: the
    outermost commits. An error that leaves an inner block after it has written makes
    the whole unit rollback-only; ``savepoint()`` is how to catch an error and go on.
    The commit and the hooks after it run to their end even when the task is cancelled.

    Args:
        choose: Returns the transaction to join or to begin; a home passes it.
        events: The sink of ``emit``; a block inside another keeps the outer one's.

    Raises:
        UsageError: *events* is no sink.
    """

    def __init__(
        self, choose: Callable[[], Transaction], *, events: EventSink | None = None
    ) -> None:
        given: object = events
        if given is not None and not isinstance(given, EventSink):
            raise UsageError(
                f"events= takes a bus or an outbox, got a {type(given).__name__}"
            )
        self._choose = choose
        self._sink = events

    async def __aenter__(self) -> Self:
        """Join the open unit of the home, or begin one.

        Raises:
            UnitOfWorkError: The block was entered before, another task or thread holds
                the unit, or it is rollback-only after an earlier error.
            UsageError: The open unit has another sink.
        """
        if self.transaction is not None:
            raise UnitOfWorkError("a unit of work is entered once; make a new one")
        await self._choose().enter(self, self._sink)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, roll back, or leave that to the block around this one.

        Raises:
            UnitOfWorkError: The exit is clean, but the unit is rollback-only after an
                earlier error.
            AppException: The commit failed and nothing is stored, or it is what left
                the block as an error of a driver.
        """
        transaction = self._open_transaction()
        failure = exc and transaction.translated(exc)
        try:
            await shielded(transaction.leave(self, failure))
        finally:
            forget_closed_blocks()
        if failure is not exc and failure is not None:
            raise failure from exc

    def emit(self, event: object) -> None:
        """Send *event* to the sink once the unit has committed, and never otherwise.

        Raises:
            UsageError: The unit has no sink, or the sink can't take *event*.
            UnitOfWorkError: The unit is closed.
        """
        self._open_transaction().emit(event)

    def after_commit(self, hook: Hook) -> None:
        """Run *hook* once, after the commit, and never after a rollback.

        An awaitable that it returns is awaited before the unit's block is left. An
        error in it is logged: the unit has committed, and the other hooks run.

        Raises:
            UnitOfWorkError: The unit is closed.
        """
        self._open_transaction().after_commit(hook)

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Return a block whose error undoes only what was done inside it.

        Hooks and events that were registered inside are dropped with it.

        Raises:
            UnitOfWorkError: The unit is closed.
            NotSupportedError: The home has no savepoints.
        """
        return self._open_transaction().savepoint()

    def _open_transaction(self) -> Transaction:
        if self.transaction is None or not self.is_open:
            raise UnitOfWorkError(
                "this unit of work is not open: use it inside its `async with` block"
            )
        return self.transaction


def current_unit() -> UnitOfWork | None:
    """Return the innermost open unit of this context, of whichever home, or None."""
    return next((b for b in open_blocks() if isinstance(b, UnitOfWork)), None)
