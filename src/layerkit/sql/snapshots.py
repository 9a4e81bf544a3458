"""What the objects of a session hold, and since when; a rollback expires it."""

from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.loading import _new_runid

from layerkit.sql.state import Loaded


class Mark:
    """Know which objects of *session* have been filled since a moment, which is now.

    SQLAlchemy numbers its loads, and each object has the number of the last one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._number = next_load()
        states = session.identity_map.all_states()
        self._whole = {state for state in states if not state.expired_attributes}

    def filled_since(self) -> list[object]:
        """Return the objects that may hold what was read or written since then."""
        return [
            entity
            for state in self._session.identity_map.all_states()
            if (
                state not in self._whole
                or (state.runid or 0) > self._number
                or state.expired_attributes
            )
            and (entity := state.obj()) is not None
        ]


def next_load() -> int:
    """Return a number greater than those of all loads before."""
    return _new_runid()


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
