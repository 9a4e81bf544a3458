"""PostgreSQL: five characters say what went wrong (its manual, appendix A)."""

import string
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import URL, ColumnElement, Double, Enum, Text, cast, collate, func
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.types import TypeEngine

from layerkit.core.errors import UsageError
from layerkit.repository.entities.limits import SINGLE_END, to_single
from layerkit.repository.filters.evaluate import fold_ascii
from layerkit.sql.dialects.numbers import as_float, is_single
from layerkit.sql.dialects.records import Driver, Failure, Form, Server, Subject

_FOLD: Final = (string.ascii_uppercase, string.ascii_lowercase)

_LIBPQ_ONLY: Final = frozenset(
    {
        *("channel_binding", "connect_timeout", "gssencmode", "options"),
        *("sslcert", "sslcrl", "sslkey", "sslpassword", "sslrootcert"),
    }
)
"""What libpq reads from an address, and asyncpg does not take."""


def _codes_of(original: Any) -> Sequence[str]:
    """Return the sqlstate, then the classes that it belongs to."""
    if isinstance(original, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError):
        return ("40001",)  # a migration has run since the connection prepared it
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return [state[:length] for length in (5, 3, 2)] if state else []


def _details_of(original: Any) -> object:
    """Return what has the names: asyncpg's own error, or the diag of psycopg."""
    return getattr(original, "diag", None) or getattr(original, "__cause__", None)


def _subject_of(original: Any, _: Failure) -> Subject:
    details = _details_of(original)
    column: str | None = getattr(details, "column_name", None)
    return getattr(details, "constraint_name", None), (column,) if column else ()


def _table_of(original: Any) -> str | None:
    return getattr(_details_of(original), "table_name", None)


def _for_asyncpg(url: URL, _: float) -> tuple[URL, dict[str, Any]]:
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
    return url.set(query=query), {"connect_args": settings}


def _is_idle(connection: Any) -> bool:
    return bool(connection.info.transaction_status == 0)  # of libpq: IDLE


# Texts


def _search(column: Any, place: str, text: str, folds: bool) -> ColumnElement[bool]:
    subject: Any = func.translate(column, *_FOLD) if folds else column
    wanted = fold_ascii(text) if folds else text
    found: ColumnElement[bool] = getattr(subject, place)(wanted, autoescape=True)
    return found


def _by_code_points(column: Any) -> ColumnElement[Any]:
    return collate(cast(column, Text) if isinstance(column.type, Enum) else column, "C")


# Numbers


def _form(column: Any, kind: TypeEngine[Any]) -> Form | None:
    return Form(column, _to_real) if is_single(kind) else None


def _to_real(value: float) -> Any:
    """Return *value* as a REAL has it, where one does: drivers may show less of it."""
    number = as_float(value)
    return cast(number, postgresql.REAL if abs(number) < SINGLE_END else Double)


def _rounds(kind: TypeEngine[Any], driver: Driver) -> Callable[[Any], bool] | None:
    """Return what tells whether a float is shown shorter, or a CHAR filled up."""
    if is_single(kind) and driver.shows_singles:
        return lambda value: _shown(value) != value
    return bool if isinstance(kind, postgresql.CHAR) else None


def _shown(value: float) -> float:
    """Return the float of the fewest digits that tell a float of four bytes apart."""
    return next(
        n for d in range(6, 10) if to_single(n := float(f"{value:.{d}g}")) == value
    )


POSTGRESQL: Final = Server(
    name="postgresql",
    drivers={
        "asyncpg": Driver(
            ("asyncpg.", "sqlalchemy.dialects.postgresql.asyncpg."),
            extra="postgres",
            binds=True,
            unwrapped=("PostgresError", "InterfaceError"),
            reader=r"asyncpg\..*_decode_row",
            is_idle=lambda connection: not connection.is_in_transaction(),
            connects=_for_asyncpg,
        ),
        "psycopg": Driver(
            ("psycopg.",),
            reader=r"psycopg\..*\.fetch\w*",
            shows_singles=True,
            is_idle=_is_idle,
        ),
        "psycopg2": Driver(
            ("psycopg2.",), shows_singles=True, is_idle=_is_idle
        ),
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
    table_of=_table_of,
    insert=postgresql.insert,
    search=_search,
    text_group=lambda column: (column, column),
    text_extreme=lambda find, column: find(_by_code_points(column)),
    aliases=("postgres",),
    single={"isolation_level": "AUTOCOMMIT"},
    hides_failure=True,
    has_zones=True,
    has_infinite_times=True,
    types_numbers=True,
    widens_singles=False,
    form=_form,
    rounds=_rounds,
)  # fmt: skip
"""PostgreSQL, by sqlstate or the class that it begins with."""
