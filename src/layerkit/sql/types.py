"""Column types: moments in UTC, the same on every dialect."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.types import TypeDecorator, TypeEngine
from typing_extensions import override

from layerkit.sql.dialects import known_server


def python_type(kind: TypeEngine[Any]) -> type | None:
    """Return the class of a column type's values; None where the type does not say."""
    try:
        held = kind.python_type
    except NotImplementedError:  # before SQLAlchemy 2.1, and in types of a user's own
        return None
    return None if held is object else held


class UTCDateTime(TypeDecorator[datetime]):
    """Store aware datetimes to the microsecond, and return them in UTC.

    SQLite and MySQL have no type with a zone: there, the moment is stored in UTC.

    Raises:
        ValueError: A naive datetime, which could be anybody's local time; a repository
            reports it as ValidationError.
    """

    impl = DateTime(timezone=True).with_variant(DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    @override
    def coerce_compared_value(self, op: Any, value: object) -> TypeEngine[Any]:
        # `moment + timedelta(days=1)`: what is added is no moment itself.
        if value is None or isinstance(value, datetime):
            return self
        return self.impl_instance.coerce_compared_value(op, value)

    @override
    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime: give it a time zone, such as UTC")
        moment = value.astimezone(UTC)
        server = known_server(dialect.name)
        keeps_zone = server is not None and server.has_zones
        return moment if keeps_zone else moment.replace(tzinfo=None)

    @override
    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)
