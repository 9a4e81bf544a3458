"""What tests of units of work are made of: failures, cancellation, other tasks."""

import asyncio
import contextlib
import contextvars
import types
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from layerkit.core.errors import ConflictError, UnitOfWorkError, UsageError
from layerkit.unit_of_work import UnitOfWork


class Failure(Exception):  # noqa: N818 - raised by tests, to see what it undoes
    """Leave a block by an error that is nobody's but the test's."""


@contextlib.asynccontextmanager
async def undone(block: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    """Enter *block*, and leave it by a failure, which is caught.

    Raises:
        Failure: Into the block.
    """
    with pytest.raises(Failure):
        async with block as entered:
            yield entered
            raise Failure


@contextlib.asynccontextmanager
async def only_rolled_back(items: Any, *, match: str) -> AsyncIterator[Any]:
    """Open a unit that can't commit, and see that its end says so.

    Args:
        items: A repository.
        match: A regular expression that the error must match.
    """
    with pytest.raises(UnitOfWorkError, match=match):
        async with items.unit_of_work() as unit:
            yield unit


class RecordingSink:
    """Take events as a bus does, and keep them; and what hooks have to tell."""

    def __init__(self) -> None:
        self.published: list[object] = []
        self.told: list[object] = []

    def leave(self, unit: UnitOfWork, what: object) -> None:
        """Leave *what* with *unit*, as an event and as what a hook tells."""
        unit.after_commit(lambda: self.told.append(what))
        unit.emit(what)

    def check(self, event: object) -> None:
        """Refuse what is None.

        Raises:
            UsageError: *event* is None.
        """
        if event is None:
            raise UsageError("no event")

    async def before_commit(self, events: Sequence[object]) -> None:
        """Have nothing to store."""

    async def after_commit(self, events: Sequence[object]) -> None:
        """Keep *events*."""
        self.published.extend(events)


async def outside(work: Coroutine[Any, Any, Any]) -> Any:
    """Run *work* as another request would: in a task that knows of no open unit."""
    return await asyncio.create_task(work, context=contextvars.Context())


async def repeated(work: Callable[[], Awaitable[object]]) -> int:
    """Do *work* until no other unit was faster, and return how often one was."""
    overtaken = 0
    while True:
        try:
            await work()
        except ConflictError as error:
            may_try_again = error.retryable
        else:
            return overtaken
        assert may_try_again
        overtaken += 1


async def cancelled(work: Coroutine[Any, Any, None], once: asyncio.Event) -> None:
    """Run *work* in a task, and cancel it *once* it has come so far."""
    task = asyncio.create_task(work)
    await once.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cut_off(work: Coroutine[Any, Any, Any], at: int) -> bool:
    """Cancel *work* where it waits for the *at*-th time; False where it ended before.

    It runs as another request would, in a task that knows of no open unit.
    """

    async def run() -> None:
        await _cancelled(work, at)

    task = asyncio.create_task(run(), context=contextvars.Context())
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return task.cancelled()


@types.coroutine
def _cancelled(work: Coroutine[Any, Any, Any], at: int) -> Generator[Any, Any, None]:
    failure: BaseException | None = None
    while True:
        try:
            waited = work.send(None) if failure is None else work.throw(failure)
        except StopIteration:
            return
        at -= 1
        task = asyncio.current_task()
        if at == 0 and task is not None:
            task.cancel()
        failure = None
        try:
            yield waited
        except BaseException as error:  # noqa: BLE001 - it goes on into the work
            failure = error
