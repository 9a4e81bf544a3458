"""Reading again what a session holds, after statements that went past it."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state, set_committed_value

_AT_ONCE: Final = 500


async def refresh_columns(session: AsyncSession, entities: Iterable[object]) -> None:
    """Read again the columns of stored *entities*, and forget those that are gone.

    Relationships stay as they are loaded. There is one statement a class for each 500.
    """
    by_mapper: dict[Mapper[Any], dict[tuple[Any, ...], Any]] = {}
    for entity in entities:
        state = instance_state(entity)
        by_mapper.setdefault(state.mapper, {})[state.identity or ()] = entity
    for mapper, by_key in by_mapper.items():
        keys = list(by_key)
        for start in range(0, len(keys), _AT_ONCE):
            await _refresh(session, mapper, by_key, keys[start : start + _AT_ONCE])
        forget(session, by_key.values())


async def _refresh(
    session: AsyncSession,
    mapper: Mapper[Any],
    by_key: dict[tuple[Any, ...], Any],
    keys: Sequence[tuple[Any, ...]],
) -> None:
    """Take out of *by_key* what is found."""
    names = [a.key for a in mapper.column_attrs if not a.deferred]
    columns = [getattr(mapper.class_, name) for name in names]
    meant = (
        and_(*(c == part for c, part in zip(mapper.primary_key, key, strict=True)))
        for key in keys
    )
    statement = select(*mapper.primary_key, *columns).where(or_(*meant))
    for row in await session.execute(statement):
        entity = by_key.pop(tuple(row[: len(mapper.primary_key)]), None)
        values = row[len(mapper.primary_key) :]
        for name, value in zip(names, values, strict=True):
            set_committed_value(entity, name, value)


def forget(session: AsyncSession, entities: Iterable[object]) -> None:
    """Take out of *session* what a statement has deleted, until a rollback."""
    states = [instance_state(entity) for entity in entities]
    session.sync_session._remove_newly_deleted(states)  # noqa: SLF001 - what SQLAlchemy's own bulk deletes call; it has no public name
