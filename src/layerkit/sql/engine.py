"""Engines: which driver an address means, and SQLite set up to be used by many."""

import asyncio
import re
import time
import traceback
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Dialect, Engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import (
    AsyncAdaptedQueuePool,
    ConnectionPoolEntry,
    Pool,
    QueuePool,
)
from sqlalchemy.util import await_only

from layerkit.core.errors import UsageError
from layerkit.core.extras import require_extra
from layerkit.repository.stores.homes import check_loop
from layerkit.sql.dialects import SERVERS, binds_to_loop, check_driver
from layerkit.sql.dialects.kinds import keep_kinds
from layerkit.sql.dialects.mysql import MYSQL
from layerkit.unit_of_work import shielded

BEGIN_OPTION: Final = "layerkit_begin"
"""The execution option that says how SQLite begins: DEFERRED or IMMEDIATE."""

_NO_BEGIN: Final = "NOT"
_USED: Final = "layerkit.used"  # when a connection went back to the pool
_IDLE_SECONDS: Final = 1.0
_KNOWN: Final = ("layerkit.", "sqlalchemy.")  # whose listeners are no stranger's

_LIBPQ_ONLY: Final = frozenset(
    {
        *("channel_binding", "connect_timeout", "gssencmode", "options"),
        *("sslcert", "sslcrl", "sslkey", "sslpassword", "sslrootcert"),
    }
)
"""What libpq reads from an address, and asyncpg does not take."""

_STRICT: Final = (
    "SET SESSION sql_mode = CONCAT_WS(',', NULLIF(@@sql_mode, ''), 'STRICT_ALL_TABLES')"
)
"""Where a server is not strict, it cuts off what does not fit, and tells nobody."""

_QUERY: Final = re.compile(r"\?[A-Za-z_]\w*+=")
"""Where the query of an address begins: any other ? may be a password's."""

_UNKNOWN: Final = re.compile(r"unexpected keyword argument '(\w+)'")
"""What Python says where a driver is given a parameter that it does not know."""

_ALIASES: Final = {"postgres": "postgresql"}  # as hosts and compose files write it
_OURS: Final = "leave the driver out, and it is aiosqlite, asyncpg or asyncmy"


def make_engine(
    address: str | URL, *, busy_timeout_seconds: float, **options: Any
) -> AsyncEngine:
    """Return an engine for *address*; one without a driver gets the asynchronous one.

    Args:
        address: ``sqlite:///app.db``, ``postgresql://user@host/name``, ...
        busy_timeout_seconds: How long SQLite waits for another's write lock.
        options: For SQLAlchemy's ``create_async_engine``; None is left out.

    Raises:
        UsageError: *address* is none, or names an unknown or synchronous driver, or a
            parameter that the driver does not take; its text never shows the address,
            which may hold a password.
        MissingExtraError: The driver is not installed.
    """
    url = _with_driver(address)
    if url.drivername == "postgresql+asyncpg":
        url, options["connect_args"] = _for_asyncpg(url)
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("pool_size", "max_overflow"):
        if not isinstance(given.get(name, 0), int):
            raise UsageError(f"{name} is a number of connections, got {given[name]!r}")
    given.setdefault("hide_parameters", True)  # errors and logs would show them
    if url.get_backend_name() == "sqlite":
        given.setdefault("connect_args", {"timeout": busy_timeout_seconds})
        if _is_in_memory(url):
            # One connection is one memory, so units of work take it in turns.
            given |= {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1}
            given |= {"max_overflow": 0, "pool_timeout": busy_timeout_seconds}
    if url.get_backend_name() in MYSQL.names and "init_command" not in url.query:
        given["connect_args"] = {"init_command": _STRICT}
    engine = _create(url, given)
    _type_refusals(engine)
    if url.get_backend_name() == "sqlite":
        _set_up_sqlite(engine)
    else:
        _ping_idle(engine)
    if url.get_driver_name() == "aiomysql":
        _escape_bytes(engine)
    keep_when_cancelled(engine.dialect)
    keep_kinds(engine.dialect)
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
    if binds_to_loop(engine.dialect):
        pool = engine.pool
        check_loop(pool, lambda: _is_connected(pool), owner, kind)


def _is_connected(pool: Pool) -> bool:
    return isinstance(pool, QueuePool) and pool.checkedin() + pool.checkedout() > 0


def keep_when_cancelled(dialect: Dialect) -> None:
    """Let a cancelled statement of aiosqlite end, and its connection roll back.

    SQLAlchemy closes the connection of a cancelled statement. A connection of SQLite
    that is closed over a statement lives on as long as that does, and with it the
    write lock. The thread of aiosqlite does one thing after the other, so whatever is
    asked of it next comes when the statement has ended.
    """
    if dialect.driver == "aiosqlite" and not event.contains(
        dialect, "handle_error", _keep_connection
    ):
        event.listen(dialect, "handle_error", _keep_connection)


def _keep_connection(context: ExceptionContext) -> None:
    error = context.original_exception
    if isinstance(error, asyncio.CancelledError):
        context.is_disconnect = False
        # SQLAlchemy does it since 2.1; while a cursor is open, its statement is in
        # progress, and SQLite commits no other.
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if (cursor := frame.f_locals.get("_cursor")) is not None:
                await_only(shielded(cursor.close()))


def _create(url: URL, options: dict[str, Any]) -> AsyncEngine:
    try:
        dialect = url.get_dialect().get_async_dialect_cls(url)
        check_driver(dialect)
        if not dialect.is_async:
            raise UsageError(f"{url.drivername!r} is synchronous: {_OURS}")
        return create_async_engine(url, **options)
    except NoSuchModuleError as error:
        raise UsageError(
            f"no database driver {url.drivername!r}: an address begins with "
            "sqlite://, postgresql:// or mysql://"
        ) from error
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
    name = _ALIASES.get(name, name)
    server = next((server for server in SERVERS if name in server.names), None)
    if server is None:
        return url
    default, known = server.default
    if driver in {"", default}:
        require_extra(default, package=f"a {name} database", extra=str(known.extra))
    return url.set(drivername=f"{name}+{driver or default}")


def _escaped(address: str) -> str:
    """Return *address* with an @ or a slash of user and password as %40 and %2F.

    What stands before the last @ is theirs, and nobody may have escaped it. SQLAlchemy
    ends it at the first one, and drivers show what they take for the host. An @ behind
    ``?name=`` is the query's.
    """
    found = _QUERY.search(address)
    end = found.start() if found else len(address)
    head, query = address[:end], address[end:]
    scheme, _, rest = head.partition("://")
    owner, at, place = rest.rpartition("@")
    if not at or scheme.startswith("sqlite"):
        return address
    user, colon, password = owner.partition(":")
    owner = f"{quote(user, safe='%')}{colon}{quote(password, safe='%')}"
    return f"{scheme}://{owner}@{place}{query}"


def _for_asyncpg(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return *url* in the words of asyncpg, and what goes to it beside the address.

    Raises:
        UsageError: A parameter of libpq that asyncpg has no word for.
    """
    query = dict(url.query)
    if unknown := sorted(_LIBPQ_ONLY & query.keys()):
        raise UsageError(
            f"asyncpg takes no {', '.join(unknown)} in an address: leave it out, or "
            "pass an engine made by create_async_engine(..., connect_args=...)"
        )
    if "sslmode" in query:
        query.setdefault("ssl", query.pop("sslmode"))
    name = query.pop("application_name", None)
    settings = {"server_settings": {"application_name": name}} if name else {}
    return url.set(query=query), settings


def _is_in_memory(url: URL) -> bool:
    is_named = url.query.get("mode") == "memory"
    return is_named or not url.database or ":memory:" in url.database


def _ping_idle(engine: AsyncEngine) -> None:
    """Let a connection that was idle be asked whether it is alive, before it is used.

    A server that was restarted has cut every connection in the pool. Asking costs as
    much as a statement, so where the driver is told of the cut, one that has just
    answered is taken at its word.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_USED] = time.monotonic()

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
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _escape_bytes(engine: AsyncEngine) -> None:
    """Write bytes as PyMySQL does: aiomysql 0.3 relies on what version 1.2 dropped."""

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(_: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        driver: Any = record.driver_connection
        escape = driver.escape
        driver.escape = lambda value: (
            f"_binary X'{value.hex()}'" if isinstance(value, bytes) else escape(value)
        )


def _set_up_sqlite(engine: AsyncEngine) -> None:
    """Check foreign keys, let readers and a writer work side by side, begin by hand.

    Python's sqlite3 delays BEGIN to the first write, which breaks savepoints and
    isolation, so it is switched off. A unit that may write begins IMMEDIATE: one that
    reads first and writes later fails at once under concurrency, whatever the time-out.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: DBAPIConnection, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()

    event.listen(engine.sync_engine, "begin", _begin)


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get(BEGIN_OPTION, "DEFERRED")
    if mode != _NO_BEGIN:
        connection.exec_driver_sql(f"BEGIN {mode}")


class Engines:
    """Hold the forms of an engine that units of work begin on, each made once.

    Attributes:
        reading: Begins as a unit that only reads does.
        writing: Begins as one that may write does.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.reading = self.writing = engine
        self._single: AsyncEngine | None = None
        self._any_session: Any = Session()  # it knows who listens to all of them
        if engine.dialect.name == "sqlite":
            self.writing = engine.execution_options(**{BEGIN_OPTION: "IMMEDIATE"})
            self._single = engine.execution_options(**{BEGIN_OPTION: _NO_BEGIN})
        elif engine.dialect.name == "postgresql":
            self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    def single(self) -> AsyncEngine | None:
        """Return what one reading statement goes to without a transaction.

        Returns:
            None where that spares nothing, or somebody sets up what connects or begins:
            it may say who the caller is, for policies of rows, or how units are kept
            apart.
        """
        engine: Any = self.reading.sync_engine
        heard = (
            *(engine.dispatch.begin, engine.pool.dispatch.connect),
            *(engine.pool.dispatch.first_connect, engine.pool.dispatch.checkout),
            *(engine.dispatch.set_connection_execution_options,),
            self._any_session.dispatch.after_begin,
        )
        modules = (getattr(one, "__module__", "") for each in heard for one in each)
        is_set_up = any(not module.startswith(_KNOWN) for module in modules)
        return None if is_set_up else self._single
