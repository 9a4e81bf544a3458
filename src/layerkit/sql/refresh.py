"""Reading again what a session holds, after statements that went past it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, RelationshipDirection
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.interfaces import ORMOption

from layerkit.sql.loading import brought_along, has_all
from layerkit.sql.snapshots import next_load
from layerkit.sql.state import ensure_state

_AT_ONCE: Final = 500

ByKey: TypeAlias = dict[tuple[Any, ...], Any]
"""Entities of one class by their keys."""


async def refresh_columns(session: AsyncSession, entities: Iterable[object]) -> None:
    """Read again the columns of stored *entities*, and forget those that are gone.

    Relationships stay as they are loaded. There is one statement a class for each 500.
    """
    by_mapper: dict[Mapper[Any], ByKey] = {}
    for entity in entities:
        state = instance_state(entity)
        by_mapper.setdefault(state.mapper, {})[state.identity or ()] = entity
    for mapper, by_key in by_mapper.items():
        names = [a.key for a in mapper.column_attrs if not a.deferred]
        await _refresh(session, mapper, names, by_key)
        forget(session, by_key.values())


async def fill_expired(session: AsyncSession) -> None:
    """Read what the database has made up and did not return with its statement.

    Else an object would not be readable once its unit of work has ended, or would show
    what a foreign key has changed by ON UPDATE as it was.
    """
    known = ensure_state(session.sync_session)
    if vars(known).get("moved"):
        entities = [state.obj() for state in known.moved if state.persistent]
        known.moved.clear()
        await refresh_columns(session, entities)
        for entity in entities:
            _empty_references(entity)
    if not vars(known).get("expired"):
        return
    groups: dict[tuple[Mapper[Any], tuple[str, ...]], ByKey] = {}
    for state in list(known.expired):
        expired = state.expired_attributes
        columns = state.mapper.column_attrs if expired else ()
        names = tuple(column.key for column in columns if column.key in expired)
        if names and state.persistent and not state.expired:
            alike = groups.setdefault((state.mapper, names), {})
            alike[state.identity or ()] = state.obj()
    known.expired.clear()
    for (mapper, names), by_key in groups.items():
        await _refresh(session, mapper, names, by_key)


def _empty_references(entity: object) -> None:
    """Let *entity* refer to nothing by foreign keys that are null now."""
    state = instance_state(entity)
    for relationship in state.mapper.relationships:
        is_one = relationship.direction is RelationshipDirection.MANYTOONE
        columns = [own for _, own in relationship.synchronize_pairs if is_one]
        names = [state.mapper.get_property_by_column(c).key for c in columns]
        if any(state.dict.get(name, "") is None for name in names):
            set_committed_value(entity, relationship.key, None)


async def load_along(
    session: AsyncSession, entities: Iterable[object], options: Sequence[ORMOption] = ()
) -> None:
    """Read what every read brings along, where new *entities* lack it.

    That is what their mappings load eagerly, and what *options* name.
    """
    brings: dict[Mapper[Any], list[list[str]]] = {}
    lacking: dict[Mapper[Any], ByKey] = {}
    for entity in entities:
        state = instance_state(entity)
        mapper = state.mapper
        if mapper not in brings:
            brings[mapper] = brought_along(mapper, options)
        if not has_all(entity, brings[mapper]):
            lacking.setdefault(mapper, {})[state.identity or ()] = entity
    for mapper, by_key in lacking.items():
        reading = select(mapper.class_).options(*options)
        for keys in _parts(list(by_key)):
            query = reading.where(_among(mapper, keys))
            (await session.scalars(query)).unique().all()


def _parts(keys: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield *keys*, so many at once."""
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _among(mapper: Mapper[Any], keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Return the condition that a row has one of *keys*."""
    columns = mapper.primary_key
    pairs = (zip(columns, key, strict=True) for key in keys)
    return or_(*(and_(*(column == value for column, value in one)) for one in pairs))


async def _refresh(
    session: AsyncSession, mapper: Mapper[Any], names: Sequence[str], by_key: ByKey
) -> None:
    """Read *names* of the entities in *by_key*, and take out what is found."""
    width, number = len(mapper.primary_key), next_load()
    columns = [getattr(mapper.class_, name) for name in names]
    reading = select(*mapper.primary_key, *columns)
    for keys in _parts(list(by_key)):
        is_strange = False
        for row in await session.execute(reading.where(_among(mapper, keys))):
            entity = by_key.pop(tuple(row[:width]), None)
            is_strange = is_strange or entity is None
            if entity is not None:
                _take_in(entity, names, row[width:], number)
        for key in keys if is_strange else ():  # read otherwise than it was given
            if key in by_key:
                found = await session.execute(reading.where(_among(mapper, [key])))
                for row in found:
                    _take_in(by_key.pop(key), names, row[width:], number)


def _take_in(
    entity: object, names: Sequence[str], values: Sequence[Any], number: int
) -> None:
    for name, value in zip(names, values, strict=True):
        set_committed_value(entity, name, value)
    state = instance_state(entity)
    state.runid = number
    # Types that track changes inside a value, MutableDict say, take it in here.
    state.manager.dispatch.refresh(state, None, names)


def forget(session: AsyncSession, entities: Iterable[object]) -> None:
    """Take out of *session* what a statement has deleted, until a rollback."""
    states = [instance_state(entity) for entity in entities]
    session.sync_session._remove_newly_deleted(states)  # noqa: SLF001 - what SQLAlchemy's own bulk deletes call; it has no public name
