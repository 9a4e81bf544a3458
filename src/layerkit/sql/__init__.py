"""Entities in SQL databases, by SQLAlchemy: SQLite, PostgreSQL, MariaDB and MySQL."""

from layerkit.core.extras import require_extra

require_extra("sqlalchemy", package=__name__, extra="sql")

from layerkit.repository import register_adapter, register_home
from layerkit.sql import listeners  # noqa: F401 - which listen once they are imported
from layerkit.sql.database import Database, SessionHome, SQLHome, make_home
from layerkit.sql.entities import MappedAdapter, make_adapter
from layerkit.sql.mixins import (
    SoftDeleteMixin,
    TimestampMixin,
    UUIDKeyMixin,
    VersionMixin,
    unique_live,
)
from layerkit.sql.repository import SQLRepository
from layerkit.sql.statements import Statements, TooManyStatementsError, statements
from layerkit.sql.types import UTCDateTime

register_adapter(make_adapter)
register_home(make_home)

__all__ = [
    "Database",
    "MappedAdapter",
    "SQLHome",
    "SQLRepository",
    "SessionHome",
    "SoftDeleteMixin",
    "Statements",
    "TimestampMixin",
    "TooManyStatementsError",
    "UTCDateTime",
    "UUIDKeyMixin",
    "VersionMixin",
    "statements",
    "unique_live",
]
