"""What the database changes by ON UPDATE in rows that a session holds."""

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, ForeignKey, MetaData, Table
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from layerkit.sql.deletes import SPREADING
from layerkit.sql.state import ensure_state

_Known = tuple[int, list[ForeignKey]]
_known: WeakKeyDictionary[MetaData, _Known] = WeakKeyDictionary()


def changed_columns(session: Session) -> set[ColumnElement[Any]]:
    """Return the columns of objects that a flush has changed, as long as it knows."""
    return {
        column
        for entity in session.dirty
        for state in [instance_state(entity)]
        for name in state.committed_state
        if name in state.mapper.column_attrs
        for column in state.mapper.column_attrs[name].columns
    }


def follow_update(session: Session, columns: Iterable[ColumnElement[Any]]) -> None:
    """Let *session* read again what goes by *columns*, which an UPDATE has changed.

    It does so at the end of the verb or flush at work; see ``fill_expired``.
    """
    keys = _reached(columns)
    moved = {key.parent for key in keys}
    unset = {key.parent for key in keys if (key.onupdate or "").upper() != "CASCADE"}
    for entity in session.identity_map.values() if keys else ():
        state = instance_state(entity)
        if moved & set(state.mapper.columns):
            ensure_state(session).moved.add(state)
        stale = [
            relationship.key
            for relationship in state.mapper.relationships
            if relationship.key in state.dict
            and any(unset & set(pair) for pair in relationship.synchronize_pairs)
        ]
        if stale:
            session.expire(entity, stale)


def _reached(columns: Iterable[ColumnElement[Any]]) -> set[ForeignKey]:
    """Return the foreign keys that change along, over any number of tables."""
    reached: set[ForeignKey] = set()
    changed = set(columns)
    while changed:
        metadata = {c.table.metadata for c in changed if isinstance(c.table, Table)}
        keys = [key for found in metadata for key in _updating(found)]
        new = {key for key in keys if key.column in changed} - reached
        reached |= new
        changed = {key.parent for key in new}
    return reached


def _updating(metadata: MetaData) -> list[ForeignKey]:
    """Return the foreign keys that do more than refuse; few tables have any."""
    count, found = _known.get(metadata, (0, []))
    if count != len(metadata.tables):
        every = (key for t in metadata.tables.values() for key in t.foreign_keys)
        found = [key for key in every if (key.onupdate or "").upper() in SPREADING]
        _known[metadata] = len(metadata.tables), found
    return found
