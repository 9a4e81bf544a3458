"""SQLite: result codes say what went wrong (its manual, "Result and Error Codes").

It keeps times as texts: its own clock writes none of the microseconds that SQLAlchemy
does, and other programs a T or fewer digits. It keeps decimals as floats, which sums
make longer than what is read. The texts of a day begin alike, so an index still narrows
a search.
"""

import asyncio
import re
import sqlite3
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import await_only

from layerkit.repository.entities.limits import Limits
from layerkit.repository.filters.evaluate import fold_ascii
from layerkit.sql.dialects.kinds import InDigits, InUTC
from layerkit.sql.dialects.numbers import DIGITS, bounded, reads_decimals, scale_of
from layerkit.sql.dialects.records import Driver, Failure, Form, Server, Subject
from layerkit.unit_of_work import shielded

_SUBJECT: Final = re.compile(r"constraint failed: (.+)$")
_INDEX: Final = re.compile(r"^index '(.+)'$")

_BEGIN: Final = "layerkit_begin"
"""The execution option that says how it begins: DEFERRED, IMMEDIATE, or NOT at all."""

_alone: WeakSet[Any] = WeakSet()
"""The connections of aiosqlite that are in use and have begun nothing."""

_TOO_BIG: Final = 2**40
_DAY: Final = 10
_OFFSET: Final = "*:*[+-][0-9][0-9]:[0-9][0-9]"
_OFFSET_LENGTH: Final = 6


def _codes_of(original: Any) -> Sequence[int]:
    """Return the extended result code, then the primary one: its low byte."""
    code = getattr(original, "sqlite_errorcode", None)
    return () if code is None else (code, code & 0xFF)


def _subject_of(original: Any, failure: Failure) -> Subject:
    found = _SUBJECT.search(str(original.args[-1]) if original.args else "")
    subject = found.group(1) if found else ""
    if failure == "check":
        return subject or None, ()
    if index := _INDEX.search(subject):
        return index.group(1), ()
    return None, tuple(n.rpartition(".")[2] for n in subject.split(", ") if n)


# Connections


def _connects(url: sa.URL, seconds: float) -> tuple[sa.URL, dict[str, Any]]:
    options: dict[str, Any] = {"connect_args": {"timeout": seconds}}
    place = url.database or ":memory:"
    if ":memory:" in place or url.query.get("mode") == "memory":
        # One connection is one memory, so units of work take it in turns.
        options |= {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1}
        options |= {"max_overflow": 0, "pool_timeout": seconds}
    return url, options


def _sets_up(engine: sa.Engine) -> None:
    """Check foreign keys, let readers and a writer work side by side, begin by hand.

    Python's sqlite3 delays BEGIN to the first write, which breaks savepoints and
    isolation, so it is switched off. A unit that may write begins IMMEDIATE: one that
    reads first and writes later fails at once under concurrency, whatever the time-out.
    """
    sa.event.listen(engine, "connect", _set_up)
    sa.event.listen(engine, "begin", _begin)
    sa.event.listen(engine, "checkin", _forget)
    for end in ("do_commit", "do_rollback"):
        setattr(engine.dialect, end, partial(_end, getattr(engine.dialect, end)))


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None
    connection.run_async(_prepare)


async def _prepare(driver: Any) -> None:
    """Set up a connection of aiosqlite, by statements that end in the step they begin.

    One that is cancelled with a row to come would lock the file even after its
    connection has been closed.
    """
    await driver.execute_fetchall("PRAGMA foreign_keys=ON")
    await _switch_to_wal(driver)


async def _switch_to_wal(driver: Any) -> None:
    """Switch the file to WAL, and wait for who has locked it.

    SQLite refuses that at once and waits for no lock while others write or switch, as
    when two connect to a new file. The beginning of a transaction does wait.

    Raises:
        sqlite3.OperationalError: Its journal can't be opened or written, or others lock
            it for too long.
    """
    while True:
        try:
            await driver.execute_fetchall("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        else:
            return
        await driver.execute_fetchall("BEGIN EXCLUSIVE")
        await driver.execute_fetchall("COMMIT")


def _begin(connection: sa.Connection) -> None:
    """Begin in one turn of aiosqlite's thread; a cursor of SQLAlchemy's takes three."""
    mode = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    driver: Any = connection.connection.driver_connection
    if mode == "NOT":
        _alone.add(driver)
        return
    _alone.discard(driver)
    begin, base = f"BEGIN {mode}", connection.dialect.loaded_dbapi.Error
    try:
        await_only(driver.execute(begin))
    except base as error:  # others have locked the database for too long
        refused = DBAPIError.instance(begin, None, error, base)
        raise refused from error


def _end(send: Callable[[Any], None], connection: Any) -> None:
    """Send COMMIT or ROLLBACK, but not where nothing was begun.

    Each is a turn of aiosqlite's thread, even if it has nothing to do.
    """
    if connection.driver_connection not in _alone:
        send(connection)


def _forget(_: object, record: ConnectionPoolEntry) -> None:
    """Let the next one that gets the connection end whatever it begins."""
    if record.driver_connection is not None:  # else it is invalid
        _alone.discard(record.driver_connection)


def _begin_by_hand(connection: sa.Connection) -> None:
    """Begin where the driver has not.

    Python's sqlite3 begins before the first write only; a savepoint before that would
    be the outermost transaction, and its release a commit.
    """
    driver = connection.connection.driver_connection
    if driver is not None and not driver.in_transaction:
        connection.exec_driver_sql("BEGIN")


def _tames(dialect: sa.Dialect) -> None:
    """Let a cancelled statement of aiosqlite end, and its connection roll back.

    SQLAlchemy closes the connection of a cancelled statement. A connection of SQLite
    that is closed over a statement lives on as long as that does, and with it the
    write lock. The thread of aiosqlite does one thing after the other, so whatever is
    asked of it next comes when the statement has ended.
    """
    sa.event.listen(dialect, "handle_error", _keep_connection)  # once, however often


def _keep_connection(context: ExceptionContext) -> None:
    error = context.original_exception
    if isinstance(error, asyncio.CancelledError):
        context.is_disconnect = False
        # SQLAlchemy does it since 2.1; while a cursor is open, its statement is in
        # progress, and SQLite commits no other.
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if (cursor := frame.f_locals.get("_cursor")) is not None:
                await_only(shielded(cursor.close()))


# Texts


def _search(column: Any, place: str, text: str, folds: bool) -> sa.ColumnElement[bool]:
    # LIKE folds ASCII case here; lower() folds just that, so these are exact.
    subject = sa.func.lower(column) if folds else column
    wanted = fold_ascii(text) if folds else text
    if place == "contains":
        return sa.func.instr(subject, wanted) > 0
    start = 1 if place == "startswith" else -len(text)
    return sa.func.substr(subject, start, len(text)) == wanted


# Times and decimals


class _DateTime(InUTC, sqlite.DATETIME):
    pass


def _form(column: Any, kind: TypeEngine[Any]) -> Form | None:
    if isinstance(kind, sa.DateTime | sa.Time):
        return _text_form(column, has_day=isinstance(kind, sa.DateTime))
    return _decimal_form(column, scale_of(kind)) if reads_decimals(kind) else None


def _text_form(column: Any, *, has_day: bool) -> Form:
    """Return the form of times that are texts."""
    template = "0000-00-00 00:00:00.000000" if has_day else "00:00:00.000000"

    def filled(stored: Any) -> Any:
        spaced = sa.func.rtrim(sa.func.replace(stored, "T", " "), "Z", type_=sa.String)
        whole = spaced.op("||")(sa.func.substr(template, sa.func.length(spaced) + 1))
        return sa.func.substr(whole, 1, len(template), type_=sa.String)

    def sent(value: Any) -> Any:
        return sa.bindparam(None, value, column.type)

    def bounds(value: Any) -> tuple[Any, Any]:
        # One that is written with the offset of a zone may have another day's text.
        day = sa.func.substr(sent(value), 1, _DAY, type_=sa.String)
        low, high = (
            sa.func.coalesce(sa.func.date(day, step, type_=sa.String), day)
            for step in ("-1 day", "+1 day")
        )
        return low, high + "~"

    stored = sa.type_coerce(column, sa.String)
    read = filled(_in_utc(stored) if has_day else stored)
    return Form(read, lambda value: filled(sent(value)), bounds if has_day else None)


def _in_utc(stored: Any) -> sa.ColumnElement[Any]:
    """Return the text of a time in UTC, which may end with the offset of a zone."""
    has_offset = stored.op("GLOB")(_OFFSET)
    point, end = sa.func.instr(stored, "."), sa.func.length(stored) - _OFFSET_LENGTH
    part = sa.func.substr(stored, point, end - point + 1)
    second = sa.func.strftime("%Y-%m-%d %H:%M:%S", stored, type_=sa.String)
    moment = second.op("||")(sa.case((point > 0, part), else_=""))
    return sa.type_coerce(sa.case((has_offset, moment), else_=stored), sa.String)


def _decimal_form(column: Any, scale: int) -> Form:
    """Return the form of decimals that are floats."""
    step = Decimal(1).scaleb(-scale)

    def bounds(value: Any) -> tuple[Any, Any]:
        return Decimal(value) - step, Decimal(value) + step

    def given(value: Any) -> Any:
        return _to_digits(sa.bindparam(None, Decimal(bounded(value)), column.type))

    return Form(_rounded(column, scale, column.type), given, bounds)


def _rounded(number: Any, scale: int, kind: Any) -> sa.ColumnElement[Any]:
    """Return a decimal that is kept as a float, with *scale* digits after it."""
    return _to_digits(sa.func.round(number, scale, type_=kind))


def _to_digits(number: Any) -> sa.ColumnElement[Any]:
    """Return *number* with the digits that are kept of it, which ``round`` adds to.

    A null has none.
    """
    shown: Any = sa.cast(sa.func.printf(f"%.{DIGITS}g", number), sa.Double)
    return sa.type_coerce(number * 0 + shown, number.type)


def _limits(kind: sa.Numeric[Any], limits: Limits) -> Limits:
    """Return what is held of decimals, of those that other databases hold."""
    scale = (
        scale_of(kind) if limits.scale is None else min(limits.scale, scale_of(kind))
    )
    return replace(limits, scale=scale, digits=DIGITS)


def _sum(
    column: Any, total: sa.ColumnElement[Any], ends: tuple[Any, Any] | None
) -> sa.ColumnElement[Any]:
    """Return a sum that is refused as servers do, where it does not fit."""
    kind = column.type
    if type(kind) is sa.Numeric:
        total = _rounded(total, scale_of(kind), kind)  # it is a float here
    if ends is None:
        return total
    # No bytes are that many, which is an error. It goes by the row, since SQLite
    # may work out a constant before it looks at any.
    too_big = sa.func.zeroblob(sa.func.coalesce(column, 0) * 0 + _TOO_BIG)
    return sa.case((sa.not_(total.between(*ends)), too_big), else_=total)


SQLITE: Final = Server(
    name="sqlite",
    drivers={
        "aiosqlite": Driver(
            ("sqlite3.",),
            extra="sql",
            connects=_connects,
            sets_up=_sets_up,
            tames=_tames,
        ),
        "pysqlite": Driver(("sqlite3.",)),
    },
    codes={
        2067: "unique", 1555: "unique", 2579: "unique", 787: "foreign_key",
        1811: "foreign_key", 1299: "not_null", 275: "check", 3091: "data",
        20: "data", 18: "data", 5: "locked", 6: "locked", 8: "unopened",
        10: "unavailable", 13: "unavailable", 14: "unopened", 1: "missing",
    },
    codes_of=_codes_of,
    subject_of=_subject_of,
    insert=sqlite.insert,
    search=_search,
    text_group=lambda column: (sa.collate(column, "BINARY"),) * 2,
    text_extreme=lambda find, column: find(sa.collate(column, "BINARY")),
    is_file=True,
    writing={_BEGIN: "IMMEDIATE"},
    single={_BEGIN: "NOT"},
    begin=_begin_by_hand,
    foreign_keys="PRAGMA foreign_keys",
    skips_locked=False,
    counts_in_order=True,
    has_enums=False,
    has_64_bits=True,
    decimals_are_floats=True,
    kinds={sa.DateTime: _DateTime, sa.Numeric: InDigits},
    limits=_limits,
    form=_form,
    sum=_sum,
)  # fmt: skip
"""SQLite, by extended result code, or the primary one that stands for its kind."""
