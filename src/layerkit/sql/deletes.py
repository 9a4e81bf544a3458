"""What deleting entities does to what refers to them: by the mapping, or the database.

A relationship with a delete cascade is the mapping's, and so is one whose foreign key
can be set to null and says no more. The rest is left to the foreign keys: what their
tables say by ON DELETE, and to refuse where they say nothing and can't be null.
"""

from collections import defaultdict
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import ColumnElement, ForeignKey, Table, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty, Session
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from layerkit.sql.dialects import server_of
from layerkit.sql.refresh import refresh_columns

SPREADING: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})
"""What ON DELETE says where a delete is not refused."""

UNREADABLE: Final = frozenset({"dynamic", "write_only"})
"""What ``relationship(lazy=...)`` says of collections that nobody sets as a whole."""

_ABSENT: Final = object()


def on_delete(key: ForeignKey) -> str:
    """Return what the table says by ON DELETE, in capitals; NO ACTION for nothing."""
    return (key.ondelete or "NO ACTION").upper()


def target_of(key: ForeignKey) -> str:
    """Return the full name of the table that *key* refers to."""
    return key.target_fullname.rpartition(".")[0]


def hands_over(relationship: RelationshipProperty[Any], *, enforced: bool) -> bool:
    """Tell whether what refers to a deleted entity is left to the foreign keys.

    Args:
        relationship: Of the class that is deleted.
        enforced: False where the database checks no foreign keys.
    """
    direction, cascades = relationship.direction, relationship.cascade.delete
    if direction is RelationshipDirection.MANYTOONE or cascades:
        return False
    columns: list[Any] = [column for _, column in relationship.synchronize_pairs]
    actions = {on_delete(key) for column in columns for key in column.foreign_keys}
    if direction is RelationshipDirection.MANYTOMANY:
        return enforced and actions == {"CASCADE"}
    can_be_null = all(column.nullable for column in columns)
    return enforced and ("NO ACTION" not in actions or not can_be_null)


def cascades(relationship: RelationshipProperty[Any]) -> bool:
    """Tell whether deleting an entity does something to what it is related to."""
    if relationship.viewonly:
        return False
    if relationship.direction is RelationshipDirection.MANYTOONE:
        return relationship.cascade.delete
    is_left = hands_over(relationship, enforced=True)
    return relationship.passive_deletes != "all" and not is_left


def relies_on_database(mapper: Mapper[Any]) -> bool:
    """Tell whether the mapping has another way where no foreign keys are checked."""
    return any(
        hands_over(r, enforced=True) and not hands_over(r, enforced=False)
        for r in mapper.relationships
    )


async def enforces_foreign_keys(session: AsyncSession, mapper: Mapper[Any]) -> bool:
    """Tell whether the database keeps its foreign keys; SQLite does when it is told."""
    asking = server_of(session.get_bind(mapper).dialect).foreign_keys
    if asking is None:
        return True
    return bool(await session.scalar(text(asking), bind_arguments={"mapper": mapper}))


@contextmanager
def left_to_database(session: Session, *, enforced: bool) -> Iterator[None]:
    """Let a flush inside write no null that is left to the foreign keys.

    The relationships of what is deleted hold what is deleted along with it and nothing
    else for that long. The flush goes by them for its order.
    """
    deleted = list(session.deleted)
    left = {
        mapper: [
            r
            for r in mapper.relationships
            if hands_over(r, enforced=enforced)
            and not (r.viewonly or r.lazy in UNREADABLE)
        ]
        for mapper in {instance_state(entity).mapper for entity in deleted}
    }
    along: dict[tuple[Any, ...], list[object]] = defaultdict(list)
    for relationship in {r for found in left.values() for r in found}:
        columns = [column for _, column in relationship.synchronize_pairs]
        for entity in deleted:
            is_many = relationship.direction is RelationshipDirection.ONETOMANY
            if is_many and isinstance(entity, relationship.mapper.class_):
                key = (relationship, *_values(entity, columns))
                along[key].append(entity)
    before: list[tuple[dict[str, Any], str, object]] = []
    for entity in deleted:
        state = instance_state(entity)
        for relationship in left[state.mapper]:
            columns = [column for column, _ in relationship.synchronize_pairs]
            found = along[(relationship, *_values(entity, columns))]
            value = found if relationship.uselist else next(iter(found), None)
            name = relationship.key
            before.append((state.dict, name, state.dict.get(name, _ABSENT)))
            set_committed_value(entity, name, value)
    try:
        yield
    finally:
        for loaded, name, held in before:
            is_expired = loaded.pop(name, _ABSENT) is _ABSENT
            if held is not _ABSENT and not is_expired:
                loaded[name] = held


def _values(entity: object, columns: list[ColumnElement[Any]]) -> list[object]:
    state = instance_state(entity)
    names = (state.mapper.get_property_by_column(column).key for column in columns)
    return [state.dict.get(name) for name in names]


def tables_of(mapper: Mapper[Any]) -> set[Table]:
    """Return the tables that a class is mapped to."""
    return {table for table in mapper.tables if isinstance(table, Table)}


async def follow_delete(session: AsyncSession, tables: Set[Table]) -> None:
    """Let what *session* holds follow what the database has cascaded.

    Args:
        session: What follows is read again there, or forgotten.
        tables: Those that something was deleted from.
    """
    held = session.sync_session.identity_map
    if not held:
        return
    reached = _reached(tables)
    mappers = {state.mapper for state in held.all_states()}
    spread = {mapper for mapper in mappers if not reached.isdisjoint(mapper.tables)}
    known = [e for e in held.values() if instance_state(e).mapper in spread]
    await refresh_columns(session, known)
    referring = {
        mapper: [
            relationship.key
            for relationship in mapper.relationships
            if relationship.direction is RelationshipDirection.MANYTOONE
        ]
        for mapper in mappers
    }
    for entity in held.values() if any(referring.values()) else ():
        state = instance_state(entity)
        for name in referring[state.mapper]:
            related = state.dict.get(name)
            if related is not None and instance_state(related).deleted:
                session.expire(entity, [name])


def _reached(tables: Set[Table]) -> set[Table]:
    """Return the tables that a delete cascades to, over any number of keys."""
    every = {t for table in tables for t in table.metadata.tables.values()}
    reached: set[Table] = set()
    names, size = {table.fullname for table in tables}, -1
    while len(reached) > size:
        size = len(reached)
        reached |= {t for t in every if any(_spreads(k, names) for k in t.foreign_keys)}
        names |= {table.fullname for table in reached}
    return reached


def _spreads(key: ForeignKey, names: Set[str]) -> bool:
    if target_of(key) not in names:
        return False
    # One that can't be null is left to the database, which may say more than the table.
    return on_delete(key) in SPREADING or not key.parent.nullable
