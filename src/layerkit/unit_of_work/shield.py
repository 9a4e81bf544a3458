"""Running what must not be torn in two, such as a commit and its hooks."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


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


def is_being_cancelled() -> bool:
    """Tell whether somebody cancels the present task.

    A CancelledError in a task that nobody cancels comes from something that the task
    has awaited, so it is an error like any other.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
