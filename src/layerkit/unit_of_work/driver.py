"""Coroutines driven from code that can't await, by a loop of the calling thread.

A driver that blocks never suspends the coroutine that calls it, so a verb on a
synchronous session runs to its end in the thread that asked for it.
"""

import asyncio
import inspect
import os
import threading
import weakref
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Final, cast

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.core.logging import get_logger

R = TypeVar("R")

logger = get_logger("layerkit.unit_of_work")


class _Driver:
    """Own the loop of one thread; it is closed when the thread ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(_noted)
        self.is_driving = False
        self._is_waiting = False
        weakref.finalize(self, self.loop.close)

    def run(self, work: Awaitable[R]) -> R:
        """Run *work* to its end, then what it has left behind."""
        task = asyncio.Task(self._stopping(work), loop=self.loop)
        self.is_driving = self._is_waiting = True
        _thread.has_tasks = False
        try:
            self.loop.run_forever()
            while _thread.unfinished:
                self.loop.run_until_complete(asyncio.wait(_thread.unfinished))
            return task.result()
        finally:
            self._is_waiting = False
            if _thread.has_tasks or not task.done():  # Ctrl-C came in between
                self._cancel(asyncio.all_tasks(self.loop))
            self.is_driving = False

    async def _stopping(self, work: Awaitable[R]) -> R:
        """Return what *work* returns, and stop the loop without another turn of it."""
        try:
            return await work
        finally:
            if self._is_waiting:
                self.loop.stop()

    def _cancel(self, tasks: set[asyncio.Task[object]]) -> None:
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.wait(tasks))
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("a task that was cancelled has failed", exc_info=error)


class _Thread(threading.local):
    """Have what belongs to the calling thread."""

    def __init__(self) -> None:
        self.driver: _Driver | None = None
        self.unfinished: set[asyncio.Task[None]] = set()
        self.has_tasks = False  # beside the one that is driven


_thread: Final = _Thread()
_inherited: Final[list[_Driver]] = []


def drive(work: Awaitable[R]) -> R:
    """Run *work* in the calling thread, and return its result.

    Tasks that it leaves behind are cancelled, as by ``asyncio.run``.

    Raises:
        UsageError: A loop runs in this thread already.
    """
    if is_in_loop():
        if inspect.iscoroutine(work):
            work.close()  # else Python warns that it was never awaited
        raise UsageError(
            "run() is for code that can't await, and an event loop runs in this "
            "thread: `await` the call instead"
        )
    driver = _thread.driver
    if driver is None:
        driver = _thread.driver = _Driver()
    return driver.run(work)


def finish(work: Coroutine[object, object, None]) -> None:
    """Run *work* now; inside of a running loop, as a task that ``drive`` waits for."""
    if not is_in_loop():
        drive(work)
        return
    task = asyncio.get_running_loop().create_task(work)
    _thread.unfinished.add(task)  # else nothing would hold it
    task.add_done_callback(_thread.unfinished.discard)


def is_driving() -> bool:
    """Tell whether the caller runs inside of ``drive``."""
    driver = _thread.driver
    return driver is not None and driver.is_driving


def is_in_loop() -> bool:
    """Tell whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _noted(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, R] | Generator[Any, None, R],
    **options: Any,
) -> asyncio.Task[R]:
    """Make a task; a driver asks for those that are left only where there were some."""
    _thread.has_tasks = True
    return asyncio.Task(cast(Any, work), loop=loop, **options)


def _forget_loop() -> None:
    """Let a forked process make a loop of its own: it shares the other's selector."""
    if _thread.driver is not None:
        _inherited.append(_thread.driver)  # held, for closing it would reach both
        _thread.driver = None


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_forget_loop)
