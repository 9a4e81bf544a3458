"""What drivers raise, told by code: every entry of the tables, without a server."""

import sqlite3
from typing import Any, cast

import asyncpg
import pytest
from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
    create_engine,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import (
    CompileError,
    DBAPIError,
    InvalidRequestError,
    MissingGreenlet,
    PendingRollbackError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError as ORMStaleDataError

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    ConflictError,
    StaleDataError,
    TimeoutExceededError,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository import adapter_for
from layerkit.sql import MappedAdapter
from layerkit.sql.dialects import Failure
from layerkit.sql.dialects.mysql import MYSQL
from layerkit.sql.dialects.postgresql import POSTGRESQL
from layerkit.sql.dialects.sqlite import SQLITE
from layerkit.sql.errors import failure_of, translate

SECRET = "s3cret-value"

SQLSTATES: dict[str, Failure] = {str(k): v for k, v in POSTGRESQL.codes.items()}
MYSQL_ERRORS: dict[int, Failure] = {int(k): v for k, v in MYSQL.codes.items()}
SQLITE_CODES: dict[int, Failure] = {int(k): v for k, v in SQLITE.codes.items()}

EXPECTED: dict[Failure, type[AppException]] = {
    "unique": AlreadyExistsError,
    "foreign_key": ConflictError,
    "not_null": ValidationError,
    "check": ValidationError,
    "data": ValidationError,
    "serialization": ConflictError,
    "deadlock": ConflictError,
    "unavailable": UnavailableError,
    "disconnected": UnavailableError,
    "timeout": TimeoutExceededError,
    "aborted": UnitOfWorkError,
    "missing": UsageError,
    "unreachable": UnavailableError,
    "locked": UnavailableError,
    "unopened": UnavailableError,
    "nowhere": UsageError,
    "denied": UnavailableError,
    "unconnected": UnavailableError,
    "too_deep": ConflictError,
}


class Base(DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "parents"

    id: Mapped[int] = mapped_column(primary_key=True)


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column("thing_id", primary_key=True)
    email: Mapped[str] = mapped_column("mail", String(50), unique=True)
    first: Mapped[str] = mapped_column("first_name", String(50))
    last: Mapped[str] = mapped_column("last_name", String(50))
    slug: Mapped[str] = mapped_column(String(50))
    parent: Mapped[int] = mapped_column("parent_id")
    other: Mapped[int] = mapped_column("other_id")
    size: Mapped[int]

    __table_args__ = (
        UniqueConstraint("first_name", "last_name", name="full_name"),
        Index("by_slug", "slug", unique=True),
        Index("by_lower_slug", "slug"),
        ForeignKeyConstraint(["parent_id"], ["parents.id"], name="thing_parent"),
        ForeignKeyConstraint(["other_id"], ["parents.id"]),
        CheckConstraint("size > 0", name="size_positive"),
    )


THING = cast(MappedAdapter[Any], adapter_for(Thing))


class DriverError(Exception):
    """What a driver raises, with the attributes that SQLAlchemy's wrappers have."""

    def __init__(self, *args: object, **attributes: object) -> None:
        super().__init__(*args)
        for name, value in attributes.items():
            setattr(self, name, value)


class AsyncpgError(DriverError):
    __module__ = "asyncpg.exceptions"


class PsycopgError(DriverError):
    __module__ = "psycopg.errors"


class AsyncmyError(DriverError):
    __module__ = "asyncmy.errors"


class SQLiteError(DriverError):
    __module__ = "sqlite3"


def wrapped(original: DriverError, *, invalidated: bool = False) -> DBAPIError:
    return DBAPIError(
        "INSERT", {"mail": SECRET}, original, connection_invalidated=invalidated
    )


def from_postgres(state: str, **names: object) -> DBAPIError:
    original = AsyncpgError(f"<class>: Key (mail)=({SECRET}) ...", sqlstate=state)
    original.__cause__ = DriverError(**names)
    return wrapped(original)


def from_mysql(number: int, text: str = "") -> DBAPIError:
    return wrapped(AsyncmyError(number, text))


def from_sqlite(code: int, text: str = "") -> DBAPIError:
    return wrapped(SQLiteError(text, sqlite_errorcode=code))


# Every code

# By the names that drivers and manuals give them, apart from the records of servers
POSTGRESQL_NAMES: dict[str, Failure] = {
    "UniqueViolationError": "unique",
    "ExclusionViolationError": "unique",
    "ForeignKeyViolationError": "foreign_key",
    "RestrictViolationError": "foreign_key",
    "NotNullViolationError": "not_null",
    "CheckViolationError": "check",
    "NumericValueOutOfRangeError": "data",
    "StringDataRightTruncationError": "data",
    "ProgramLimitExceededError": "data",
    "GeneratedAlwaysError": "data",
    "SerializationError": "serialization",
    "DeadlockDetectedError": "deadlock",
    "LockNotAvailableError": "locked",
    "AdminShutdownError": "disconnected",
    "CannotConnectNowError": "disconnected",
    "IdleSessionTimeoutError": "disconnected",
    "ConnectionDoesNotExistError": "disconnected",
    "ClientCannotConnectError": "unreachable",
    "ConnectionRejectionError": "unreachable",
    "TooManyConnectionsError": "unavailable",
    "DiskFullError": "unavailable",
    "InvalidPasswordError": "denied",
    "QueryCanceledError": "timeout",
    "InFailedSQLTransactionError": "aborted",
    "UndefinedTableError": "missing",
    "UndefinedColumnError": "missing",
    "InvalidSchemaNameError": "missing",
    "InvalidCatalogNameError": "nowhere",
}
MYSQL_NUMBERS: dict[Failure, set[int]] = {
    "unique": {1062, 1586},  # ER_DUP_ENTRY, and with the name of the key
    "foreign_key": {1451, 1452},  # ER_ROW_IS_REFERENCED_2, ER_NO_REFERENCED_ROW_2
    "not_null": {1048, 1364},  # ER_BAD_NULL_ERROR, ER_NO_DEFAULT_FOR_FIELD
    "check": {3819, 4025},  # of MySQL, and of MariaDB
    "data": {1264, 1265, 1292, 1366, 1406, 1525, 1690, 1906, 3105},
    "deadlock": {1213},  # ER_LOCK_DEADLOCK
    "serialization": {1020},  # ER_CHECKREAD
    "locked": {1205, 3572},  # ER_LOCK_WAIT_TIMEOUT, ER_LOCK_NOWAIT
    "unavailable": {1040},  # ER_CON_COUNT_ERROR
    "denied": {1044, 1045, 1698},  # ER_DBACCESS_DENIED_ERROR and its like
    "disconnected": {1053, 1927, 2006, 2013},  # a shutdown, a KILL, a lost server
    "unreachable": {2002, 2003},  # CR_CONNECTION_ERROR, CR_CONN_HOST_ERROR
    "timeout": {1969, 3024},  # max_statement_time, max_execution_time
    "missing": {1054, 1146},  # ER_BAD_FIELD_ERROR, ER_NO_SUCH_TABLE
    "nowhere": {1049},  # ER_BAD_DB_ERROR
    "too_deep": {3008, 1296_193},  # ER_FK_DEPTH_EXCEEDED; 193 of the storage engine
}
SQLITE_NAMES: dict[str, Failure] = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign_key",
    "SQLITE_CONSTRAINT_TRIGGER": "foreign_key",
    "SQLITE_CONSTRAINT_NOTNULL": "not_null",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "SQLITE_MISMATCH": "data",
    "SQLITE_TOOBIG": "data",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_READONLY": "unopened",
    "SQLITE_CANTOPEN": "unopened",
    "SQLITE_IOERR": "unavailable",
    "SQLITE_FULL": "unavailable",
    "SQLITE_ERROR": "missing",
}


@pytest.mark.parametrize("name", POSTGRESQL_NAMES)
def test_an_error_of_postgresql_means_what_its_name_says(name: str) -> None:
    state = getattr(asyncpg.exceptions, name).sqlstate

    assert failure_of(from_postgres(state)) == POSTGRESQL_NAMES[name]


def test_the_numbers_of_mariadb_are_those_of_the_manual() -> None:
    found: dict[Failure, set[int]] = {}
    for number, failure in MYSQL_ERRORS.items():
        found.setdefault(failure, set()).add(number)

    assert found == MYSQL_NUMBERS


@pytest.mark.parametrize("name", SQLITE_NAMES)
def test_an_error_of_sqlite_means_what_its_name_says(name: str) -> None:
    assert failure_of(from_sqlite(getattr(sqlite3, name))) == SQLITE_NAMES[name]


@pytest.mark.defect("R33")
@pytest.mark.parametrize("state", SQLSTATES)
def test_every_sqlstate_has_its_meaning(state: str) -> None:
    full = state.ljust(5, "9")

    assert failure_of(from_postgres(full)) == SQLSTATES[state]
    assert type(translate(from_postgres(full))) is EXPECTED[SQLSTATES[state]]


@pytest.mark.parametrize("number", MYSQL_ERRORS)
def test_every_number_of_mariadb_has_its_meaning(number: int) -> None:
    assert failure_of(from_mysql(number)) == MYSQL_ERRORS[number]
    assert type(translate(from_mysql(number))) is EXPECTED[MYSQL_ERRORS[number]]


@pytest.mark.defect("R7")
@pytest.mark.parametrize("code", SQLITE_CODES)
def test_every_code_of_sqlite_has_its_meaning(code: int) -> None:
    assert failure_of(from_sqlite(code)) == SQLITE_CODES[code]
    assert type(translate(from_sqlite(code))) is EXPECTED[SQLITE_CODES[code]]


def test_an_extended_code_of_sqlite_stands_for_its_kind() -> None:
    busy_snapshot = 517  # SQLITE_BUSY | 2 << 8

    assert failure_of(from_sqlite(busy_snapshot)) == "locked"


@pytest.mark.parametrize(
    "error",
    [
        from_postgres("XX000"),
        from_postgres(""),
        from_mysql(9999),
        from_sqlite(9999),
        wrapped(AsyncmyError()),
        wrapped(AsyncmyError("text")),
        wrapped(SQLiteError()),
        wrapped(DriverError(1205, "a number of another server")),
        wrapped(DriverError(sqlstate="40001")),
    ],
    ids=["state", "none", "number", "code", "empty", "text", "bare", "other", "alien"],
)
def test_an_unknown_code_is_a_usage_error(error: DBAPIError) -> None:
    translated = translate(error)

    assert type(translated) is UsageError
    assert "create_all" in str(translated)
    assert not translated.public


def test_an_unknown_error_that_ended_the_connection_is_unavailable() -> None:
    assert failure_of(wrapped(DriverError("gone"), invalidated=True)) == "disconnected"


@pytest.mark.parametrize(
    ("invalidated", "failure"), [(True, "disconnected"), (False, "unconnected")]
)
def test_an_error_of_libpq_without_a_code_is_recognised_by_its_connection(
    invalidated: bool, failure: Failure
) -> None:
    class OperationalError(PsycopgError):
        """What PEP 249 calls the errors of a connection."""

    broken = wrapped(OperationalError("gone"), invalidated=invalidated)

    assert failure_of(broken) == failure
    assert type(translate(broken)) is UnavailableError


def test_a_statement_that_was_prepared_before_a_migration_is_run_again() -> None:
    kind: Any = AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError
    prepared = kind("cached plan")

    translated = translate(DBAPIError("SELECT", {}, prepared))

    assert translated.retryable


@pytest.mark.parametrize("failure", ["serialization", "deadlock"])
def test_a_lost_race_is_retryable_and_says_which(failure: str) -> None:
    state = next(state for state, found in SQLSTATES.items() if found == failure)

    translated = translate(from_postgres(state))

    assert isinstance(translated, ConflictError)
    assert (translated.kind, translated.retryable) == (failure, True)


def test_what_failed_before_its_savepoint_could_not_be_undone_is_reported() -> None:
    undoing = from_mysql(1305)
    undoing.statement = "ROLLBACK TO SAVEPOINT sa_savepoint_1"
    assert type(translate(undoing)) is UsageError

    undoing.__context__ = from_mysql(1213)
    translated = translate(undoing)

    assert isinstance(translated, ConflictError)
    assert translated.kind == "deadlock"


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (PoolTimeoutError(), UnavailableError, "in use"),
        (ConnectionRefusedError(SECRET), UnavailableError, "reached"),
        (TimeoutError(), UnavailableError, "reached"),
        (ORMStaleDataError(), StaleDataError, "changed by another"),
        (MissingGreenlet(), UsageError, "load"),
        (PendingRollbackError(), UnitOfWorkError, "roll the session back"),
        (InvalidRequestError("is attached"), UsageError, "is attached"),
        (
            StatementError(SECRET, "INSERT", {}, ValueError(SECRET)),
            ValidationError,
            "does not fit",
        ),
        (OverflowError(SECRET), ValidationError, "does not fit"),
        (
            UnicodeEncodeError("utf-8", SECRET, 0, 1, "bad"),
            ValidationError,
            "does not fit",
        ),
        (CompileError("no such"), UsageError, "CompileError: no such"),
    ],
    ids=lambda value: repr(type(value)) if isinstance(value, Exception) else "",
)
def test_what_is_raised_beside_drivers_is_translated(
    error: Exception, kind: type[AppException], text: str
) -> None:
    translated = translate(error)

    assert type(translated) is kind
    assert text in str(translated)
    assert SECRET not in str(translated)


# Where the database is


@pytest.mark.parametrize(
    ("error", "address", "said"),
    [
        (
            OSError(),
            "postgresql://u:{}@h:5/d",
            "the database at h:5/d can't be reached",
        ),
        (from_postgres("08001"), "postgresql://u:{}@h/d", "at h/d can't be reached"),
        (from_mysql(2003), "mysql://u:{}@h", "the database at h/ can't be reached"),
        (from_postgres("3D000"), "postgresql://u:{}@h/d", "at h/d does not exist"),
        (from_mysql(1049), "mysql://u:{}@h/d", "create the database first"),
        (from_postgres("28P01"), "postgresql://u:{}@h/d", "at h/d does not let"),
        (from_mysql(1044), "mysql://u:{}@h/d", "look at the user and the password"),
        (from_sqlite(14), "sqlite:///a/b.db", "the file a/b.db can't be opened: its"),
        (from_sqlite(5), "sqlite:///a/b.db", "busy_timeout_seconds"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_database_that_is_not_usable_is_named_without_its_password(
    error: Exception, address: str, said: str
) -> None:
    translated = translate(error, url=make_url(address.format(SECRET)))

    assert said in str(translated)
    assert SECRET not in str(translated)
    assert "create_all" not in str(translated)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("postgresql://bob:pa@ss-x@127.0.0.1:1/shop", "at 127.0.0.1:1/shop can't"),
        ("postgresql://bob:pa@ss-x/y@h/shop", "at h/shop can't"),
        ("postgresql://bob:pa%40ss-x@h/shop", "at h/shop can't"),
        ("postgresql://bob:pa:ss-x@h/shop", "at h/shop can't"),
        ("postgresql://bob:pass-x@[::1]:5/shop", "at [::1]:5/shop can't"),
        ("postgresql://bob:pass-x@h/shop?ssl=true", "at h/shop can't"),
        ("postgresql://h/shop", "at h/shop can't"),
        ("postgresql://bob@h/shop?password=pa@ss-x", "at h/shop can't"),
    ],
)
def test_nothing_of_a_password_is_shown_however_it_is_written(
    address: str, place: str
) -> None:
    translated = translate(ConnectionRefusedError(), url=make_url(address))

    assert place in str(translated)
    assert "ss-x" not in str(translated)


# Which rule, and which fields


@pytest.mark.defect("R8")
@pytest.mark.parametrize(
    ("state", "names", "constraint", "fields"),
    [
        (
            "23505",
            {"constraint_name": "things_mail_key"},
            "things_mail_key",
            ("email",),
        ),
        ("23505", {"constraint_name": "full_name"}, "full_name", ("first", "last")),
        ("23505", {"constraint_name": "by_slug"}, "by_slug", ("slug",)),
        ("23505", {"constraint_name": "things_pkey"}, "things_pkey", ("id",)),
        ("23505", {"constraint_name": "unknown"}, "unknown", ()),
        ("23503", {"constraint_name": "thing_parent"}, "thing_parent", ("parent",)),
        (
            "23503",
            {"constraint_name": "things_other_id_fkey"},
            "things_other_id_fkey",
            ("other",),
        ),
        ("23503", {"constraint_name": "of_another"}, "of_another", ()),
        ("23505", {}, None, ()),
    ],
)
def test_postgresql_names_constraints(
    state: str, names: dict[str, str], constraint: str | None, fields: tuple[str, ...]
) -> None:
    translated = translate(from_postgres(state, **names), THING)

    assert isinstance(translated, ConflictError)
    assert (translated.constraint, translated.fields) == (constraint, fields)
    assert SECRET not in str(translated) + str(translated.detail)


def test_an_engine_with_psycopg_names_constraints_too() -> None:
    names = DriverError(constraint_name="full_name", table_name="things")
    original = PsycopgError(f"Key (mail)=('{SECRET}')", sqlstate="23505", diag=names)

    translated = translate(wrapped(original), THING)

    assert isinstance(translated, AlreadyExistsError)
    assert (translated.constraint, translated.fields) == (
        "full_name",
        ("first", "last"),
    )


def test_postgresql_names_columns_of_nulls_and_rules_of_checks() -> None:
    null = translate(from_postgres("23502", column_name="mail"), THING)
    check = translate(from_postgres("23514", constraint_name="size_positive"), THING)

    assert isinstance(null, ValidationError)
    assert (null.fields, str(null)) == (("email",), "email must not be null")
    assert str(check) in {"size_positive is broken", "size is broken"}


@pytest.mark.parametrize(
    ("code", "text", "constraint", "fields"),
    [
        (2067, "UNIQUE constraint failed: things.mail", "things_mail_key", ("email",)),
        (
            2067,
            "UNIQUE constraint failed: things.first_name, things.last_name",
            "full_name",
            ("first", "last"),
        ),
        (1555, "UNIQUE constraint failed: things.thing_id", None, ("id",)),
        (2067, "UNIQUE constraint failed: index 'by_lower'", "by_lower", ()),
        (2067, "UNIQUE constraint failed: things.unknown", None, ("unknown",)),
        (787, "FOREIGN KEY constraint failed", None, ()),
        (2067, "", None, ()),
    ],
)
def test_sqlite_names_columns(
    code: int, text: str, constraint: str | None, fields: tuple[str, ...]
) -> None:
    translated = translate(from_sqlite(code, text), THING)

    assert isinstance(translated, ConflictError)
    assert (translated.constraint, translated.fields) == (constraint, fields)


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (1299, "NOT NULL constraint failed: things.mail", "email must not be null"),
        (275, "CHECK constraint failed: size_positive", "size_positive is broken"),
        (275, "CHECK constraint failed", "a rule is broken"),
        (1299, "", "a field must not be null"),
    ],
)
def test_sqlite_names_columns_of_nulls_and_rules_of_checks(
    code: int, text: str, said: str
) -> None:
    assert str(translate(from_sqlite(code, text), THING)) == said


@pytest.mark.parametrize(
    ("number", "text", "constraint", "fields"),
    [
        (1062, f"Duplicate entry '{SECRET}' for key 'mail'", "mail", ("email",)),
        (1062, f"Duplicate entry '{SECRET}' for key 'things.mail'", "mail", ("email",)),
        (1062, "Duplicate entry 'it's' for key 'by_slug'", "by_slug", ("slug",)),
        (
            1062,
            "Duplicate entry 'a' for key 'mail'' for key 'by_slug'",
            "by_slug",
            ("slug",),
        ),
        (
            1062,
            "Doppelter Eintrag 'x' für Schlüssel 'full_name'",
            "full_name",
            ("first", "last"),
        ),
        (1062, "Duplicate entry '1' for key 'PRIMARY'", "PRIMARY", ("id",)),
        (1062, "Duplicate entry", None, ()),
        (
            1452,
            "Cannot add or update a child row: a foreign key constraint fails (`d`."
            "`things`, CONSTRAINT `thing_parent` FOREIGN KEY (`parent_id`) REFERENCES "
            "`parents` (`id`))",
            "thing_parent",
            ("parent",),
        ),
        (
            1452,
            "... (`d`.`things`, CONSTRAINT `things_ibfk_2` FOREIGN KEY (`other_id`) "
            "REFERENCES `parents` (`id`))",
            "things_ibfk_2",
            ("other",),
        ),
        (
            1451,
            "... (`d`.`parts`, CONSTRAINT `parts_ibfk_1` FOREIGN KEY (`thing`) "
            "REFERENCES `things` (`thing_id`))",
            "parts_ibfk_1",
            (),
        ),
    ],
)
def test_mariadb_names_keys_and_references(
    number: int, text: str, constraint: str | None, fields: tuple[str, ...]
) -> None:
    translated = translate(from_mysql(number, text), THING)

    assert isinstance(translated, ConflictError)
    assert (translated.constraint, translated.fields) == (constraint, fields)
    assert SECRET not in str(translated)


@pytest.mark.parametrize(
    ("number", "text", "said"),
    [
        (1048, "Column 'mail' cannot be null", "email must not be null"),
        (1364, "Field 'mail' doesn't have a default value", "email must not be null"),
        (1048, "", "a field must not be null"),
        (4025, "CONSTRAINT `size_positive` failed for `d`.`things`", None),
        (3819, "Check constraint 'size_positive' is violated.", None),
    ],
)
def test_mariadb_names_columns_of_nulls_and_rules_of_checks(
    number: int, text: str, said: str | None
) -> None:
    translated = str(translate(from_mysql(number, text), THING))

    assert translated == (said or "size_positive is broken")


def test_without_an_entity_the_drivers_names_are_kept() -> None:
    error = translate(from_sqlite(2067, "UNIQUE constraint failed: things.mail"))

    assert isinstance(error, AlreadyExistsError)
    assert error.fields == ("mail",)


def test_a_class_mapped_to_a_query_has_no_constraints_to_look_in() -> None:
    class Recent(Base):
        __table__ = select(Thing.__table__).subquery("recent")
        __mapper_args__ = {"primary_key": [__table__.c.thing_id]}  # noqa: RUF012 - declarative's

    adapter = cast(MappedAdapter[Any], adapter_for(Recent))
    error = translate(from_postgres("23505", constraint_name="things_pkey"), adapter)

    assert isinstance(error, AlreadyExistsError)
    assert error.fields == ()
    assert adapter.key == ("thing_id",)
    assert inspect(Recent) is adapter.mapper


def test_where_a_database_is_does_not_reach_a_client() -> None:
    url = make_url("postgresql+asyncpg://app:hunter2@db.internal:5432/shop")

    error = translate(ConnectionRefusedError(), url=url)

    assert "db.internal:5432/shop" in str(error)
    assert error.to_problem()["detail"] == "Service unavailable"
    assert error.to_dict() == {"error": "Service unavailable", "detail": {}}


def test_a_parameter_that_nobody_gave_is_a_mistake_of_the_code() -> None:
    engine = create_engine("sqlite://")

    with engine.connect() as connection, pytest.raises(StatementError) as refused:
        connection.execute(text("SELECT :a"))

    failure = translate(refused.value)
    assert isinstance(failure, UsageError)
    assert "bind parameter 'a'" in str(failure)
