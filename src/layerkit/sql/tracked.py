"""What a caller sets on objects that a session tracks, checked as an update is."""

from typing import Any, Final

from sqlalchemy import ClauseElement
from sqlalchemy.orm import InstanceState, QueryableAttribute
from sqlalchemy.orm.attributes import instance_state

from layerkit.core.errors import UsageError
from layerkit.repository import EntityAdapter
from layerkit.repository.scope import check_confined

_CONFINED: Final = "layerkit.confined"
"""A key of an object's state: the fields that a scope has set on it."""


def confine(entity: object, fields: frozenset[str]) -> None:
    """Let no change of *fields* pass ``check_changes``."""
    held = instance_state(entity).info
    held[_CONFINED] = held.get(_CONFINED, frozenset()) | fields


def check_changes(adapter: EntityAdapter[Any], entity: object) -> None:
    """Refuse what was set on a tracked entity and no update would take.

    Raises:
        ValidationError: A value of the wrong type, a null where none may be, or the
            version that the mapping counts.
        UsageError: The key was changed.
    """
    state: InstanceState[Any] = instance_state(entity)
    counts = callable(state.mapper.version_id_generator)
    confined = state.info.get(_CONFINED, frozenset())
    changes = {}
    for name in adapter.fields.keys() & state.committed_state.keys():
        history = state.attrs[name].history
        value = history.added[0] if history.added else None
        in_sql = isinstance(value, ClauseElement | QueryableAttribute)
        is_own = name == adapter.version and not counts
        if history.has_changes() and not in_sql and not is_own:
            changes[name] = value
    if changed_key := [name for name in adapter.key if name in changes]:
        raise UsageError(
            f"the key of a {adapter.name} was changed: {', '.join(changed_key)}"
        )
    check_confined(adapter.name, changes, confined)
    for name, value in adapter.changes(changes).items():
        if value is not changes[name]:
            setattr(entity, name, value)
