"""Home: where entities live, and what a repository takes in a home's place."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.repository.backend import Backend
from layerkit.repository.cursors import process_key
from layerkit.repository.entities import EntityAdapter
from layerkit.repository.registry import load_sql
from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork

T = TypeVar("T")
R = TypeVar("R")

_SHORTEST_SECRET: Final = 16


class Home(ABC):
    """Own connections, make units of work, and hand out backends for repositories."""

    _cursor_key: bytes | None = None

    @abstractmethod
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        """Return a unit of work of this home; inside another it joins that one."""

    @abstractmethod
    def transaction(self) -> Transaction | None:
        """Return the transaction that this context works in, or None outside a unit."""

    @abstractmethod
    def backend(self, adapter: EntityAdapter[T]) -> Backend[T]:
        """Return what stores entities of the adapter's class in this home."""

    async def alone(self, verb: Callable[[], Awaitable[R]], *, writes: bool) -> R:
        """Run *verb* in a unit of its own.

        A home whose units are told to try again at their commit repeats it here.
        """
        async with self.unit_of_work(read_only=not writes):
            return await verb()

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


@runtime_checkable
class SessionLike(Protocol):
    """Have the shape of SQLAlchemy's AsyncSession, as far as a repository needs it."""

    @property
    def sync_session(self) -> object:
        """The session that does the work."""
        ...


@runtime_checkable
class SessionFactoryLike(Protocol):
    """Have the shape of SQLAlchemy's async_sessionmaker."""

    def configure(self, **new_kw: Any) -> None:
        """Change what sessions are made with."""
        ...


SessionSource: TypeAlias = SessionLike | SessionFactoryLike
"""What a repository takes for a home: an AsyncSession or an async_sessionmaker."""

HomeMaker: TypeAlias = Callable[[object], Home | None]

_home_makers: list[HomeMaker] = []


def register_home(make: HomeMaker) -> None:
    """Add a maker of homes; it returns None for an object that it does not know."""
    _home_makers.append(make)


def home_of(source: object) -> Home:
    """Return *source* as a home: itself, or the one of a session or session factory.

    Raises:
        UsageError: *source* is no home; where it is a synchronous session or engine,
            the text names the asynchronous one.
    """
    if isinstance(source, Home):
        return source
    roots = {cls.__module__.partition(".")[0] for cls in type(source).__mro__}
    if "sqlalchemy" in roots:
        load_sql()
    home = next((h for make in _home_makers if (h := make(source))), None)
    if home is None:
        raise UsageError(
            "a repository needs a Database, a MemoryDatabase, an AsyncSession or an "
            f"async_sessionmaker, got a {type(source).__name__}"
        )
    return home
