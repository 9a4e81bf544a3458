"""MariaDB and MySQL: a number says what went wrong (MariaDB's error codes)."""

import re
from collections.abc import Sequence
from typing import Any, Final

from layerkit.sql.dialects.records import Driver, Failure, Server, Subject

_QUOTED: Final = re.compile(r"['`]([^'`]+)['`]")
# The last quotes of a text: those before it may hold a value, with quotes of its own.
_LAST_QUOTED: Final = re.compile(r"['`]([^'`]+)['`][^'`]*$")
_CONSTRAINT: Final = re.compile(r"CONSTRAINT `([^`]+)`")
_REFERENCE: Final = re.compile(r"FOREIGN KEY \(([^()]+)\)")
_ENGINE: Final = 1296
"""An error of the storage engine, whose own number is the first in the text."""


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


MYSQL: Final = Server(
    names=("mysql", "mariadb"),
    drivers={
        "asyncmy": Driver(("asyncmy.",), is_async=True, extra="mysql", binds=True),
        "aiomysql": Driver(("aiomysql.", "pymysql."), is_async=True, binds=True),
        "pymysql": Driver(("pymysql.",), is_async=False),
        "mysqldb": Driver(("MySQLdb.",), is_async=False),
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
)  # fmt: skip
"""MariaDB and MySQL, by number."""
