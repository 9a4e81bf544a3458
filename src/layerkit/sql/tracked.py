"""What a caller sets on objects that a session tracks, checked as an update is."""

from typing import Any, Final, cast

from sqlalchemy import ClauseElement
from sqlalchemy.orm import InstanceState, QueryableAttribute, Session
from sqlalchemy.orm.attributes import flag_modified, instance_state

from layerkit.core.errors import UsageError
from layerkit.repository import adapter_for
from layerkit.repository.entities.adapter import check_confined
from layerkit.sql.entities import MappedAdapter

_CONFINED: Final = "layerkit.confined"
"""A key of an object's state: the fields that a scope has set on it."""


def confine(entity: object, fields: frozenset[str]) -> None:
    """Let no change of *fields* pass ``check_changes``."""
    held = instance_state(entity).info
    held[_CONFINED] = held.get(_CONFINED, frozenset()) | fields


def check_changes(session: Session, entity: object) -> None:
    """Refuse what was set on a tracked entity and no update would take.

    Raises:
        ValidationError: A value of the wrong type, a null where none may be, or the
            version that the mapping counts.
        UsageError: The key was changed.
    """
    state: InstanceState[Any] = instance_state(entity)
    adapter = cast(MappedAdapter[Any], adapter_for(type(entity)))
    adapter = adapter.on(lambda mapper: session.get_bind(mapper).dialect)
    counts = callable(state.mapper.version_id_generator)
    confined = state.info.get(_CONFINED, frozenset())
    changes, in_sql = {}, set()
    for name in adapter.fields.keys() & state.committed_state.keys():
        history = state.attrs[name].history
        value = history.added[0] if history.added else None
        is_own = name == adapter.version and not counts
        if isinstance(value, ClauseElement | QueryableAttribute):
            in_sql.add(name)
        elif history.has_changes() and not is_own:
            changes[name] = value
    if changed_key := [name for name in adapter.key if name in changes]:
        raise UsageError(
            f"the key of a {adapter.name} was changed: {', '.join(changed_key)}"
        )
    check_confined(adapter.name, changes, confined)
    for name, value in adapter.changes(changes).items():
        if value is not changes[name]:
            setattr(entity, name, value)
    set_already = {**changes, **dict.fromkeys(in_sql)}
    for name, value in adapter.touching(set_already).items():
        if name not in set_already:
            setattr(entity, name, value)
            flag_modified(entity, name)  # else one that it has already would not count
