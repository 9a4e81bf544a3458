"""Database: the home of entities in an SQL database; and the home that a session is."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from sqlalchemy import URL, Connection, Dialect, Engine, MetaData, text
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Mapper, Session, registry, scoped_session, sessionmaker
from typing_extensions import TypeVar, override

from layerkit.core.errors import (
    NotSupportedError,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.repository import EntityAdapter, Home
from layerkit.repository.stores.homes import check_port
from layerkit.sql.backend import SQLBackend
from layerkit.sql.blocking import BlockingSession
from layerkit.sql.dialects import check_driver
from layerkit.sql.engine import Engines, check_engine, make_engine
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.errors import driver_errors, translate
from layerkit.sql.session import unit_of
from layerkit.sql.state import ensure_state
from layerkit.sql.transaction import SingleRead, SQLTransaction
from layerkit.unit_of_work import EventSink, UnitOfWork, transaction_of
from layerkit.unit_of_work.shield import COMMIT_TIMEOUT_SECONDS, OverdueError, within

E = TypeVar("E")
R = TypeVar("R")


# By dialect, which an engine shares with all its variants.
_cursor_keys: WeakKeyDictionary[Dialect, bytes] = WeakKeyDictionary()


class SQLHome(Home):
    """A home whose units of work run on an AsyncSession.

    Attributes:
        needs_loop: False where the driver behind the session blocks.
        registries: Where the classes of its repositories are mapped.
    """

    needs_loop: bool = True
    registries: set[registry]

    @override
    @abstractmethod
    def transaction(self) -> SQLTransaction | None:
        """Return the transaction that this context works in, or None outside a unit."""

    def session(self) -> AsyncSession:
        """Return the session of the unit of work that is open in this context.

        Raises:
            UnitOfWorkError: There is none.
        """
        transaction = self.transaction()
        if transaction is None:
            raise UnitOfWorkError(
                "there is no session outside a unit of work: open one with "
                "`async with repository.unit_of_work():`"
            )
        return transaction.session

    @property
    def dialect(self) -> Dialect:
        """The dialect of the database, known without a connection."""
        return self.dialect_of(None)

    @abstractmethod
    def dialect_of(self, mapper: Mapper[Any] | None) -> Dialect:
        """Return the dialect of the database that the classes of *mapper* live in.

        Sessions may be bound to several, by class or by base.
        """

    @override
    def cursor_key(self) -> bytes:
        """Return what cursors are signed with.

        That is the secret; without one, the secret of a Database on the same engine, or
        a key of this process.
        """
        if self._cursor_key is not None:
            return self._cursor_key
        try:
            shared = _cursor_keys.get(self.dialect)
        except UnboundExecutionError:  # it is bound by class, to several engines
            shared = None
        return shared or super().cursor_key()

    @override
    def backend(self, adapter: EntityAdapter[E]) -> SQLBackend[E]:
        if not isinstance(adapter, MappedAdapter):
            raise UsageError(
                f"{adapter.name} is not a mapped class, so it has no table: map it "
                "with SQLAlchemy, or keep it in a MemoryDatabase"
            )
        self.registries.add(adapter.mapper.registry)
        return SQLBackend(adapter, self.dialect_of)


class Database(SQLHome):
    """Open an SQL database and make units of work on it.

    ``async with Database("sqlite:///app.db") as database:`` closes its connections at
    the end. Nothing connects before the first statement. Each unit of work has a
    session of its own; repositories of the same database share the unit that is open
    around them.

    On SQLite, foreign keys are checked, the journal is WAL, and a unit that may write
    takes the write lock when it begins.

    Args:
        target: An address (``postgresql://`` gets the asyncpg driver, ``sqlite://``
            aiosqlite, ``mysql://`` asyncmy), an AsyncEngine or an async_sessionmaker of
            the caller's, which stay the caller's to close; or a sessionmaker, for code
            that ``layerkit.sync`` drives.
        pool_size: How many connections are kept open; 15 when neither is given, else
            SQLAlchemy's 5.
        max_overflow: How many more may be opened under load, and are closed after it; 0
            when neither is given, else SQLAlchemy's 10.
        busy_timeout_seconds: How long SQLite waits for another's write lock.
        echo: True logs every statement with its parameters.
        cursor_secret: What cursors of pages are signed with, 16 bytes or more and the
            same in every process; repositories on a session of the same engine sign
            with it too. Left out, each process makes a key of its own.
        commit_timeout_seconds: How long the end of a unit of work waits for the server,
            cancelled or not; then its connection is dropped, and where the commit had
            been sent, the unit may be stored. ``close`` waits no longer either.

    Raises:
        UsageError: *target* is not one of these, its driver is not supported, or its
            port can't be one.
        MissingExtraError: The driver is not installed.
    """

    def __init__(
        self,
        target: str | URL | AsyncEngine | async_sessionmaker[Any] | sessionmaker[Any],
        *,
        pool_size: int | None = None,
        max_overflow: int | None = None,
        busy_timeout_seconds: float = 5.0,
        echo: bool = False,
        cursor_secret: str | bytes | None = None,
        commit_timeout_seconds: float = COMMIT_TIMEOUT_SECONDS,
    ) -> None:
        self._set_cursor_secret(cursor_secret)
        self._set_commit_timeout(commit_timeout_seconds)
        self.registries = set()
        self._owned: AsyncEngine | None = None
        self._engines: Engines | None = None
        self._closed = False
        self._dialects: dict[Mapper[Any] | None, Dialect] = {}
        self._backends: dict[EntityAdapter[Any], SQLBackend[Any]] = {}
        if isinstance(target, str | URL):
            self._owned = make_engine(
                target,
                busy_timeout_seconds=busy_timeout_seconds,
                pool_size=pool_size,
                max_overflow=max_overflow,
                echo=echo,
            )
            target = self._owned
            self._engines = Engines(self._owned)
        self._sessions = _session_factory(target)
        self.needs_loop = isinstance(self._sessions, async_sessionmaker)
        bind = self._sessions.kw.get("bind")
        if isinstance(bind, AsyncEngine | Engine):
            check_driver(bind.dialect)
            check_port(bind.url.port)
            if self._cursor_key is not None:
                _cursor_keys[bind.dialect] = self._cursor_key

    @override
    async def close(self) -> None:
        """Close the connections that the database has opened; it can't be reused."""
        self._closed = True
        if self._owned is not None:
            await _dispose(self._owned, self._commit_timeout_seconds)

    @property
    def engine(self) -> AsyncEngine:
        """The engine that the sessions are bound to.

        Raises:
            UsageError: The session factory is bound to something else.
        """
        bind = self._sessions.kw.get("bind")
        if not isinstance(bind, AsyncEngine):
            raise UsageError(
                "the session factory is bound to no AsyncEngine: ask it for its own"
            )
        return bind

    async def create_all(self, metadata: MetaData) -> None:
        """Create the tables of *metadata* that are not there yet.

        For tests and first days; later, migrate with Alembic.

        Raises:
            UnavailableError: The database can't be reached.
        """
        await self._on_connection(metadata.create_all)

    async def ping(self) -> None:
        """Make sure that the database answers.

        Raises:
            UnavailableError: It can't be reached.
        """
        await self._on_connection(lambda c: c.execute(text("SELECT 1")))

    async def _on_connection(self, work: Callable[[Connection], object]) -> None:
        """Run *work* in a transaction of its own."""
        self._check_open()
        bind = self._sessions.kw.get("bind")
        engine = bind if isinstance(bind, Engine) else self.engine
        try:
            if isinstance(engine, Engine):
                with engine.begin() as connection:
                    work(connection)
            else:
                async with engine.begin() as opened:
                    await opened.run_sync(work)
        except driver_errors() as error:
            failure = translate(error, url=engine.url)
            raise failure from error

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return UnitOfWork(
            lambda: self.transaction() or self._new(read_only=read_only), events=events
        )

    @override
    def backend(self, adapter: EntityAdapter[E]) -> SQLBackend[E]:
        found = self._backends.get(adapter)
        if found is None:
            found = self._backends[adapter] = super().backend(adapter)
        return found.refreshed()

    @override
    async def _once(
        self, verb: Callable[[Any], Awaitable[R]], *, writes: bool, single: bool
    ) -> R:
        engines = self._engines if single else None
        sends_at_once = None if engines is None else engines.single(writes=writes)
        if writes and sends_at_once is None:
            return await super()._once(verb, writes=True, single=False)
        try:
            return await self._new(read_only=not writes, at_once=sends_at_once).alone(
                verb
            )
        except UnavailableError as error:
            if writes or error.kind != "disconnected":
                raise
        # Of a read nothing is left to undo, and the pool has let go of what is cut.
        return await self._new(read_only=True, at_once=sends_at_once).alone(verb)

    @override
    def transaction(self) -> SQLTransaction | None:
        found = transaction_of(self)
        return found if isinstance(found, SQLTransaction) else None

    @override
    def dialect_of(self, mapper: Mapper[Any] | None) -> Dialect:
        if mapper not in self._dialects:
            session = self._sessions()  # nothing connects for this
            self._dialects[mapper] = session.get_bind(mapper).dialect
        return self._dialects[mapper]

    def _new(
        self, *, read_only: bool, at_once: AsyncEngine | None = None
    ) -> SQLTransaction:
        """Return a transaction that has yet to begin.

        Args:
            read_only: True refuses writing verbs.
            at_once: What its one statement goes to, without BEGIN and COMMIT.
        """
        self._check_open()
        engines = self._engines

        def make_session() -> AsyncSession:
            options: dict[str, Any] = {"expire_on_commit": False}
            if engines is not None:
                usual = engines.reading if read_only else engines.writing
                options["bind"] = at_once or usual
            made: AsyncSession | Session = self._sessions(**options)
            return BlockingSession(made) if isinstance(made, Session) else made

        kind = SingleRead if at_once is not None and read_only else SQLTransaction
        transaction = kind(
            self,
            make_session,
            read_only=read_only,
            needs_loop=self.needs_loop,
            registries=self.registries,
        )
        transaction.commits_itself = at_once is not None
        transaction.commit_timeout_seconds = self._commit_timeout_seconds
        return transaction

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the Database is closed; make a new one")
        bind = self._sessions.kw.get("bind")
        if isinstance(bind, AsyncEngine):
            check_engine(bind.sync_engine, type(self).__name__, "home")


class SessionHome(SQLHome):
    """The home that a session of the caller's is.

    Args:
        session: The caller's session; it is never closed here.
    """

    def __init__(self, session: AsyncSession | Session) -> None:
        self._unit = unit_of(session)
        self._session = self._unit.held(session)
        self.needs_loop = self._unit.needs_loop
        self.registries = ensure_state(session).registries

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return UnitOfWork(
            lambda: self._unit.for_block(read_only=read_only), events=events
        )

    @override
    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[R]],
        *,
        attempts: int = 1,
        events: EventSink | None = None,
    ) -> R:
        """Run *work* in a unit of work, once: only its owner can begin a session again.

        Raises:
            NotSupportedError: More than one attempt.
            AppException: What *work* or the commit raises.
        """
        if attempts > 1:
            raise NotSupportedError(
                "a session of yours can't be begun again here: give the repositories a "
                "Database or a session factory, and run() there"
            )
        return await super().run(work, attempts=attempts, events=events)

    @override
    def transaction(self) -> SQLTransaction:
        return self._unit

    @override
    def dialect_of(self, mapper: Mapper[Any] | None) -> Dialect:
        return self._unit.session.get_bind(mapper).dialect


# By the id of a session factory, which stays taken while the Database holds on to it.
_databases: WeakValueDictionary[int, Database] = WeakValueDictionary()


def make_home(source: object) -> Home | None:
    """Return the home of a session or a session factory; None for other objects.

    Raises:
        UsageError: *source* is an engine.
    """
    if isinstance(source, (AsyncSession, Session)):
        return SessionHome(source)
    if isinstance(source, (async_sessionmaker, sessionmaker)):
        database = _databases.get(id(source)) or Database(source)
        _databases[id(source)] = database
        return database
    if isinstance(source, AsyncEngine):
        raise UsageError(
            "a repository takes Database(engine) in place of an AsyncEngine"
        )
    _refuse_scoped(source)
    if isinstance(source, Engine):
        raise UsageError(
            "a repository takes a Session or sessionmaker(engine) in place of an Engine"
        )
    return None


async def _dispose(engine: AsyncEngine, seconds: float) -> None:
    """Close the connections of *engine*; drop those that don't answer in time."""
    while True:
        try:
            async with within(seconds):
                return await engine.dispose()
        except OverdueError:
            seconds = 0.0  # one connection is dropped; the others had that time too


def _session_factory(target: object) -> async_sessionmaker[Any] | sessionmaker[Any]:
    if isinstance(target, async_sessionmaker | sessionmaker):
        return target
    if isinstance(target, AsyncEngine):
        return async_sessionmaker(target)
    _refuse_scoped(target)
    remedy = ": pass sessionmaker(engine)" if isinstance(target, Engine) else ""
    raise UsageError(
        "a Database is made from an address, an AsyncEngine or a session factory, "
        f"got a {type(target).__name__}{remedy}"
    )


def _refuse_scoped(target: object) -> None:
    if isinstance(target, async_scoped_session | scoped_session):
        raise UsageError(
            f"{type(target).__name__} hands out sessions and is not one: call it for "
            "the session of the present scope, or pass its `session_factory`"
        )
