"""Lists and dicts in columns, JSON say: a change inside of one is a change, too.

SQLAlchemy notices an attribute that is set, and not what happens inside of its value.
In a unit of work, copies of what it has loaded tell.
"""

from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import TypeDecorator
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import flag_modified, instance_state
from sqlalchemy.types import TypeEngine

from layerkit.repository.entities.nesting import deep_copy, is_equal
from layerkit.sql.state import Copy, Holder, ensure_state
from layerkit.sql.types import UTCDateTime, python_type

_COLLECTIONS: Final = (list, dict, set, bytearray)

_names: WeakKeyDictionary[Mapper[Any], tuple[str, ...]] = WeakKeyDictionary()


def holds_collections(mapper: Mapper[Any]) -> bool:
    """Tell whether objects of the class, or of one mapped with it, hold collections."""
    return any(map(_names_of, mapper.registry.mappers))


def remember_collections(session: Session) -> None:
    """Copy the collections that loaded objects hold, where that is yet to be done."""
    holders = ensure_state(session).holders
    for entity in session.identity_map.values():
        state = instance_state(entity)
        for name in _names_of(state.mapper):
            value = state.dict.get(name)
            if isinstance(value, _COLLECTIONS):
                copies = holders.setdefault(state, Holder(entity, {})).copies
                if name not in copies or copies[name].value is not value:
                    copies[name] = Copy(value, deep_copy(value))


def notice_collections(session: Session) -> None:
    """Let *session* know which collections were changed inside since."""
    for state, (entity, copies) in ensure_state(session).holders.items():
        for name, (value, before) in copies.items():
            if state.dict.get(name) is value and not is_equal(value, before):
                flag_modified(entity, name)
                copies[name] = Copy(value, deep_copy(value))


def _names_of(mapper: Mapper[Any]) -> tuple[str, ...]:
    """Return the attributes that may hold collections."""
    found = _names.get(mapper)
    if found is None:
        columns = ((a.key, a.columns[0].type) for a in mapper.column_attrs)
        found = tuple(name for name, kind in columns if _may_hold(kind))
        _names[mapper] = found
    return found


def _may_hold(kind: TypeEngine[Any]) -> bool:
    if isinstance(kind, TypeDecorator):
        return not isinstance(kind, UTCDateTime)
    held = python_type(kind)
    return held is None or issubclass(held, _COLLECTIONS)
