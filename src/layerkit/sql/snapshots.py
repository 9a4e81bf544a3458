"""What the objects of a session hold, kept over a rollback, which expires it."""

from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from layerkit.sql.state import Loaded


def loaded_values(session: Session) -> Loaded:
    """Return every object of *session* with its loaded column values."""
    return [(entity, _columns_of(entity)) for entity in session.identity_map.values()]


def _columns_of(entity: Any) -> dict[str, Any]:
    state = instance_state(entity)
    columns = state.mapper.column_attrs
    return {name: value for name, value in state.dict.items() if name in columns}


def restore(kept: Loaded) -> None:
    """Set the values of objects whose attributes have been expired since."""
    for entity, values in kept:
        held = instance_state(entity).dict
        for name, value in values.items():
            if name not in held:
                set_committed_value(entity, name, value)
