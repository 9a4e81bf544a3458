"""The records that a server and its drivers are written down in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sqlalchemy import URL, ColumnElement, Connection, Dialect, Engine, Numeric
from sqlalchemy.sql.dml import Insert
from sqlalchemy.types import TypeEngine

from layerkit.repository.entities.limits import Limits

Failure: TypeAlias = Literal[
    "unique", "foreign_key", "not_null", "check", "data", "serialization",
    "deadlock", "unavailable", "timeout", "aborted", "missing", "unreachable",
    "unconnected", "disconnected", "locked", "unopened", "nowhere", "denied",
    "too_deep",
]  # fmt: skip

Subject: TypeAlias = tuple[str | None, tuple[str, ...]]
"""A constraint and columns, as the server names them."""

Kind: TypeAlias = type[TypeEngine[Any]]
"""A class of column types."""


Options: TypeAlias = dict[str, Any]
"""Keywords of SQLAlchemy, for an engine or for an execution."""


@dataclass(frozen=True, slots=True)
class Form:
    """Say how a column is compared that stores one value in several forms.

    Attributes:
        read: The column as what is read from it.
        given: Makes of a value what ``read`` is compared with.
        bounds: Makes of a value the least and the greatest that the column itself may
            store for it; None where no index is worth it.
    """

    read: Any
    given: Callable[[Any], Any]
    bounds: Callable[[Any], tuple[Any, Any]] | None = None


@dataclass(frozen=True)
class Driver:
    """What is known of a driver.

    Attributes:
        errors: What the modules of its exceptions begin with.
        extra: The extra that installs it, for what an address gets by default.
        binds: True where a connection works only in the loop that has opened it.
        unwrapped: Its own classes that SQLAlchemy lets pass before 2.1.
        reader: A pattern of its functions that make values of what is stored, each
            written as ``module.function``.
        shows_singles: True where it reads the digits that a REAL is shown with.
        is_idle: Tells whether a connection of its own is known to be outside of a
            transaction, where it sends no COMMIT.
        connects: Returns an address in its own words and options for an engine; takes
            the address, and the seconds to wait for another's lock.
        sets_up: Prepares an engine of ours.
        tames: Prepares the dialect of an engine of anybody's, any number of times.
    """

    errors: tuple[str, ...]
    extra: str | None = None
    binds: bool = False
    unwrapped: tuple[str, ...] = ()
    reader: str | None = None
    shows_singles: bool = False
    is_idle: Callable[[Any], bool] = lambda _: False
    connects: Callable[[URL, float], tuple[URL, Options]] = lambda url, _: (url, {})
    sets_up: Callable[[Engine], None] = lambda _: None
    tames: Callable[[Dialect], None] = lambda _: None


@dataclass(frozen=True)
class Server:
    """What is known of a kind of server.

    Attributes:
        name: What SQLAlchemy calls its dialect, and addresses begin with.
        drivers: By the names that SQLAlchemy gives them; the first is the default.

        codes: What its error codes mean.
        codes_of: Returns the codes of a driver's error, the most exact one first.
        subject_of: Returns what a driver's error is about.
        table_of: Returns the table that it names, if it does.

        insert: Makes an INSERT that can go on where a row is there already.
        search: Returns the condition that a column contains, starts or ends with a
            text; takes the column, the place, the text, and whether case is folded.
        text_group: Returns what shows the text of a group, and what groups by it.
        text_extreme: Finds the least or greatest text by code points, by an aggregate.

        aliases: Other names that addresses begin with.
        is_file: True where connections are to a file, and no server cuts them.
        writing: Execution options of a unit that may write.
        single: Execution options of a read without a transaction; None where it needs
            one.
        begin: Begins a transaction where the driver does not (no autobegin).
        hides_failure: True where a COMMIT after a refused statement rolls back, and
            tells nobody.
        foreign_keys: Asks whether foreign keys are checked; None where they always are.
        skips_locked: True where a read can skip locked rows.
        reads_snapshots: True where a unit reads what there was at its first read, if
            it does not lock.
        counts_in_order: True where the keys of a batch are in the order of its rows.
        returns_upserts: True where an upsert can return what it has written, and says
            which unique rule it is about.
        has_partial_indexes: True where an index can leave out rows.

        has_zones: True where times are kept with their zone.
        has_enums: True where enums are types of the server's own, sorted by place.
        has_infinite_times: True where the driver reads infinities as the first and the
            last of all times.
        folds_texts: True where texts are compared by a collation that folds case.
        types_numbers: True where a number that is compared is made to fit the column.
        has_64_bits: True where integers have no more, sums and parameters included.
        decimals_are_floats: True where decimals are stored so.
        loses_great_sums: True where a sum beyond all floats is 0.
        widens_singles: True where floats of four bytes are added up in eight.
        kinds: Column types of ours that keep what SQLAlchemy's would lose.
        limits: Narrows what columns of decimals hold; None where it does not.
        form: Returns how a column of a plain type is compared; None for as it is.
        rounds: Returns what tells whether another value is read of a column than was
            stored; takes its plain type, and the driver. None for never.
        sum: Returns a sum as it is stored; takes the column, the sum, and the least and
            the greatest number that the column holds, or None.
    """

    name: str
    drivers: Mapping[str, Driver]

    codes: Mapping[str | int, Failure]
    codes_of: Callable[[Any], Sequence[str | int]]
    subject_of: Callable[[Any, Failure], Subject]

    insert: Callable[[Any], Insert]
    search: Callable[[Any, str, str, bool], ColumnElement[bool]]
    text_group: Callable[[Any], tuple[ColumnElement[Any], ColumnElement[Any]]]
    text_extreme: Callable[[Callable[[Any], Any], Any], ColumnElement[Any]]

    table_of: Callable[[Any], str | None] = lambda _: None
    aliases: tuple[str, ...] = ()
    is_file: bool = False
    writing: Options = field(default_factory=dict)
    single: Options | None = None
    begin: Callable[[Connection], None] = lambda _: None
    hides_failure: bool = False
    foreign_keys: str | None = None
    skips_locked: bool = True
    reads_snapshots: bool = False
    counts_in_order: bool = False
    returns_upserts: bool = True
    has_partial_indexes: bool = True

    has_zones: bool = False
    has_enums: bool = True
    has_infinite_times: bool = False
    folds_texts: bool = False
    types_numbers: bool = False
    has_64_bits: bool = False
    decimals_are_floats: bool = False
    loses_great_sums: bool = False
    widens_singles: bool = True
    kinds: Mapping[Kind, Kind] = field(default_factory=dict)
    limits: Callable[[Numeric[Any], Limits], Limits] | None = None
    form: Callable[[Any, TypeEngine[Any]], Form | None] = lambda *_: None
    rounds: Callable[[TypeEngine[Any], Driver], Callable[[Any], bool] | None] = (
        lambda *_: None
    )
    sum: Callable[
        [Any, ColumnElement[Any], tuple[Any, Any] | None], ColumnElement[Any]
    ] = lambda _, total, __: total

    @property
    def default(self) -> tuple[str, Driver]:
        """The driver of an address that names none."""
        return next(iter(self.drivers.items()))

    def failure_of(self, original: Any) -> Failure | None:
        """Tell what went wrong by the code; without one, by the class of PEP 249."""
        if codes := self.codes_of(original):
            return next(
                (self.codes[code] for code in codes if code in self.codes), None
            )
        kinds = {cls.__name__ for cls in type(original).__mro__}
        if "DataError" in kinds:
            return "data"  # psycopg looks at values before it sends them
        # libpq gives no code to a connection that it could not open, and drivers of
        # MySQL none to a server that speaks another language.
        return "unconnected" if kinds & {"OperationalError", "InternalError"} else None
