"""SQLite: result codes say what went wrong (its manual, "Result and Error Codes")."""

import re
from collections.abc import Sequence
from typing import Any, Final

from layerkit.sql.dialects.records import Driver, Failure, Server, Subject

_SUBJECT: Final = re.compile(r"constraint failed: (.+)$")
_INDEX: Final = re.compile(r"^index '(.+)'$")


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


SQLITE: Final = Server(
    names=("sqlite",),
    drivers={
        "aiosqlite": Driver(("sqlite3.",), is_async=True, extra="sql"),
        "pysqlite": Driver(("sqlite3.",), is_async=False),
    },
    codes={
        2067: "unique", 1555: "unique", 2579: "unique", 787: "foreign_key",
        1811: "foreign_key", 1299: "not_null", 275: "check", 3091: "data",
        20: "data", 18: "data", 5: "locked", 6: "locked", 8: "unopened",
        10: "unavailable", 13: "unavailable", 14: "unopened", 1: "missing",
    },
    codes_of=_codes_of,
    subject_of=_subject_of,
)  # fmt: skip
"""SQLite, by extended result code, or the primary one that stands for its kind."""
