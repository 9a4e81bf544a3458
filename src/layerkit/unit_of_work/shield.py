"""Running what must not be torn in two, such as a commit, but not for ever."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

R = TypeVar("R")

COMMIT_TIMEOUT_SECONDS: Final = 30.0
"""How long the end of a unit of work waits for its server, where nobody says more."""

_AGAIN_SECONDS: Final = 1.0


class OverdueError(Exception):
    """Say that what ran inside ``within`` was cut off."""


class _Late:
    """Cut off a task that is late; no closure, which would hold itself and the task.

    Attributes:
        cuts: How often it was cancelled.
        timer: When it will be.
    """

    timer: asyncio.TimerHandle

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.cuts = 0

    def cut_in(self, seconds: float) -> None:
        """Cut it off after *seconds*, and from then on until it gives way."""
        self.timer = self.task.get_loop().call_later(seconds, self._cut)

    def _cut(self) -> None:
        self.cuts += 1
        self.task.cancel()
        self.cut_in(_AGAIN_SECONDS)


async def shielded(work: Coroutine[Any, Any, R]) -> R:
    """Run *work* to its end, also when the caller is cancelled meanwhile.

    Raises:
        CancelledError: The caller was cancelled; raised once *work* has ended well.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Cut off what runs inside after *seconds*; without a running loop, never.

    A driver may take the first cancellation for a wish to wait for the server's answer
    to that, as psycopg does, so it is cancelled again until it gives way.

    Raises:
        OverdueError: It was cut off.
    """
    task = running_task()
    if task is None:
        yield
        return
    late = _Late(task)
    late.cut_in(seconds)
    try:
        yield
    except BaseException as error:
        if late.cuts and task.cancelling() <= late.cuts:
            raise OverdueError from error
        raise
    finally:
        late.timer.cancel()
        for _ in range(late.cuts):
            task.uncancel()


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that runs this, or None where no event loop does."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # driven by hand, as by the synchronous sessions
        return None


def is_being_cancelled() -> bool:
    """Tell whether somebody cancels the present task.

    A CancelledError in a task that nobody cancels comes from something that the task
    has awaited, so it is an error like any other.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
