"""Home: where entities live, and what a repository takes in a home's place."""

import asyncio
import math
import random
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias, runtime_checkable

from typing_extensions import TypeVar

from layerkit.core.errors import AppException, ConflictError, UsageError
from layerkit.core.logging import get_logger
from layerkit.core.ports import PORTS, Port
from layerkit.repository.entities.adapter import EntityAdapter
from layerkit.repository.entities.registry import load_sql
from layerkit.repository.filters.bounds import check_number
from layerkit.repository.filters.cursors import process_key
from layerkit.repository.stores.backend import Backend
from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork, transaction_of
from layerkit.unit_of_work.shield import COMMIT_TIMEOUT_SECONDS, running_task

T = TypeVar("T")
R = TypeVar("R")

OTHER_LOOP: Final = (
    "this {0} is in use in another event loop, and what it has open belongs to that "
    "one: make one {1} for each loop. In tests, let the fixture of the {1} and "
    "the tests have one loop (in pytest-asyncio, the same loop_scope), or make one "
    "for each test; in a program, call asyncio.run once, or close the connections "
    "before it ends"
)

_SHORTEST_SECRET: Final = 16
_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 1.0
_ALONE: Final = 50  # how often a verb of its own is tried, where homes are optimistic
_SHORT_SECONDS: Final = 0.001
_HIGHEST_PORT: Final = 65_535
_SESSIONS: Final = {
    *("AsyncSession", "async_sessionmaker", "async_scoped_session"),
    *("Session", "sessionmaker"),
}

logger = get_logger("layerkit.repository")


class Home(ABC):
    """Own connections, make units of work, and hand out backends for repositories."""

    optimistic: ClassVar[bool] = False
    """True where a commit may be refused because another unit was faster.

    A verb outside of a unit of work is then repeated.
    """

    _cursor_key: bytes | None = None
    _commit_timeout_seconds: float = COMMIT_TIMEOUT_SECONDS

    async def __aenter__(self) -> Self:
        """Return the home; it connects when it is first used."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what the home has opened itself."""
        await self.close()

    async def close(self) -> None:  # noqa: B027 - not every home has opened anything
        """Close what the home has opened itself; what the caller gave it stays open."""

    @abstractmethod
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        """Return a unit of work of this home; inside another it joins that one."""

    def transaction(self) -> Transaction | None:
        """Return the transaction that this context works in, or None outside a unit."""
        return transaction_of(self)

    @abstractmethod
    def backend(self, adapter: EntityAdapter[T]) -> Backend[T]:
        """Return what stores entities of the adapter's class in this home."""

    async def alone(
        self, verb: Callable[[Any], Awaitable[R]], *, writes: bool, single: bool = False
    ) -> R:
        """Run *verb* in a unit of its own, and again where the home is optimistic.

        Args:
            verb: What is run; it is given the transaction.
            writes: False where it only reads.
            single: True where it is one statement, which needs no transaction.

        Raises:
            ConflictError: Others were faster each time.
        """
        attempts = _ALONE if self.optimistic else 1
        for attempt in range(1, attempts):
            try:
                return await self._once(verb, writes=writes, single=single)
            except ConflictError as error:
                if error.kind != "serialization":
                    raise
            await asyncio.sleep(_at_random(_SHORT_SECONDS * min(attempt, 10)))
        return await self._once(verb, writes=writes, single=single)

    async def _once(
        self,
        verb: Callable[[Any], Awaitable[R]],
        *,
        writes: bool,
        single: bool,  # noqa: ARG002 - Database sends that without a transaction
    ) -> R:
        reading = None if writes else self._reading()
        if reading is not None:
            return await reading.alone(verb)
        async with self.unit_of_work(read_only=not writes) as unit:
            return await verb(unit.transaction)

    def _reading(self) -> Transaction | None:
        """Return a transaction for one read; None where it takes a unit of work."""
        return None

    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[R]],
        *,
        attempts: int = 3,
        events: EventSink | None = None,
    ) -> R:
        """Run *work* in a unit of work, and all of it again where that may help.

        What was written, hooks and events of an attempt that failed are gone with it.
        Inside an open unit of this home there is one attempt: a part can't be repeated.
        A commit that the connection broke in is not repeated: the unit may be stored.

        Args:
            work: Takes the unit; called once an attempt.
            attempts: How often at most, 1 or more.
            events: Where ``emit`` sends events.

        Returns:
            What *work* returned in the attempt that committed.

        Raises:
            AppException: Not ``retryable``, or of the last attempt.
        """
        check_number("attempts", attempts, 1)
        open_one = self.transaction()
        if open_one is not None and open_one.blocks:
            attempts = 1
        attempt = 1
        while True:
            try:
                async with self.unit_of_work(events=events) as unit:
                    return await work(unit)
            except AppException as error:
                if not error.retryable or attempt >= attempts:
                    raise
                pause = _pause_seconds(attempt, error.retry_after)
                logger.info(
                    "attempt %d of %d failed by %s; the next in %.3f seconds",
                    attempt,
                    attempts,
                    type(error).__name__,
                    pause,
                )
            await asyncio.sleep(pause)
            attempt += 1

    def cursor_key(self) -> bytes:
        """Return what cursors are signed with: the secret, or a key of this process."""
        return self._cursor_key or process_key()

    def _set_cursor_secret(self, secret: str | bytes | None) -> None:
        """Sign cursors with *secret*; with None, by a key of this process.

        Raises:
            UsageError: It is shorter than 16 bytes.
        """
        if secret is None:
            return
        key = secret.encode() if isinstance(secret, str) else secret
        if len(key) < _SHORTEST_SECRET:
            raise UsageError(
                f"cursor_secret has {len(key)} bytes; 16 or more keep cursors from "
                "being forged"
            )
        self._cursor_key = key

    def _set_commit_timeout(self, seconds: float) -> None:
        """Let the end of a unit of work wait *seconds* for the server.

        Raises:
            UsageError: They are no time.
        """
        if not 0 < seconds < math.inf:
            raise UsageError(
                f"commit_timeout_seconds is a number above 0, got {seconds!r}"
            )
        self._commit_timeout_seconds = seconds


def _pause_seconds(attempt: int, retry_after: timedelta | None) -> float:
    """Return how long to wait after *attempt*."""
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**attempt)
    wanted = retry_after.total_seconds() if retry_after else 0.0
    return max(wanted, _at_random(longest))


def _at_random(longest: float) -> float:
    """Return a pause of *longest* at most, so that rivals don't meet again."""
    return random.uniform(0, longest)  # noqa: S311 - the length of a pause is no secret


@runtime_checkable
class SessionLike(Protocol):
    """Have the shape of SQLAlchemy's AsyncSession, as far as a repository needs it."""

    @property
    def sync_session(self) -> object:
        """The session that does the work."""


@runtime_checkable
class BlockingSessionLike(Protocol):
    """Have the shape of SQLAlchemy's Session, as far as a repository needs it."""

    def get_nested_transaction(self) -> object:
        """Return the innermost savepoint."""


@runtime_checkable
class SessionFactoryLike(Protocol):
    """Have the shape of SQLAlchemy's async_sessionmaker or sessionmaker."""

    def configure(self, **new_kw: Any) -> None:
        """Change what sessions are made with."""


SessionSource: TypeAlias = SessionLike | BlockingSessionLike | SessionFactoryLike
"""What a repository takes for a home: a session or session factory of SQLAlchemy's.

Synchronous ones are driven by ``layerkit.sync``.
"""

_Loop: TypeAlias = weakref.ref[asyncio.AbstractEventLoop]

HomeMaker: TypeAlias = Callable[[object], Home | None]

_home_makers: list[HomeMaker] = []


# The loop that each pool of connections was last used in.
_loops: weakref.WeakKeyDictionary[object, _Loop] = weakref.WeakKeyDictionary()


def check_port(port: object) -> None:
    """Refuse a port that no server listens at; None is the server's usual one.

    Raises:
        UsageError: It is a number beyond those of ports.
    """
    if isinstance(port, int) and not 0 < port <= _HIGHEST_PORT:
        raise UsageError(f"there is no port {port}: ports are 1 to {_HIGHEST_PORT}")


def check_loop(
    pool: object, is_open: Callable[[], bool], owner: str, kind: str = "home"
) -> None:
    """Refuse another event loop than the one that connections belong to.

    Args:
        pool: What keeps the connections, now.
        is_open: Tells whether it has any open.
        owner: The class of what the caller uses.
        kind: What it is called in the remedy.

    Raises:
        UsageError: Some are open, of a loop that this one is not.
    """
    task = running_task()
    if task is None:
        return  # driven by hand, which no connection of a loop can be
    loop, used_in = task.get_loop(), _loops.get(pool)
    if used_in is not None and used_in() is loop:
        return
    if used_in is not None and is_open():
        raise UsageError(OTHER_LOOP.format(owner, kind))
    _loops[pool] = weakref.ref(loop)


def register_home(make: HomeMaker) -> None:
    """Add a maker of homes; it returns None for an object that it does not know."""
    _home_makers.append(make)


def home_of(source: object) -> Home:
    """Return *source* as a home: itself, or the one of a session or session factory.

    Raises:
        UsageError: *source* is no home.
    """
    if isinstance(source, Home):
        return source
    if any(cls.__module__.startswith("sqlalchemy.") for cls in type(source).__mro__):
        load_sql()
    for make in _home_makers:
        if (home := make(source)) is not None:
            return home
    raise UsageError(
        "a repository needs a Database, MemoryDatabase or RedisDatabase, or a "
        f"session or session factory of SQLAlchemy, got a {type(source).__name__}"
    )


def _is_home(cls: type) -> bool:
    """Tell whether *cls* is a home, or a session of SQLAlchemy's or its factory."""
    return issubclass(cls, Home) or any(
        base.__module__.partition(".")[0] == "sqlalchemy" and base.__name__ in _SESSIONS
        for base in cls.__mro__
    )


PORTS[Home] = Port(
    _is_home,
    "nothing provides a home or session; add factory.singleton(...) "
    "for a Database or MemoryDatabase, or give one of your own key=Home",
)
