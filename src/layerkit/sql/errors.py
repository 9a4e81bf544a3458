"""What drivers raise, recognised by sqlstate or error number, as layerkit's errors.

What the codes mean is written down in ``layerkit.sql.dialects``. Texts are read for
names only, never for their words, which a server may translate.
"""

import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeGuard, cast

from sqlalchemy import URL, PrimaryKeyConstraint, exc
from sqlalchemy.orm import Mapper, RelationshipDirection, registry
from sqlalchemy.orm import exc as orm_exc

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
from layerkit.core.redaction import place_of, redacted_text
from layerkit.repository import adapter_for
from layerkit.repository.stores.references import circular, mismatch, still_referred
from layerkit.sql.deletes import SPREADING, on_delete, tables_of, target_of
from layerkit.sql.dialects import SERVERS, Failure, server_behind
from layerkit.sql.dialects.records import Subject
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.loading import forbidden
from layerkit.sql.table_rules import name_of

DRIVER_ERRORS: Final = (OSError, OverflowError, UnicodeError)
"""What drivers raise past SQLAlchemy: the network, and values that can't be sent."""

_SENDERS: Final = tuple(f"sqlalchemy.{n}" for n in ("engine", "pool", "dialects"))
"""Where SQLAlchemy talks to a driver."""


def driver_errors() -> tuple[type[Exception], ...]:
    """Return what to catch: SQLAlchemy's errors, and what drivers raise past it.

    Before SQLAlchemy 2.1 that is also what asyncpg raises while it connects.
    """
    return (exc.SQLAlchemyError, *DRIVER_ERRORS, *_unwrapped_errors())


def _unwrapped_errors() -> tuple[type[Exception], ...]:
    """Return what drivers raise that SQLAlchemy does not make one of its errors."""
    return tuple(
        getattr(sys.modules[name], error)
        for server in SERVERS
        for name, driver in server.drivers.items()
        for error in (driver.unwrapped if name in sys.modules else ())
    )


_WRITTEN: Final = re.compile(
    r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+([^\s(]+)", re.IGNORECASE
)

_MISFIT: Final = "a value does not fit its column"
_FAILED_BEFORE: Final = (
    "the session's transaction has failed before: roll the session back, or catch "
    "errors in a savepoint"
)
_CLOSED_BEFORE: Final = (
    "the transaction of the session's `begin()` has failed or was rolled back before: "
    "leave its block, or catch errors in a savepoint"
)
_IS_CLOSED: Final = "Can't operate on closed transaction inside context manager"
"""How SQLAlchemy begins to say so; of what has failed it says all, data included."""


class SumError(OverflowError):
    """An increment that leads beyond its column.

    Args:
        fields: What was added to.
    """

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(f"{', '.join(fields)} can't be added to: {_MISFIT}")
        self.fields = fields


class KeptError(OverflowError):
    """A delete that would leave orphans, on a database that checks no foreign keys.

    Its text names the relationships that lead to them.
    """


def _misfit(error: Exception) -> AppException:
    """Return what to say of parameters that were refused before they were sent."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, exc.InvalidRequestError):
        return _wrong(cause)  # a parameter is missing: the statement is wrong
    return ValidationError(_MISFIT)


def _wrong(error: Exception) -> AppException:
    """Return what to say of a mistake in the words of SQLAlchemy, without data."""
    text = str(error)
    if text.startswith(_IS_CLOSED):
        return UnitOfWorkError(_CLOSED_BEFORE)
    return forbidden(error) or UsageError(redacted_text(text))


def is_of_database(error: BaseException) -> TypeGuard[Exception]:
    """Tell whether *error* comes from SQLAlchemy or, through it, from a driver.

    That a statement has found no row, or several, is an answer: not an error of these.
    """
    if isinstance(error, exc.SQLAlchemyError):
        return not isinstance(error, exc.NoResultFound | exc.MultipleResultsFound)
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, DRIVER_ERRORS) and any(
        frame.f_globals.get("__name__", "").startswith(_SENDERS) for frame, _ in frames
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
    if isinstance(error, _unwrapped_errors()):
        error = exc.DBAPIError(None, None, error)  # see driver_errors
    if isinstance(error, exc.StatementError):
        error.hide_parameters = True  # a traceback with them would show what users sent
    if isinstance(error, exc.DBAPIError):
        error = _first_failure(error)
        owner = _owner(error, adapter, registries)
        return _translate_driver(error, owner, url)
    if isinstance(error, OSError):
        return _unavailable("unreachable", url)
    if isinstance(error, KeptError) and adapter is not None:
        return still_referred(adapter.name, str(error), None)
    if isinstance(error, SumError):
        return ValidationError(str(error), fields=error.fields)
    return _translate_orm(error)


def _translate_orm(error: Exception) -> AppException:
    """Return what to say of an error that is not the answer of a server."""
    match error:
        case exc.TimeoutError():
            return UnavailableError("all connections to the database are in use")
        case orm_exc.StaleDataError():
            return StaleDataError(kind="serialization")
        case exc.MissingGreenlet():
            return UsageError(
                "something was loaded outside of an awaited call: name what you need "
                "in `load`, or read it inside the unit of work"
            )
        case exc.CircularDependencyError():
            return circular()
        case exc.PendingRollbackError():
            return UnitOfWorkError(_FAILED_BEFORE)
        case exc.InvalidRequestError():  # which some of those above are, too
            return _wrong(error)
        case exc.StatementError() | OverflowError() | UnicodeError():
            return _misfit(error)
        case _:
            return UsageError(redacted_text(f"{type(error).__name__}: {error}"))


def _first_failure(error: exc.DBAPIError) -> exc.DBAPIError:
    """Return what failed in a flush, where undoing its savepoint has failed as well.

    MariaDB ends the whole transaction at a deadlock, savepoints and all.
    """
    if not (error.statement or "").startswith("ROLLBACK TO SAVEPOINT"):
        return error
    before = error.__context__
    return before if isinstance(before, exc.DBAPIError) else error


def in_doubt(failure: AppException) -> AppException:
    """Return the error of what was sent to be stored.

    Where the connection broke, the error is not ``retryable``: the server may have
    stored it before, and to do the work again would do it twice.
    """
    if not (isinstance(failure, UnavailableError) and failure.kind in _CUT_OFF):
        return failure
    doubt = UnavailableError(
        "the connection broke in the commit, or in the one statement of a verb outside "
        "of a unit, so nobody can tell whether it is stored: look before you do it "
        "again",
        kind="disconnected",
    )
    doubt.retryable = doubt.public = False
    return doubt


def _translate_driver(
    error: exc.DBAPIError, adapter: MappedAdapter[Any] | None, url: URL | None
) -> AppException:
    failure, server = failure_of(error), server_behind(error.orig)
    if server is not None and failure in _OF_CONSTRAINTS:
        subject = server.subject_of(error.orig, failure)
        return _refusal(error, failure, adapter, subject)
    if failure in _OUT_OF_REACH:
        return _unavailable(failure, url)
    match failure:
        case "serialization" | "deadlock":
            return ConflictError(
                "another unit of work got in the way; run it again", kind=failure
            )
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
            text = redacted_text(str(error.orig)).partition("\n")[0]
            return UsageError(
                f"the database refused a statement: {text}. Where a table or column "
                "is missing: await database.create_all(Base.metadata), or migrate"
            )


_OF_CONSTRAINTS: Final = {"unique", "foreign_key", "not_null", "check", "too_deep"}

_CUT_OFF: Final = frozenset({"disconnected", "unreachable"})

_KINDS: Final[Mapping[Failure, UnavailableKind]] = {
    "locked": "lock_timeout",
    "disconnected": "disconnected",
    "unreachable": "unreachable",
    "unconnected": "unreachable",
}

_OUT_OF_REACH: Final[Mapping[Failure, str]] = {
    "unreachable": "{} can't be reached; is it running?",
    "unconnected": "{} can't be reached, or does not let this user in: is it running, "
    "and does its address have the right user, password and name?",
    "unopened": "{} can't be opened: its folder must exist, and this program may read "
    "and write there",
    "denied": "{} does not let this user in: look at the user and the password of its "
    "address",
    "disconnected": "the connection to {} broke before a commit, so nothing is stored "
    "of the unit of work, or of the verb outside of one",
    "locked": "the database is locked: another transaction holds what this one needs "
    "for longer than it waits (on SQLite, `busy_timeout_seconds`); keep units of work "
    "short, or try again",
    "unavailable": "the database is locked, busy or out of reach",
}
"""What to say of a database that can't be used now; {} is its place."""


def _unavailable(failure: Failure, url: URL | None) -> UnavailableError:
    text = _OUT_OF_REACH[failure].format(_database(url))
    error = UnavailableError(text, kind=_KINDS.get(failure))
    error.public = False  # it names a place: for logs, not for clients
    return error


def _database(url: URL | None) -> str:
    """Name a database by its place, without user and password."""
    if url is None:
        return "the database"
    if not url.host:
        return f"the file {url.database or ''}"
    host = f"[{url.host}]" if ":" in url.host else url.host
    port, name = f":{url.port}" if url.port else "", url.database or ""
    # Both may hold the end of a password with an @ that nobody escaped.
    return f"the database at {place_of(f'://@{host}{port}/{name}')}"


def failure_of(error: exc.DBAPIError) -> Failure:
    """Tell what went wrong by the driver's code; what is unknown counts as missing."""
    server = server_behind(error.orig)
    found = server.failure_of(error.orig) if server else None
    if found in {None, "unconnected"} and error.connection_invalidated:
        return "disconnected"
    return found or "missing"


def _refusal(
    error: exc.DBAPIError,
    failure: Failure,
    adapter: MappedAdapter[Any] | None,
    subject: Subject,
) -> AppException:
    """Return what to say of a statement that would have broken a constraint."""
    is_delete = (error.statement or "").lstrip().upper().startswith("DELETE")
    if failure == "foreign_key" and is_delete and adapter is not None:
        found = ", ".join(_referring(adapter.mapper, subject[0])) or subject[0]
        return still_referred(adapter.name, found, subject[0])
    constraint, fields = _fields(adapter, *subject)
    named = ", ".join(fields)
    if failure == "unique":
        return AlreadyExistsError(constraint=constraint, fields=fields)
    if failure == "foreign_key":
        return mismatch(constraint, fields)
    if failure == "too_deep":
        return _too_deep(constraint)
    if failure == "not_null":
        return ValidationError(f"{named or 'a field'} must not be null", fields=fields)
    return ValidationError(
        f"{named or constraint or 'a rule'} is broken", fields=fields
    )


def _too_deep(constraint: str | None) -> ConflictError:
    error = ConflictError(
        "MariaDB and MySQL follow ON DELETE and ON UPDATE over 15 levels of rows and "
        "no more: delete or change the deepest rows first, or have relationships "
        'delete them, by cascade="all, delete-orphan" without passive_deletes',
        kind="foreign_key",
        constraint=constraint,
    )
    error.public = False  # it is about the tables: for logs, not for clients
    return error


def _referring(mapper: Mapper[Any], constraint: str | None) -> list[str]:
    """Name the foreign keys that keep a row of *mapper*, by their relationships.

    Args:
        mapper: Of the class whose row was to be deleted.
        constraint: The one that the database names; without it, all that may be.
    """
    by_columns = {
        frozenset(column for _, column in r.synchronize_pairs): str(r)
        for r in mapper.relationships
        if r.direction is not RelationshipDirection.MANYTOONE
    }
    tables = tables_of(mapper)
    names = {table.fullname for table in tables}
    found: dict[str, bool] = {}
    for table in {t for own in tables for t in own.metadata.tables.values()}:
        for key in table.foreign_key_constraints:
            first = key.elements[0]
            if target_of(first) in names and on_delete(first) not in SPREADING:
                where = ", ".join(f"{table.name}.{c.name}" for c in key.columns)
                relationship = by_columns.get(frozenset(key.columns))
                name = f"{relationship} ({where})" if relationship else where
                found[name] = constraint == name_of(key, "fkey")
    exact = [name for name, is_named in found.items() if is_named]
    return exact or sorted(found)


def _owner(
    error: exc.DBAPIError,
    adapter: MappedAdapter[Any] | None,
    registries: Iterable[registry],
) -> MappedAdapter[Any] | None:
    """Return what knows the table that was written, which may be another's."""
    if written := _WRITTEN.match(error.statement or ""):
        table = written.group(1).rpartition(".")[2].strip('`"')
    else:
        server = server_behind(error.orig)
        table = server.table_of(error.orig) if server else None
    own: tuple[Mapper[Any], ...] = () if adapter is None else (adapter.mapper,)
    known = {*registries, *(mapper.registry for mapper in own)}
    for mapper in (*own, *(m for found in known for m in found.mappers)):
        if table in {t.name for t in tables_of(mapper)}:
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
    names = adapter.names
    for table in tables_of(adapter.mapper):
        rules: list[Any] = [*table.constraints, *table.indexes]
        for rule in rules:
            if constraint in _names(rule):
                return tuple(names[c] for c in rule.columns if c in names)
    # MySQL names a unique key after its (first) column.
    return tuple(
        name for name, column in adapter.columns.items() if column.name == constraint
    )


def _names(rule: Any) -> set[str]:
    """Return the names that a constraint or an index goes by at servers."""
    if isinstance(rule, PrimaryKeyConstraint):
        return {"PRIMARY", str(rule.name or f"{rule.table.name}_pkey")}
    return {name_of(rule, "fkey"), name_of(rule, "check")}
