"""What fails while stored values are read, apart from what fails otherwise."""

import re
import traceback
from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.exc import DataError, SQLAlchemyError

from layerkit.core.errors import UsageError
from layerkit.repository import pages
from layerkit.repository.filters import aggregates as figures
from layerkit.sql import aggregates
from layerkit.sql.dialects import SERVERS
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.errors import driver_errors, translate

_READERS: Final = frozenset(
    {f"sqlalchemy.{name}" for name in ("engine.cursor", "engine.result", "engine.row")}
    | {"sqlalchemy.orm.loading"}
    | {module.__name__ for module in (figures, pages, aggregates)}
)
"""Where values are made of rows, or looked at that have just been read."""

_DRIVERS: Final = re.compile(
    "|".join(
        driver.reader
        for server in SERVERS
        for driver in server.drivers.values()
        if driver.reader is not None
    )
)
"""The functions of drivers that do so."""


def failure_in(
    error: Exception, adapter: MappedAdapter[Any], url: URL | None
) -> Exception:
    """Return what callers of a verb get to know of *error*; itself where it is theirs.

    Args:
        error: What the verb has raised, none of layerkit's errors.
        adapter: What is known of the class whose verb it is.
        url: Where the database is.
    """
    if _is_about_stored(error):
        return UsageError(
            f"a stored value of a {adapter.name}, or of what is read along, can't be "
            f"read by its mapping ({type(error).__name__}): was the class changed "
            "since, or has another program written it?"
        )
    if isinstance(error, driver_errors()):
        return translate(error, adapter, url)
    return error


def _is_about_stored(error: Exception) -> bool:
    """Tell whether *error* is about a value that the database holds.

    What is sent is refused by a code of the server's, or in an error of SQLAlchemy's;
    column types and drivers raise what they like where they read.
    """
    if isinstance(error, DataError):
        return error.orig is not None and _is_read(error.orig)
    return not isinstance(error, SQLAlchemyError | OSError) and _is_read(error)


def _is_read(error: BaseException) -> bool:
    """Tell whether a value was being read, and no listener of a user's own ran."""
    is_read = False
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module.startswith("sqlalchemy.event"):
            is_read = False
        function = f"{module}.{frame.f_code.co_name}"
        is_read |= module in _READERS or bool(_DRIVERS.fullmatch(function))
    return is_read
