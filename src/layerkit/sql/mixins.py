"""Mixins for mapped classes: keys, stamps, versions and soft deletion.

Fields of the same names mean the same on pydantic models and dataclasses.

Columns have no annotation: SQLAlchemy takes ``Mapped`` for a field of a dataclass, and
refuses it in a mixin that is not one itself. So the mixins fit plain classes and
MappedAsDataclass alike, where they stay out of ``__init__``.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar, Final, cast
from uuid import UUID

from sqlalchemy import DDL, Connection, Index, Integer, Table, Uuid, event, text
from sqlalchemy.orm import MappedColumn, Mapper, mapped_column, object_session

from layerkit.core.errors import UsageError
from layerkit.core.types import uuid7
from layerkit.sql.dialects import SERVERS
from layerkit.sql.types import UTCDateTime

STAMP: Final = "layerkit.stamp"
"""A key of ``Column.info``: no update may write the column."""

DELETED: Final = "layerkit.deleted"
"""A key of ``Column.info``: the column says when a row was soft-deleted."""

LIVE: Final = "layerkit.live"
"""A key of ``Index.info``: soft-deleted rows don't count for the unique rule."""

_DELETED_AT: Final = "deleted_at"


def _now() -> datetime:
    return datetime.now(UTC)


class UUIDKeyMixin:
    """Give a class the key ``id``: a UUIDv7, made before anything is sent.

    Keys of one process rise, so that an index takes them at its end, and a batch is
    inserted in one statement.
    """

    id = cast(
        MappedColumn[UUID],
        mapped_column(Uuid, primary_key=True, insert_default=uuid7, sort_order=-1),
    )


class TimestampMixin:
    """Give a class ``created_at`` and ``updated_at``, aware and in UTC.

    Every write moves ``updated_at``, bulk verbs included; no caller sets either.
    """

    created_at = cast(
        MappedColumn[datetime],
        mapped_column(
            UTCDateTime, nullable=False, insert_default=_now, info={STAMP: True}
        ),
    )
    updated_at = cast(
        MappedColumn[datetime],
        mapped_column(
            UTCDateTime,
            nullable=False,
            insert_default=_now,
            onupdate=_now,
            info={STAMP: True},
        ),
    )


class VersionMixin:
    """Give a class ``version``, which starts at 1 and rises with every write.

    A class with ``__mapper_args__`` of its own takes this one's along::

        __mapper_args__ = {**VersionMixin.__mapper_args__, "eager_defaults": True}
    """

    version = cast(MappedColumn[int], mapped_column(Integer, nullable=False))
    __mapper_args__: ClassVar[Any] = {"version_id_col": version}


class SoftDeleteMixin:
    """Give a class ``deleted_at``: ``delete`` sets it and hides the row from then on.

    Unique columns keep their values taken, unless ``unique_live`` declares them.
    """

    deleted_at = cast(
        MappedColumn[datetime | None],
        mapped_column(UTCDateTime, nullable=True, info={STAMP: True, DELETED: True}),
    )


def unique_live(*columns: str, name: str | None = None) -> Index:
    """Return a unique rule that soft-deleted rows don't count for.

    It goes into ``__table_args__`` of a class with ``SoftDeleteMixin``::

        __table_args__ = (unique_live("email"),)

    SQLite and PostgreSQL get a partial unique index. MySQL and MariaDB have none:
    there, ``create_all`` adds a generated column, ``<name>_live``, to the index, and so
    must a migration.

    Args:
        columns: The names of one or several columns.
        name: The rule's name; ``uq_live_`` and the columns when not given.

    Raises:
        UsageError: At the definition of the class: it has no ``deleted_at``.
    """
    chosen = name or "_".join(("uq_live", *columns))
    alive = text(f"{_DELETED_AT} IS NULL")
    index = Index(
        chosen,
        *columns,
        unique=True,
        sqlite_where=alive,
        postgresql_where=alive,
        info={LIVE: True},
    )
    event.listen(index, "after_parent_attach", _add_generated)
    partial = tuple(server.name for server in SERVERS if server.has_partial_indexes)
    return index.ddl_if(dialect=partial)  # type: ignore[arg-type] # a tuple is taken, its manual says


def _add_generated(index: Index, table: Table) -> None:
    if _DELETED_AT not in table.c:
        raise UsageError(
            f"{table.name} has no column {_DELETED_AT}, which unique_live goes by: add "
            "SoftDeleteMixin to its class"
        )
    live = f"{index.name}_live"
    names = ", ".join(f"`{column}`" for column in (*index.columns.keys(), live))
    statement = DDL(  # type: ignore[no-untyped-call] # SQLAlchemy's
        f"ALTER TABLE %(fullname)s ADD COLUMN `{live}` INT GENERATED ALWAYS AS "
        f"(CASE WHEN `{_DELETED_AT}` IS NULL THEN 1 END) VIRTUAL, "
        f"ADD UNIQUE INDEX `{index.name}` ({names})"
    )
    for server in SERVERS:
        if not server.has_partial_indexes:
            added = statement.execute_if(dialect=server.name)
            event.listen(table, "after_create", added)


@event.listens_for(Mapper, "after_mapper_constructed")
def _touch_parents(mapper: Mapper[Any], entity: type) -> None:
    """Move ``updated_at`` where only the table of a subclass is written."""
    if mapper.inherits is not None and issubclass(entity, TimestampMixin):
        event.listen(mapper, "before_update", _touch)


def _touch(_mapper: object, _connection: Connection, entity: Any) -> None:
    session = object_session(entity)
    if session is not None and session.is_modified(entity):
        entity.updated_at = _now()
