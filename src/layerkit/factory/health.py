"""Health: whether what the factory shares still answers."""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from layerkit.core.errors import AppException, TimeoutExceededError, UnavailableError
from layerkit.core.logging import get_logger
from layerkit.factory.keys import Key, describe
from layerkit.factory.threads import call_without_blocking

Ping: TypeAlias = Callable[[], object]

logger = get_logger("layerkit.factory")

_DIGITS: Final = 6  # of seconds: microseconds


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Say how one shared object answered.

    Attributes:
        name: The key it is registered under, numbered where two are written alike.
        ok: True where its ``ping()`` returned in time, and returned no False.
        seconds: How long that took.
        code: The ``code`` of the error: its own for an AppException,
            ``TIMEOUT_EXCEEDED``, ``UNAVAILABLE`` for False, ``INTERNAL_ERROR`` for any
            other; None where all is well. Its text goes to the log alone.
    """

    name: str
    ok: bool
    seconds: float
    code: str | None = None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Say whether the factory is open and all that it shares answers.

    Attributes:
        ok: True where it is open and every check is.
        checks: One for each shared object that can be pinged, in order of registration.
    """

    ok: bool
    checks: tuple[HealthCheck, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return ``{"ok": ..., "checks": {name: {"ok", "seconds", "code"}}}``."""
        checks = {
            c.name: {"ok": c.ok, "seconds": round(c.seconds, _DIGITS), "code": c.code}
            for c in self.checks
        }
        return {"ok": self.ok, "checks": checks}


class Pulse:
    """Ping shared objects, all at once."""

    def __init__(self) -> None:
        # A ping that has run out of time is cancelled and not waited for: what it
        # hangs in may not let go of it.
        self._pending: set[asyncio.Task[HealthCheck]] = set()

    async def take(
        self, objects: Mapping[Key, object], timeout_seconds: float
    ) -> HealthReport:
        """Return how *objects* answered; those without a ``ping()`` are left out."""
        pings = _pings(objects)
        tasks = {n: asyncio.create_task(_check(n, ping)) for n, ping in pings}
        for task in tasks.values():
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
        try:
            if tasks:
                await asyncio.wait(tasks.values(), timeout=timeout_seconds)
        finally:
            for task in tasks.values():
                task.cancel()  # which those that are done don't hear
        checks = tuple(_outcome(*each, timeout_seconds) for each in tasks.items())
        return HealthReport(all(check.ok for check in checks), checks)


def _outcome(
    name: str, task: asyncio.Task[HealthCheck], timeout_seconds: float
) -> HealthCheck:
    if not task.done():
        logger.warning("%s did not answer a ping in %s s", name, timeout_seconds)
        return HealthCheck(name, False, timeout_seconds, TimeoutExceededError.code)
    if task.cancelled():  # from inside, by what it waited for
        logger.warning("%s did not answer a ping: it was cancelled", name)
        return HealthCheck(name, False, 0.0, AppException.code)
    return task.result()


def _pings(objects: Mapping[Key, object]) -> Iterator[tuple[str, Ping]]:
    """Yield a name and the ``ping`` of each object that has one, once an object."""
    names: dict[str, int] = {}
    seen: set[int] = set()
    for key, shared in objects.items():
        ping = _ping_of(shared)
        if ping is None or id(shared) in seen:
            continue
        seen.add(id(shared))
        name = describe(key)
        count = names[name] = names.get(name, 0) + 1
        yield (name if count == 1 else f"{name} ({count})"), ping


def _ping_of(shared: object) -> Ping | None:
    # Through the class: a proxy that invents attributes has no ping of its own.
    if isinstance(shared, type) or not callable(getattr(type(shared), "ping", None)):
        return None
    ping: Ping = shared.ping  # type: ignore[attr-defined] # just checked
    try:
        inspect.signature(ping).bind()
    except (TypeError, ValueError):  # it asks for more, such as whom to ping
        return None
    return ping


async def _check(name: str, ping: Ping) -> HealthCheck:
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        # A plain function may block, or be redis's, which returns an awaitable.
        answer = await call_without_blocking(ping)
        code = UnavailableError.code if answer is False else None
    except Exception as error:
        logger.warning("%s did not answer a ping", name, exc_info=True)
        code = _code_of(error)
    return HealthCheck(name, code is None, loop.time() - start, code)


def _code_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return TimeoutExceededError.code
    return error.code if isinstance(error, AppException) else AppException.code
