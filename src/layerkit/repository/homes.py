"""Home: where entities live, and what a repository takes in a home's place."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.repository.backend import Backend
from layerkit.repository.entities import EntityAdapter
from layerkit.repository.registry import load_sql
from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork

T = TypeVar("T")


class Home(ABC):
    """Own connections, make units of work, and hand out backends for repositories."""

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
