"""What may block: functions and context managers that run in threads."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar, Token, copy_context
from functools import partial
from typing import Any, Final, Generic

from typing_extensions import TypeVar

from layerkit.unit_of_work import shielded

T = TypeVar("T")
R = TypeVar("R")

_ABSENT: Final = object()


class InThread(Generic[T]):
    """The asynchronous form of a context manager: it blocks a thread, not the loop.

    A cancellation waits for either end, so nothing stays open. Context variables are
    as if there were no threads: who enters sees what is set, and tokens stay valid.

    Args:
        manager: What is entered and left, each in some thread.
    """

    def __init__(self, manager: AbstractContextManager[T]) -> None:
        self._manager = manager
        self._context = copy_context()
        self._set: dict[ContextVar[Any], Token[Any]] = {}

    async def __aenter__(self) -> T:
        """Enter it.

        Raises:
            CancelledError: The caller was cancelled; it was left again.
        """
        enter = partial(self._context.run, self._manager.__enter__)
        try:
            return await self._run(asyncio.to_thread(enter))
        except asyncio.CancelledError as error:  # it was entered meanwhile
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(self, *raised: Any) -> None:
        """Leave it."""
        leave = partial(self._manager.__exit__, *raised)
        await self._run(_in_new_thread(partial(self._context.run, leave)))

    async def _run(self, step: Coroutine[Any, Any, R]) -> R:
        before = dict(self._context)
        try:
            return await shielded(step)
        finally:
            self._bring_back(before, dict(self._context))

    def _bring_back(
        self, before: dict[ContextVar[Any], Any], after: dict[ContextVar[Any], Any]
    ) -> None:
        """Do to the caller's variables what a step has done to those of the threads."""
        for variable, value in after.items():
            if before.get(variable, _ABSENT) is not value:
                self._set[variable] = variable.set(value)
        for variable in before.keys() - after.keys():
            with suppress(ValueError):  # left in another task than it was entered in
                variable.reset(self._set[variable])


async def call_without_blocking(
    function: Callable[..., object], *args: object, **kwargs: object
) -> object:
    """Return what *function* returns, awaited; a plain one runs in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    result = await asyncio.to_thread(function, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


async def _in_new_thread(work: Callable[[], R]) -> R:
    """Return what *work* does in a new thread.

    Those of a pool may all wait for a connection that only a clean-up gives back.
    """
    thread = ThreadPoolExecutor(max_workers=1)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    finally:
        thread.shutdown(wait=False)
