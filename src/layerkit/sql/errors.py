"""What drivers raise, told by sqlstate or error number, as layerkit's errors.

Sources: PostgreSQL manual, appendix A; MariaDB error codes; SQLite result codes. Texts
are read for names only, never for their words, which a server may translate.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from sqlalchemy import URL, Column, Constraint, Index, PrimaryKeyConstraint, Table
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import (
    DBAPIError,
    InvalidRequestError,
    MissingGreenlet,
    PendingRollbackError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Mapper, registry
from sqlalchemy.orm.exc import StaleDataError as ORMStaleDataError

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    ConflictError,
    StaleDataError,
    TimeoutExceededError,
    UnavailableError,
    UnavailableKind,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository import adapter_for
from layerkit.sql.entities import MappedAdapter

Failure: TypeAlias = Literal[
    "unique", "foreign_key", "not_null", "check", "data", "serialization",
    "deadlock", "unavailable", "timeout", "aborted", "missing",
    "unreachable", "disconnected", "locked", "unopened", "nowhere", "denied",
]  # fmt: skip

SQLSTATES: Final[Mapping[str, Failure]] = {
    "23505": "unique", "23P01": "unique", "23503": "foreign_key", "23502": "not_null",
    "23514": "check", "22": "data", "54000": "data", "428C9": "data",
    "40001": "serialization", "40P01": "deadlock",
    "55P03": "locked", "57P": "disconnected", "08001": "unreachable",
    "08004": "unreachable", "08": "disconnected",
    "53": "unavailable", "28": "denied", "57014": "timeout", "25P02": "aborted",
    "42P01": "missing", "42703": "missing", "3D000": "nowhere", "3F000": "missing",
}  # fmt: skip
"""PostgreSQL's five characters, or the class they begin with."""

MYSQL_ERRORS: Final[Mapping[int, Failure]] = {
    1062: "unique", 1586: "unique", 1451: "foreign_key", 1452: "foreign_key",
    1048: "not_null", 1364: "not_null", 3819: "check", 4025: "check",
    1264: "data", 1265: "data", 1292: "data", 1366: "data", 1406: "data",
    1690: "data", 1906: "data", 3105: "data",
    1213: "deadlock", 1020: "serialization", 1205: "locked", 3572: "locked",
    1040: "unavailable", 1044: "denied", 1045: "denied", 1698: "denied",
    1053: "disconnected",
    2002: "unreachable", 2003: "unreachable", 2006: "disconnected",
    2013: "disconnected", 3024: "timeout", 1969: "timeout",
    1146: "missing", 1054: "missing", 1049: "nowhere",
}  # fmt: skip

SQLITE_CODES: Final[Mapping[int, Failure]] = {
    2067: "unique", 1555: "unique", 2579: "unique", 787: "foreign_key",
    1811: "foreign_key", 1299: "not_null", 275: "check", 3091: "data", 20: "data",
    18: "data", 5: "locked", 6: "locked", 8: "unopened",
    10: "unavailable", 13: "unavailable", 14: "unopened", 1: "missing",
}  # fmt: skip
"""Extended result codes first; a primary code (the low byte) stands for its kind."""

DRIVER_ERRORS: Final = (OSError, OverflowError, UnicodeError)
"""What drivers raise past SQLAlchemy: the network, and values that can't be sent."""

_WRITTEN: Final = re.compile(
    r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+([^\s(]+)", re.IGNORECASE
)
_QUOTED: Final = re.compile(r"['`]([^'`]+)['`]")
# The last quotes of a text: those before it may hold a value, with quotes of its own.
_LAST_QUOTED: Final = re.compile(r"['`]([^'`]+)['`][^'`]*$")
_MYSQL_CONSTRAINT: Final = re.compile(r"CONSTRAINT `([^`]+)`")
_MYSQL_REFERENCE: Final = re.compile(r"FOREIGN KEY \(([^)]+)\)")
_SQLITE_SUBJECT: Final = re.compile(r"constraint failed: (.+)$")
_SQLITE_INDEX: Final = re.compile(r"^index '(.+)'$")

_MISFIT: Final = "a value does not fit its column"
_FAILED_BEFORE: Final = (
    "the session's transaction has failed before: roll the session back, or catch "
    "errors in a savepoint"
)


class SumError(OverflowError):
    """An increment that leads beyond its column.

    Args:
        fields: What was added to.
    """

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(f"{', '.join(fields)} can't be added to: {_MISFIT}")
        self.fields = fields


# The first class that fits decides, so InvalidRequestError comes after its subclasses.
_MEANINGS: Final[
    tuple[tuple[type[Exception], Callable[[Exception], AppException]], ...]
] = (
    (
        PoolTimeoutError,
        lambda _: UnavailableError("all connections to the database are in use"),
    ),
    (ORMStaleDataError, lambda _: StaleDataError(kind="serialization")),
    (
        MissingGreenlet,
        lambda _: UsageError(
            "something was loaded outside of an awaited call: name what you need in "
            "`load`, or read it inside the unit of work"
        ),
    ),
    (PendingRollbackError, lambda _: UnitOfWorkError(_FAILED_BEFORE)),
    (InvalidRequestError, lambda error: UsageError(str(error))),
    (StatementError, lambda _: ValidationError(_MISFIT)),
    (SumError, lambda error: ValidationError(str(error), fields=_fields_of(error))),
    (OverflowError, lambda _: ValidationError(_MISFIT)),
    (UnicodeError, lambda _: ValidationError(_MISFIT)),
)


def translate(
    error: Exception,
    adapter: MappedAdapter[Any] | None = None,
    url: URL | None = None,
    registries: Iterable[registry] = (),
) -> AppException:
    """Return what SQLAlchemy or the network raised as one of layerkit's errors.

    Args:
        error: What was raised.
        adapter: What is known of the entity, which names the fields.
        url: Where the database is; its user and password are never shown.
        registries: Where other classes are mapped, which a flush or a COMMIT may be
            about; the adapter's own is looked in as well.
    """
    if isinstance(error, StatementError):
        error.hide_parameters = True  # a traceback with them would show what users sent
    if isinstance(error, DBAPIError):
        error = _first_failure(error)
        owner = _owner(error, adapter, registries)
        return _translate_driver(error, owner, url)
    if isinstance(error, OSError):
        return _unavailable("unreachable", url)
    for kind, make in _MEANINGS:
        if isinstance(error, kind):
            return make(error)
    return UsageError(f"{type(error).__name__}: {error}")


def _fields_of(error: Exception) -> tuple[str, ...]:
    return error.fields if isinstance(error, SumError) else ()


def _first_failure(error: DBAPIError) -> DBAPIError:
    """Return what failed in a flush, where undoing its savepoint has failed as well.

    MariaDB ends the whole transaction at a deadlock, savepoints and all.
    """
    if not (error.statement or "").startswith("ROLLBACK TO SAVEPOINT"):
        return error
    before = error.__context__
    return before if isinstance(before, DBAPIError) else error


def translate_commit(
    error: Exception, registries: Iterable[registry] = ()
) -> AppException:
    """Return what a COMMIT raised as one of layerkit's errors.

    Where the connection broke, the error is not ``retryable``: the server may have
    committed before, and to do the work again would do it twice.
    """
    failure = translate(error, registries=registries)
    is_cut = isinstance(failure, UnavailableError) and failure.kind in _CUT_OFF
    if not is_cut:
        return failure
    doubt = UnavailableError(
        "the connection broke in the commit, so nobody can tell whether the unit is "
        "stored: look before you run it again",
        kind="disconnected",
    )
    doubt.retryable = doubt.public = False
    return doubt


def _translate_driver(
    error: DBAPIError, adapter: MappedAdapter[Any] | None, url: URL | None
) -> AppException:
    failure = failure_of(error)
    constraint, columns = _subject(error, failure)
    if failure in {"unique", "foreign_key", "not_null", "check"}:
        constraint, fields = _fields(adapter, constraint, columns)
        return _refusal(failure, constraint, fields)
    match failure:
        case "serialization" | "deadlock":
            return ConflictError(
                "another unit of work got in the way; run it again", kind=failure
            )
        case (
            "unavailable"
            | "unreachable"
            | "disconnected"
            | "locked"
            | "unopened"
            | "denied"
        ):
            return _unavailable(failure, url)
        case "nowhere":
            return UsageError(
                f"{_database(url)} does not exist on the server: create the database "
                "first, then its tables"
            )
        case "timeout":
            return TimeoutExceededError("the database cancelled a statement")
        case "data":
            return ValidationError(_MISFIT)
        case "aborted":
            return UnitOfWorkError(_FAILED_BEFORE)
        case _:
            text = str(error.orig).partition("\n")[0]
            return UsageError(
                f"the database refused a statement: {text}. Where a table or column "
                "is missing: await database.create_all(Base.metadata), or migrate"
            )


_CUT_OFF: Final = frozenset({"disconnected", "unreachable"})

_KINDS: Final[Mapping[Failure, UnavailableKind]] = {
    "locked": "lock_timeout",
    "disconnected": "disconnected",
    "unreachable": "unreachable",
}


def _unavailable(failure: Failure, url: URL | None) -> UnavailableError:
    match failure:
        case "unreachable":
            text = f"{_database(url)} can't be reached; is it running?"
        case "unopened":
            text = (
                f"{_database(url)} can't be opened: its folder must exist, and this "
                "program may read and write there"
            )
        case "denied":
            text = (
                f"{_database(url)} does not let this user in: look at the user and the "
                "password of its address"
            )
        case "disconnected":
            text = (
                f"the connection to {_database(url)} broke; nothing of the open unit "
                "is stored"
            )
        case "locked":
            text = (
                "the database is locked: another transaction holds what this one needs "
                "for longer than it waits (on SQLite, `busy_timeout_seconds`); keep "
                "units of work short, or try again"
            )
        case _:
            text = "the database is locked, busy or out of reach"
    error = UnavailableError(text, kind=_KINDS.get(failure))
    error.public = False  # it names a place: for logs, not for clients
    return error


def _database(url: URL | None) -> str:
    """Name a database by its place, without user and password."""
    if url is None:
        return "the database"
    port = f":{url.port}" if url.port else ""
    name = url.database or ""
    return (
        f"the database at {url.host}{port}/{name}" if url.host else f"the file {name}"
    )


def failure_of(error: DBAPIError) -> Failure:
    """Tell what went wrong by the driver's code; what is unknown counts as missing."""
    original: Any = error.orig
    number = original.args[0] if original.args else None
    if isinstance(code := getattr(original, "sqlite_errorcode", None), int):
        found = SQLITE_CODES.get(code) or SQLITE_CODES.get(code & 0xFF)
    elif isinstance(number, int):
        found = MYSQL_ERRORS.get(number)
    elif isinstance(original, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError):
        found = "serialization"  # a migration has run since the connection prepared it
    else:
        state = str(getattr(original, "sqlstate", None) or "")
        found = next(
            (SQLSTATES[s] for n in (5, 3, 2) if (s := state[:n]) in SQLSTATES), None
        )
    if found is None and error.connection_invalidated:
        return "disconnected"
    return found or "missing"


def _refusal(
    failure: Failure, constraint: str | None, fields: tuple[str, ...]
) -> AppException:
    named = ", ".join(fields)
    if failure == "unique":
        return AlreadyExistsError(constraint=constraint, fields=fields)
    if failure == "foreign_key":
        return ConflictError(
            f"{named or 'a reference'} does not match: what it refers to is missing, "
            "or still referred to",
            kind="foreign_key",
            constraint=constraint,
            fields=fields,
        )
    if failure == "not_null":
        return ValidationError(f"{named or 'a field'} must not be null", fields=fields)
    return ValidationError(
        f"{named or constraint or 'a rule'} is broken", fields=fields
    )


def _details(original: object) -> object:
    """Return what has the names on PostgreSQL: asyncpg's own error, psycopg's diag."""
    return getattr(original, "diag", None) or getattr(original, "__cause__", None)


def _subject(error: DBAPIError, failure: Failure) -> tuple[str | None, tuple[str, ...]]:
    """Return the constraint and the columns that the driver names."""
    original: Any = error.orig
    details = _details(original)
    constraint: str | None = getattr(details, "constraint_name", None)
    column: str | None = getattr(details, "column_name", None)
    if constraint or column:
        return constraint, (column,) if column else ()
    text = str(original.args[-1]) if original.args else ""
    if hasattr(original, "sqlite_errorcode"):
        found = _SQLITE_SUBJECT.search(text)
        subject = found.group(1) if found else ""
        if failure == "check":
            return subject or None, ()
        if index := _SQLITE_INDEX.search(subject):
            return index.group(1), ()
        return None, tuple(n.rpartition(".")[2] for n in subject.split(", ") if n)
    if match := _MYSQL_CONSTRAINT.search(text):
        reference = _MYSQL_REFERENCE.search(text)
        names = reference.group(1) if reference else ""
        return match.group(1), tuple(re.findall("`([^`]+)`", names))
    if failure == "not_null":
        return None, tuple(_QUOTED.findall(text)[:1])
    quoted = _LAST_QUOTED.search(text)
    return (quoted.group(1).rpartition(".")[2] if quoted else None), ()


def _owner(
    error: DBAPIError,
    adapter: MappedAdapter[Any] | None,
    registries: Iterable[registry],
) -> MappedAdapter[Any] | None:
    """Return what knows the table that was written, which may be another's."""
    if written := _WRITTEN.match(error.statement or ""):
        table = written.group(1).rpartition(".")[2].strip('`"')
    else:
        table = getattr(_details(error.orig), "table_name", None)
    own: tuple[Mapper[Any], ...] = () if adapter is None else (adapter.mapper,)
    known = {*registries, *(mapper.registry for mapper in own)}
    for mapper in (*own, *(m for found in known for m in found.mappers)):
        if table in {t.name for t in mapper.tables if isinstance(t, Table)}:
            return cast(MappedAdapter[Any], adapter_for(mapper.class_))
    return adapter


def _fields(
    adapter: MappedAdapter[Any] | None, constraint: str | None, columns: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the rule and the fields that it covers, as the mapping names them."""
    if adapter is None:
        return constraint, columns
    by_column = {column.name: name for column, name in adapter.names.items()}
    fields = tuple(by_column.get(column, column) for column in columns)
    for rule in adapter.unique:
        if constraint == rule.name or (fields and fields == rule.fields):
            return rule.name, rule.fields
    if constraint is None:
        return None, fields
    if known := _covered(adapter, constraint):
        return constraint, known
    # A rule of another table: what refers to this one, or was flushed along with it.
    return constraint, fields if set(columns) <= set(by_column) else ()


def _covered(adapter: MappedAdapter[Any], constraint: str) -> tuple[str, ...]:
    """Return the fields of a constraint by its name, given or made by the server."""
    tables = (t for t in adapter.mapper.tables if isinstance(t, Table))
    for table in tables:
        rules: list[Constraint | Index] = [*table.constraints, *table.indexes]
        for candidate in rules:
            columns = list(getattr(candidate, "columns", ()))
            if constraint in _names(table, candidate, columns):
                return tuple(adapter.names[c] for c in columns if c in adapter.names)
    # MySQL names a unique key after its (first) column.
    return tuple(
        name for name, column in adapter.columns.items() if column.name == constraint
    )


def _names(
    table: Table, constraint: Constraint | Index, columns: Sequence[Column[Any]]
) -> set[str]:
    """Return the names that *constraint* goes by; unnamed ones are named by servers."""
    if constraint.name:
        return {str(constraint.name)}
    if isinstance(constraint, PrimaryKeyConstraint):
        return {"PRIMARY", f"{table.name}_pkey"}
    stem = "_".join((table.name, *(column.name for column in columns)))
    return {f"{stem}_fkey", f"{stem}_check"}
