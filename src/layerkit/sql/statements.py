"""Counting SQL statements and round trips, so that tests hold code to a budget."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Engine, event

from layerkit.sql.dialects import driver_of, known_server

_CONTROL: Final = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


class TooManyStatementsError(AssertionError):
    """Report that a block has gone beyond its budget of statements or round trips."""


class Statements:
    """Hold the SQL statements that a block has sent, in their order.

    Attributes:
        sql: Their texts, on one line each and without parameters.
        sent: What a server was sent and waited for: these, BEGIN and COMMIT, savepoints
            and pings. SQLite is no server.
        is_open: False once the block has ended, which tasks of its may outlive.
    """

    def __init__(self) -> None:
        self.sql: list[str] = []
        self.sent: list[str] = []
        self.is_open = True

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.sql)

    @property
    def round_trips(self) -> int:
        """How often a server was waited for."""
        return len(self.sent)


_open: ContextVar[tuple[Statements, ...]] = ContextVar(
    "layerkit_statements", default=()
)


@contextmanager
def statements(
    *,
    max: int | None = None,  # noqa: A002 - callers write statements(max=2)
    max_round_trips: int | None = None,
) -> Iterator[Statements]:
    """Count the SQL statements of a block, on whatever engine, and bound them.

    ``with statements(max=2):`` around code in a test counts what this task sends, and
    tasks that it starts inside. BEGIN, COMMIT, savepoints and PRAGMA don't count; one
    execution for many rows is one statement. Blocks nest, and each counts all.

    A round trip is what is sent before a server's answer is waited for: a statement,
    BEGIN, COMMIT, ROLLBACK, a savepoint, a ping. They are counted as they are once the
    connection is open and the statement prepared on it, for which asyncpg waits once
    more. What the pool of an engine sends counts where a ``Database`` has made it. With
    SQLite there are none, and other drivers than asyncpg may split a batch into more.

    Args:
        max: The most statements that there may be.
        max_round_trips: The most round trips.

    Yields:
        What was sent so far; it grows.

    Raises:
        TooManyStatementsError: There were more; it lists them. An error from inside the
            block passes in its place.
    """
    _listen()
    seen = Statements()
    _open.set((*_open.get(), seen))
    try:
        yield seen
    finally:
        seen.is_open = False
        # No reset: a fixture may be left in another context than it was entered in.
        _open.set(tuple(block for block in _open.get() if block.is_open))
    _check(seen.sql, max, "SQL statements were sent")
    _check(seen.sent, max_round_trips, "round trips were made")


@cache
def _listen() -> None:
    """Listen to all engines, once; where nobody counts, each statement is spared it."""
    event.listen(Engine, "before_cursor_execute", _note)
    event.listen(Engine, "commit", _note_commit)
    event.listen(Engine, "rollback", _note_rollback)


def _check(found: Sequence[str], most: int | None, what: str) -> None:
    if most is not None and len(found) > most:
        listed = "\n".join(f"  {n}. {text}" for n, text in enumerate(found, 1))
        raise TooManyStatementsError(
            f"{len(found)} {what}, and at most {most} may be:\n{listed}"
        )


def note_round_trips(dialect: Dialect, *sent: str) -> None:
    """Count each of what was *sent*, unless it went to a file."""
    server = known_server(dialect.name)
    for block in _open.get():
        if block.is_open and not (server and server.is_file):
            block.sent += sent


def note_end(dialect: Dialect, connection: Any, sent: str) -> None:
    """Count a COMMIT or ROLLBACK, unless the driver's *connection* leaves it out."""
    if _open.get() and not _is_idle(dialect, connection):
        note_round_trips(dialect, sent)


def _is_idle(dialect: Dialect, connection: Any) -> bool:
    """Tell whether a driver's *connection* is known to be in no transaction."""
    driver = driver_of(dialect)
    return driver is not None and driver.is_idle(connection)


def _note(connection: Connection, _: object, statement: str, *_others: Any) -> None:
    if not _open.get():
        return
    text, dialect = " ".join(statement.split()), connection.dialect
    pooled: Any = connection.connection
    is_idle = _is_idle(dialect, pooled.driver_connection)
    if is_idle and not dialect.detect_autocommit_setting(pooled.dbapi_connection):
        note_round_trips(dialect, "BEGIN")
    note_round_trips(dialect, text)
    for block in _open.get():
        if block.is_open and not text.upper().startswith(_CONTROL):
            block.sql.append(text)


def _note_commit(connection: Connection) -> None:
    _note_end(connection, "COMMIT")


def _note_rollback(connection: Connection) -> None:
    _note_end(connection, "ROLLBACK")


def _note_end(connection: Connection, sent: str) -> None:
    if not (connection.closed or connection.invalidated):
        note_end(connection.dialect, connection.connection.driver_connection, sent)
