"""Times with a zone where the server has none: stored in UTC, and read as such.

SQLAlchemy drops the zone there as it is given: 12:00 in Paris is read as 12:00. The
engines that a Database makes keep the moment, as PostgreSQL does.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.dialects import mysql, sqlite
from typing_extensions import override

from layerkit.sql.dialects.mysql import MYSQL
from layerkit.sql.dialects.sqlite import SQLITE


class _InUTC(DateTime):
    """Send aware datetimes in UTC, and read them so, where the column has a zone."""

    @override
    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        send = super().bind_processor(dialect)
        if not self.timezone:
            return send

        def sent(value: Any) -> Any:
            if isinstance(value, datetime) and value.tzinfo is not None:
                value = value.astimezone(UTC).replace(tzinfo=None)
            return value if send is None else send(value)

        return sent

    @override
    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], Any] | None:
        read = super().result_processor(dialect, coltype)
        if not self.timezone:
            return read

        def in_utc(value: Any) -> Any:
            found = value if read is None else read(value)
            return found if found is None else found.replace(tzinfo=UTC)

        return in_utc


class _OnSQLite(_InUTC, sqlite.DATETIME):
    pass


class _OnMySQL(_InUTC, mysql.DATETIME):
    pass


_KINDS = {
    **dict.fromkeys(SQLITE.names, _OnSQLite),
    **dict.fromkeys(MYSQL.names, _OnMySQL),
}


def keep_zones(dialect: Dialect) -> None:
    """Let *dialect* keep the moment of a time with a zone."""
    if kind := _KINDS.get(dialect.name):
        dialect.colspecs = {**dialect.colspecs, DateTime: kind}


def keeps_zones(dialect: Dialect) -> bool:
    """Tell whether an aware datetime is read as one."""
    kind = _KINDS.get(dialect.name)
    return kind is None or dialect.colspecs.get(DateTime) is kind
