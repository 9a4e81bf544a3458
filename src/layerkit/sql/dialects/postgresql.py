"""PostgreSQL: five characters say what went wrong (its manual, appendix A)."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi

from layerkit.sql.dialects.records import Driver, Failure, Server, Subject


def _codes_of(original: Any) -> Sequence[str]:
    """Return the sqlstate, then the classes that it belongs to."""
    if isinstance(original, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError):
        return ("40001",)  # a migration has run since the connection prepared it
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return [state[:length] for length in (5, 3, 2)] if state else []


def details_of(original: Any) -> object:
    """Return what has the names: asyncpg's own error, or the diag of psycopg."""
    return getattr(original, "diag", None) or getattr(original, "__cause__", None)


def _subject_of(original: Any, _: Failure) -> Subject:
    details = details_of(original)
    column: str | None = getattr(details, "column_name", None)
    return getattr(details, "constraint_name", None), (column,) if column else ()


POSTGRESQL: Final = Server(
    names=("postgresql",),
    drivers={
        "asyncpg": Driver(
            ("asyncpg.", "sqlalchemy.dialects.postgresql.asyncpg."),
            is_async=True,
            extra="postgres",
            binds=True,
        ),
        "psycopg": Driver(("psycopg.",), is_async=True),
        "psycopg2": Driver(("psycopg2.",), is_async=False),
    },
    codes={
        "23505": "unique", "23P01": "unique", "23503": "foreign_key",
        "23001": "foreign_key",  # ON DELETE RESTRICT, from PostgreSQL 18 on
        "23502": "not_null", "23514": "check", "22": "data", "54000": "data",
        "428C9": "data", "40001": "serialization", "40P01": "deadlock",
        "55P03": "locked", "57P": "disconnected", "08001": "unreachable",
        "08004": "unreachable", "08": "disconnected", "53": "unavailable",
        "28": "denied", "57014": "timeout", "25P02": "aborted", "42P01": "missing",
        "42703": "missing", "3D000": "nowhere", "3F000": "missing",
    },
    codes_of=_codes_of,
    subject_of=_subject_of,
)  # fmt: skip
"""PostgreSQL, by sqlstate or the class that it begins with."""
