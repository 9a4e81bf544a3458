"""MariaDB and MySQL: a number says what went wrong (MariaDB's error codes).

Texts are compared by a collation that folds case and pads blanks, and a FLOAT has four
bytes, of which six digits are read.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeEngine

from layerkit.sql.dialects.kinds import InUTC
from layerkit.sql.dialects.numbers import SINGLE_BITS
from layerkit.sql.dialects.records import Driver, Failure, Form, Server, Subject

_QUOTED: Final = re.compile(r"['`]([^'`]+)['`]")
# The last quotes of a text: those before it may hold a value, with quotes of its own.
_LAST_QUOTED: Final = re.compile(r"['`]([^'`]+)['`][^'`]*$")
_CONSTRAINT: Final = re.compile(r"CONSTRAINT `([^`]+)`")
_REFERENCE: Final = re.compile(r"FOREIGN KEY \(([^()]+)\)")
_ENGINE: Final = 1296
"""An error of the storage engine, whose own number is the first in the text."""


_STRICT: Final = (
    "SET SESSION sql_mode = CONCAT_WS(',', NULLIF(@@sql_mode, ''), 'STRICT_ALL_TABLES')"
)
"""Where a server is not strict, it cuts off what does not fit, and tells nobody."""


def _codes_of(original: Any) -> Sequence[int]:
    number = original.args[0] if original.args else None
    if number == _ENGINE and (inner := re.search(r"\d+", str(original.args[-1]))):
        return _ENGINE * 1_000 + int(inner[0]), _ENGINE
    return (number,) if isinstance(number, int) else ()


def _subject_of(original: Any, failure: Failure) -> Subject:
    text = str(original.args[-1]) if original.args else ""
    if match := _CONSTRAINT.search(text):
        reference = _REFERENCE.search(text)
        names = reference.group(1) if reference else ""
        return match.group(1), tuple(re.findall("`([^`]+)`", names))
    if failure == "not_null":
        return None, tuple(_QUOTED.findall(text)[:1])
    quoted = _LAST_QUOTED.search(text)
    return (quoted.group(1).rpartition(".")[2] if quoted else None), ()


# Connections


def _connects(url: sa.URL, _: float) -> tuple[sa.URL, dict[str, Any]]:
    if "init_command" in url.query:
        return url, {}
    return url, {"connect_args": {"init_command": _STRICT}}


def _escape_bytes(_: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """Write bytes as PyMySQL does: aiomysql 0.3 relies on what version 1.2 dropped."""
    driver: Any = record.driver_connection
    escape = driver.escape
    driver.escape = lambda value: (
        f"_binary X'{value.hex()}'" if isinstance(value, bytes) else escape(value)
    )


# Texts


def _search(column: Any, place: str, text: str, folds: bool) -> sa.ColumnElement[bool]:
    return sa.collate(column, "utf8mb4_bin").regexp_match(_regex(place, text, folds))


def _regex(place: str, text: str, folds: bool) -> str:
    body = "".join(
        f"[{c.lower()}{c.upper()}]"
        if folds and c in string.ascii_letters
        else re.escape(c)
        for c in text
    )
    if place == "startswith":
        return rf"\A{body}"
    return rf"{body}\z" if place == "endswith" else body


def _in_utf8(texts: Any) -> sa.ColumnElement[Any]:
    return sa.func.convert(texts.op("USING")(sa.text("utf8mb4")))


def _bytes(column: Any) -> sa.ColumnElement[Any]:
    return sa.cast(_in_utf8(column), sa.LargeBinary)


# Numbers and times


class _DateTime(InUTC, mysql.DATETIME):
    pass


def _is_short(kind: TypeEngine[Any]) -> bool:
    """Tell whether floats of *kind* are kept in four bytes."""
    if not isinstance(kind, sa.Float) or isinstance(kind, sa.Double | sa.REAL):
        return False
    return (kind.precision or 0) <= SINGLE_BITS


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def _form(column: Any, kind: TypeEngine[Any]) -> Form | None:
    if not _is_short(kind):
        return None
    read = sa.func.concat(column) + sa.literal_column("0e0", sa.Double)
    return Form(sa.type_coerce(read, sa.Double), _six_digits)


def _is_rounded(kind: TypeEngine[Any], value: object) -> bool:
    """Tell whether a value is rounded, cut off or padded.

    Times have no microseconds unless they are asked for, and NUMERIC no decimals.
    """
    if isinstance(value, float):
        return _is_short(kind) and _six_digits(value) != value
    if isinstance(value, str):
        return isinstance(kind, sa.CHAR) and value.endswith(" ")
    if isinstance(value, bytes):
        return isinstance(kind, sa.BINARY) and len(value) != kind.length
    if isinstance(value, Decimal):
        return type(kind) is sa.Numeric and round(value, kind.scale or 0) != value
    part = getattr(value, "microsecond", getattr(value, "microseconds", 0))
    return bool(part) and getattr(kind, "fsp", None) is None


MYSQL: Final = Server(
    name="mysql",
    drivers={
        "asyncmy": Driver(
            ("asyncmy.",), extra="mysql", binds=True, connects=_connects
        ),
        "aiomysql": Driver(
            ("aiomysql.", "pymysql."),
            binds=True,
            connects=_connects,
            sets_up=lambda engine: sa.event.listen(engine, "connect", _escape_bytes),
        ),
        "pymysql": Driver(("pymysql.",)),
        "mysqldb": Driver(("MySQLdb.",)),
    },
    codes={
        1062: "unique", 1586: "unique", 1451: "foreign_key", 1452: "foreign_key",
        1048: "not_null", 1364: "not_null", 3819: "check", 4025: "check",
        1264: "data", 1265: "data", 1292: "data", 1366: "data", 1406: "data",
        1525: "data", 1690: "data", 1906: "data", 3105: "data",
        1213: "deadlock", 1020: "serialization", 1205: "locked", 3572: "locked",
        1040: "unavailable", 1044: "denied", 1045: "denied", 1698: "denied",
        1053: "disconnected", 1927: "disconnected", 2002: "unreachable",
        2003: "unreachable", 2006: "disconnected", 2013: "disconnected",
        3024: "timeout", 1969: "timeout", 1146: "missing", 1054: "missing",
        1049: "nowhere", 3008: "too_deep", 1296_193: "too_deep",
    },
    codes_of=_codes_of,
    subject_of=_subject_of,
    insert=mysql.insert,
    search=_search,
    text_group=lambda column: (sa.func.min(column), _bytes(column)),  # all the same
    text_extreme=lambda find, column: _in_utf8(find(_bytes(column))),
    reads_snapshots=True,
    returns_upserts=False,
    has_partial_indexes=False,
    folds_texts=True,
    loses_great_sums=True,
    kinds={sa.DateTime: _DateTime},
    form=_form,
    rounds=lambda kind, _: partial(_is_rounded, kind),
)  # fmt: skip
"""MySQL, by number."""

MARIADB: Final = replace(MYSQL, name="mariadb")
"""The same for addresses of MariaDB."""
