"""Servers and drivers as data: a new one is a record here, and its tests."""

from typing import Final

from sqlalchemy import Dialect

from layerkit.core.errors import UsageError
from layerkit.sql.dialects.mysql import MYSQL
from layerkit.sql.dialects.postgresql import POSTGRESQL
from layerkit.sql.dialects.records import Driver, Failure, Server
from layerkit.sql.dialects.sqlite import SQLITE

__all__ = [
    "SERVERS",
    "Driver",
    "Failure",
    "Server",
    "binds_to_loop",
    "check_driver",
    "server_of",
]

SERVERS: Final = (SQLITE, POSTGRESQL, MYSQL)
"""Every server that is supported."""


def binds_to_loop(dialect: Dialect) -> bool:
    """Tell whether a connection works only in the event loop that has opened it."""
    driver = _driver_of(dialect)
    return driver is not None and driver.binds


def _driver_of(dialect: Dialect | type[Dialect]) -> Driver | None:
    server = next((s for s in SERVERS if dialect.name in s.names), None)
    return server.drivers.get(dialect.driver) if server else None


def check_driver(dialect: Dialect | type[Dialect]) -> None:
    """Refuse a driver whose errors nobody has looked at: they would be guessed at.

    Raises:
        UsageError: It is none of those that are supported, which the text lists.
    """
    if _driver_of(dialect) is None:
        known = "; ".join(f"{s.names[0]}: {', '.join(s.drivers)}" for s in SERVERS)
        raise UsageError(
            f"{dialect.name}+{dialect.driver} is not supported. Take one of these "
            f"drivers ({known})"
        )


def server_of(original: object) -> Server | None:
    """Return the server whose driver has raised *original*, or None if none has."""
    modules = tuple(f"{cls.__module__}." for cls in type(original).__mro__)
    for server in SERVERS:
        for driver in server.drivers.values():
            if any(module.startswith(driver.errors) for module in modules):
                return server
    return None
