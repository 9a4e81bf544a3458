"""Which ways of writing pass the session by without breaking a rule of the mapping.

The others go object by object, through a flush; see ``objects``.
"""

from typing import Any, Literal, TypeAlias

from layerkit.sql.deletes import cascades
from layerkit.sql.entities import MappedAdapter

Way: TypeAlias = Literal["insert", "update", "upsert", "delete"]


def is_plain(adapter: MappedAdapter[Any], way: Way) -> bool:
    """Tell whether a statement past the session breaks no rule of the mapping."""
    mapper = adapter.mapper
    counts = adapter.version is None or adapter.counts_by_one
    is_flat = not mapper.inherits and mapper.polymorphic_on is None
    dispatch: Any = mapper.dispatch
    events = ("insert", "update") if way == "upsert" else (way,)
    names = [f"{when}_{what}" for when in ("before", "after") for what in events]
    if not (is_flat and counts) or any(getattr(dispatch, name) for name in names):
        return False
    if way == "update":
        eager = (r.lazy not in {"select", True, "raise"} for r in mapper.relationships)
        return not adapter.hears_sets and not any(eager)
    return way != "delete" or not any(map(cascades, mapper.relationships))


def builds_plainly(adapter: MappedAdapter[Any]) -> bool:
    """Tell whether making an entity from values does nothing but set them."""
    manager = adapter.mapper.class_manager
    dispatch: Any = manager.dispatch
    is_default = manager.original_init is adapter.mapper.registry.constructor
    is_heard = len(tuple(dispatch.init)) > 1  # SQLAlchemy's own is the first
    return is_default and not (adapter.hears_sets or is_heard)
