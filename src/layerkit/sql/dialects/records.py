"""The records that a server and its drivers are written down in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Failure: TypeAlias = Literal[
    "unique", "foreign_key", "not_null", "check", "data", "serialization",
    "deadlock", "unavailable", "timeout", "aborted", "missing", "unreachable",
    "unconnected", "disconnected", "locked", "unopened", "nowhere", "denied",
    "too_deep",
]  # fmt: skip

Subject: TypeAlias = tuple[str | None, tuple[str, ...]]
"""A constraint and columns, as the server names them."""


@dataclass(frozen=True)
class Driver:
    """What is known of a driver.

    Attributes:
        errors: What the modules of its exceptions begin with.
        is_async: True where it needs an event loop.
        extra: The extra that installs it, for what an address gets by itself.
        binds: True where a connection works only in the loop that has opened it.
    """

    errors: tuple[str, ...]
    is_async: bool
    extra: str | None = None
    binds: bool = False


@dataclass(frozen=True)
class Server:
    """What is known of a kind of server.

    Attributes:
        names: What addresses begin with.
        drivers: By the names that SQLAlchemy gives them; the first is the default.
        codes: What its error codes mean.
        codes_of: Returns the codes of a driver's error, the most exact one first.
        subject_of: Returns what a driver's error is about.
    """

    names: tuple[str, ...]
    drivers: Mapping[str, Driver]
    codes: Mapping[str | int, Failure]
    codes_of: Callable[[Any], Sequence[str | int]]
    subject_of: Callable[[Any, Failure], Subject]

    @property
    def default(self) -> tuple[str, Driver]:
        """The driver of an address that names none."""
        return next(iter(self.drivers.items()))

    def failure_of(self, original: Any) -> Failure | None:
        """Tell what went wrong by the code; without one, by the class of PEP 249."""
        codes = self.codes_of(original)
        known = next((self.codes[code] for code in codes if code in self.codes), None)
        if codes or known:
            return known
        kinds = {cls.__name__ for cls in type(original).__mro__}
        if "DataError" in kinds:
            return "data"  # psycopg looks at values before it sends them
        # libpq gives no code to a connection that it could not open, and drivers of
        # MySQL none to a server that speaks another language.
        return "unconnected" if kinds & {"OperationalError", "InternalError"} else None
