"""Servers and drivers as data: a new one is a record here, and its tests."""

from typing import Any, Final

from sqlalchemy import Dialect

from layerkit.core.errors import UsageError
from layerkit.sql.dialects.mysql import MARIADB, MYSQL
from layerkit.sql.dialects.postgresql import POSTGRESQL
from layerkit.sql.dialects.records import Driver, Failure, Form, Kind, Server
from layerkit.sql.dialects.sqlite import SQLITE

__all__ = [
    "SERVERS",
    "Driver",
    "Failure",
    "Form",
    "Server",
    "binds_to_loop",
    "check_driver",
    "driver_of",
    "keeps",
    "known_server",
    "server_behind",
    "server_of",
]

SERVERS: Final = (SQLITE, POSTGRESQL, MYSQL, MARIADB)
"""Every server that is supported."""

_BY_NAME: Final = {
    name: server for server in SERVERS for name in (server.name, *server.aliases)
}


def known_server(name: str) -> Server | None:
    """Return the server whose addresses begin with *name*, or None if none has."""
    return _BY_NAME.get(name)


def server_of(dialect: Dialect | type[Dialect]) -> Server:
    """Return what is known of the server that *dialect* speaks to.

    Raises:
        UsageError: Nothing is; the text lists those that are supported.
    """
    server = _BY_NAME.get(dialect.name)
    if server is None:
        raise UsageError(_refusal(dialect))
    return server


def driver_of(dialect: Dialect | type[Dialect]) -> Driver | None:
    """Return what is known of the driver of *dialect*, or None if nothing is."""
    server = _BY_NAME.get(dialect.name)
    return server.drivers.get(dialect.driver) if server else None


def check_driver(dialect: Dialect | type[Dialect]) -> Driver:
    """Refuse a driver whose errors nobody has looked at: they would be guessed at.

    Returns:
        What is known of it.

    Raises:
        UsageError: It is not one of those that are supported, which the text lists.
    """
    driver = driver_of(dialect)
    if driver is None:
        raise UsageError(_refusal(dialect))
    return driver


def binds_to_loop(dialect: Dialect) -> bool:
    """Tell whether a connection works only in the event loop that has opened it."""
    driver = driver_of(dialect)
    return driver is not None and driver.binds


def _refusal(dialect: Dialect | type[Dialect]) -> str:
    known = "; ".join(f"{s.name}: {', '.join(s.drivers)}" for s in SERVERS)
    return (
        f"{dialect.name}+{dialect.driver} is not supported. Take one of these "
        f"drivers ({known})"
    )


def server_behind(original: object) -> Server | None:
    """Return the server whose driver has raised *original*, or None if none has."""
    modules = tuple(f"{cls.__module__}." for cls in type(original).__mro__)
    for server in SERVERS:
        for driver in server.drivers.values():
            if any(module.startswith(driver.errors) for module in modules):
                return server
    return None


def keeps(kind: Kind, dialect: Dialect) -> bool:
    """Tell whether *dialect* reads values of *kind* as they were stored."""
    own = server_of(dialect).kinds.get(kind)
    spoken: Any = dialect.colspecs.get(kind)
    return own is None or spoken is own
