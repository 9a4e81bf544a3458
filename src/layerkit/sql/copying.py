"""Detached copies of mapped objects, with what is loaded of their relationships."""

from typing import Any, TypeVar

from sqlalchemy.orm import InstanceState, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from layerkit.repository.entities.nesting import deep_copy
from layerkit.sql.loading import explain_unloaded

T = TypeVar("T")


def copied(entity: T) -> T:
    """Return a detached copy of *entity* and of all that it has loaded."""
    twin: T = _copied(entity, {})
    return twin


def _copied(entity: Any, made: dict[int, Any]) -> Any:
    if id(entity) in made:
        return made[id(entity)]
    state: InstanceState[Any] = instance_state(entity)
    mapper = state.mapper
    twin = made[id(entity)] = mapper.class_manager.new_instance()
    for attribute in mapper.column_attrs:
        if attribute.key in state.dict:
            value = deep_copy(state.dict[attribute.key])
            set_committed_value(twin, attribute.key, value)
    for relationship in mapper.relationships:
        if relationship.key in state.dict:
            value = state.dict[relationship.key]
            if relationship.uselist:
                related = value.values() if isinstance(value, dict) else value
                value = [_copied(item, made) for item in related]
            elif value is not None:
                value = _copied(value, made)
            set_committed_value(twin, relationship.key, value)
    if state.key is not None:
        # Without this, a column or relationship that is not there would read as None.
        make_transient_to_detached(twin)
        explain_unloaded([instance_state(twin)])
    return twin
