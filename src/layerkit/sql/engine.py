"""Engines: which driver an address means, and SQLite set up to be used by many."""

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Dialect, Engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolResetState, QueuePool

from layerkit.core.errors import UsageError
from layerkit.core.extras import require_extra
from layerkit.repository.stores.homes import check_loop
from layerkit.sql.dialects import (
    SERVERS,
    check_driver,
    driver_of,
    known_server,
    server_of,
)
from layerkit.sql.statements import note_end, note_round_trips

_POOL: Final = {"pool_size": 15, "max_overflow": 0}
"""As many connections as SQLAlchemy's default lets there be under load, all kept open.

It closes what is beyond five when it comes back, and soon opens another, which takes
as long as twenty short transactions.
"""

_USED: Final = "layerkit.used"  # when a connection went back to the pool
_IDLE_SECONDS: Final = 1.0
_KNOWN: Final = ("layerkit.", "sqlalchemy.")  # whose listeners are no stranger's

_QUERY: Final = re.compile(r"\?[A-Za-z_]\w*+=")
"""Where the query of an address begins: any other ? may be a password's."""

_UNKNOWN: Final = re.compile(r"unexpected keyword argument '(\w+)'")
"""What Python says where a driver is given a parameter that it does not know."""

_OURS: Final = "leave the driver out, and it is " + " or ".join(
    dict.fromkeys(server.default[0] for server in SERVERS)
)


def make_engine(
    address: str | URL, *, busy_timeout_seconds: float, **options: Any
) -> AsyncEngine:
    """Return an engine for *address*; one without a driver gets the asynchronous one.

    Args:
        address: ``sqlite:///app.db``, ``postgresql://user@host/name``, ...
        busy_timeout_seconds: How long SQLite waits for another's write lock.
        options: For SQLAlchemy's ``create_async_engine``; None is left out.

    Raises:
        UsageError: *address* is not one, names an unknown or synchronous driver, or a
            parameter that the driver does not take; its text never shows the address,
            which may hold a password.
        MissingExtraError: The driver is not installed.
    """
    url = _with_driver(address)
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("pool_size", "max_overflow"):
        if not isinstance(given.get(name, 0), int):
            raise UsageError(f"{name} is a number of connections, got {given[name]!r}")
    given.setdefault("hide_parameters", True)  # errors and logs would show them
    if not {"pool_size", "max_overflow", "poolclass"} & given.keys():
        given |= _POOL
    try:
        dialect = url.get_dialect().get_async_dialect_cls(url)
    except NoSuchModuleError as error:
        raise UsageError(
            f"no database driver {url.drivername!r}: an address begins with "
            "sqlite://, postgresql:// or mysql://"
        ) from error
    driver, server = check_driver(dialect), server_of(dialect)
    if not dialect.is_async:
        raise UsageError(f"{url.drivername!r} is synchronous: {_OURS}")
    url, own = driver.connects(url, busy_timeout_seconds)
    engine = _create(url, given | own)
    _type_refusals(engine)
    if not server.is_file:
        _ping_idle(engine)
    driver.sets_up(engine.sync_engine)
    driver.tames(engine.dialect)
    engine.dialect.colspecs = {**engine.dialect.colspecs, **server.kinds}
    return engine


def check_engine(engine: Engine, owner: str, kind: str) -> None:
    """Refuse an engine whose open connections belong to another event loop.

    Args:
        engine: The engine.
        owner: The class of what the caller uses.
        kind: What it is called in the remedy.

    Raises:
        UsageError: They do.
    """
    driver = driver_of(engine.dialect)
    if driver is not None and driver.binds:
        pool = engine.pool
        check_loop(pool, lambda: _is_connected(pool), owner, kind)


def _is_connected(pool: Pool) -> bool:
    return isinstance(pool, QueuePool) and pool.checkedin() + pool.checkedout() > 0


def _create(url: URL, options: dict[str, Any]) -> AsyncEngine:
    try:
        return create_async_engine(url, **options)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the driver of {url.drivername!r} is not installed ({error.name}): "
            f"install it, or {_OURS}"
        ) from error
    except ValueError:
        raise UsageError(_refusal(url)) from None  # it quotes the value
    except ArgumentError as error:
        raise UsageError(
            f"{url.drivername!r} is not usable here: {str(error).partition(':')[0]}"
        ) from None  # the cause of it may quote the value


def _refusal(url: URL, error: Exception | None = None) -> str:
    """Return what to say of an address that a driver does not take."""
    found = _UNKNOWN.search(str(error))
    # Where an @ is behind it, the name may be a piece of a password.
    name = found[1] if found and "@" not in str(dict(url.query)) else "something"
    return f"{url.drivername} does not take {name} in an address: look behind its ?"


def _type_refusals(engine: AsyncEngine) -> None:
    """Let a connection that a driver's own code refuses to open fail as a mistake.

    The cause stays out: it may quote a piece of the address.
    """
    url = engine.url

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(dialect: Dialect, _: object, words: Any, named: Any) -> DBAPIConnection:
        try:
            return dialect.connect(*words, **named)
        except (TypeError, ValueError, OverflowError) as error:
            text = _refusal(url, error)
        raise UsageError(text)


def _with_driver(address: str | URL) -> URL:
    try:
        url = make_url(_escaped(address) if isinstance(address, str) else address)
    except (ArgumentError, ValueError):
        # The cause stays out: it may quote a piece of the address.
        raise UsageError(
            "the address of a database looks like sqlite:///app.db or "
            "postgresql://user:password@host/name"
        ) from None
    name, _, driver = url.drivername.partition("+")
    server = known_server(name)
    if server is None:
        return url
    name, (default, known) = server.name, server.default
    if driver in {"", default}:
        require_extra(default, package=f"a {name} database", extra=str(known.extra))
    return url.set(drivername=f"{name}+{driver or default}")


def _escaped(address: str) -> str:
    """Return *address* with an @ or a slash of user and password as %40 and %2F.

    What comes before the last @ is theirs, and nobody may have escaped it. SQLAlchemy
    ends it at the first one, and drivers show what they take for the host. An @ behind
    ``?name=`` is the query's.
    """
    found = _QUERY.search(address)
    end = found.start() if found else len(address)
    head, query = address[:end], address[end:]
    scheme, _, rest = head.partition("://")
    owner, at, place = rest.rpartition("@")
    server = known_server(scheme.partition("+")[0])
    if not at or (server is not None and server.is_file):
        return address
    user, colon, password = owner.partition(":")
    owner = f"{quote(user, safe='%')}{colon}{quote(password, safe='%')}"
    return f"{scheme}://{owner}@{place}{query}"


def _ping_idle(engine: AsyncEngine) -> None:
    """Let a connection that was idle be asked whether it is alive, before it is used.

    A server that was restarted has cut every connection in the pool. Asking costs as
    much as a statement, so where the driver hears of the cut, one that has just
    answered is taken at its word.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_USED] = time.monotonic()

    @event.listens_for(engine.sync_engine, "reset")
    def note_reset(
        _: object, record: ConnectionPoolEntry, state: PoolResetState
    ) -> None:
        if state.asyncio_safe and not state.transaction_was_reset:
            note_end(engine.dialect, record.driver_connection, "ROLLBACK")

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(
        connection: DBAPIConnection, record: ConnectionPoolEntry, _: object
    ) -> None:
        used = record.info.get(_USED)
        if used is None:
            return  # it is new
        driver: Any = record.driver_connection
        is_closed = getattr(driver, "is_closed", None)  # of asyncpg, which hears of it
        if is_closed is not None:
            if is_closed():
                raise InvalidatePoolError
            if time.monotonic() - used < _IDLE_SECONDS:
                return
            note_round_trips(engine.dialect, "BEGIN", "ping", "ROLLBACK")
        else:
            note_round_trips(engine.dialect, "ping")
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def hears_flushes(session: Session) -> bool:
    """Tell whether somebody else listens to what *session* flushes."""
    return _hears_strangers(*_of_flushes(session.dispatch))


def _of_flushes(heard: Any) -> Sequence[Iterable[object]]:
    return heard.before_flush, heard.after_flush, heard.after_flush_postexec


def _hears_strangers(*events: Iterable[object]) -> bool:
    """Tell whether listeners of neither layerkit nor SQLAlchemy are among *events*."""
    for listeners in events:  # loops, since this is asked in each verb
        for listener in listeners:
            if not getattr(listener, "__module__", "").startswith(_KNOWN):
                return True
    return False


class Engines:
    """Hold the forms of an engine that units of work begin on, each made once.

    Attributes:
        reading: Begins as a unit that only reads does.
        writing: Begins as one that may write does.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        server = server_of(engine.dialect)
        self.reading = engine
        self.writing = engine.execution_options(**server.writing)
        self._single: AsyncEngine | None = None
        if server.single is not None:
            self._single = engine.execution_options(**server.single)
        self._any_session: Any = Session()  # it knows who listens to all of them
        self._set_up: dict[tuple[int, ...], bool] = {}

    def single(self, *, writes: bool) -> AsyncEngine | None:
        """Return what one statement goes to without a transaction.

        Args:
            writes: True where it writes.

        Returns:
            None where that spares nothing, or somebody sets up what connects or begins:
            it may say who the caller is, for policies of rows, or how units are kept
            apart.
        """
        engine: Any = self.reading.sync_engine
        pool: Any = engine.pool.dispatch
        heard, session = engine.dispatch, self._any_session.dispatch
        events = [heard.begin, heard.set_connection_execution_options]
        events += [pool.connect, pool.first_connect, pool.checkout, session.after_begin]
        if writes:
            events += _of_flushes(session)
        # Nobody takes our own listeners away, so as many as before are the same.
        numbers = tuple(map(len, events))
        if numbers not in self._set_up:
            self._set_up[numbers] = _hears_strangers(*events)
        return None if self._set_up[numbers] else self._single
