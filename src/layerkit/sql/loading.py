"""Which relationships are loaded, and what reading any other one does."""

from collections.abc import Callable, Mapping, Set
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import (
    Load,
    Mapper,
    ORMExecuteState,
    Session,
    defer,
    immediateload,
    joinedload,
    raiseload,
    selectinload,
    subqueryload,
)
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.interfaces import ORMOption
from sqlalchemy.orm.strategy_options import _AbstractLoad
from sqlalchemy.util.concurrency import in_greenlet

from layerkit.core.errors import UsageError

WATCHED: Final = "layerkit.watched"
"""A key of ``session.info``: the session is one that units of work run on."""

LAZY: Final = "layerkit.lazy"
"""A key of ``session.info``: reading an attribute may load, for the driver blocks."""

_EAGER: Final[Mapping[object, Callable[..., _AbstractLoad]]] = {
    "selectin": selectinload,
    "joined": joinedload,
    False: joinedload,
    "subquery": subqueryload,
    "immediate": immediateload,
}
"""What ``relationship(lazy=...)`` may be, and the option that says the same."""


def loader_options(mapper: Mapper[Any]) -> list[ORMOption]:
    """Return options by which a relationship that was not loaded raises with its name.

    What the mapping loads eagerly is said again, since the wildcard would hide it. The
    options of a repository or statement go before all of these.
    """
    deferred: list[_AbstractLoad] = [
        defer(getattr(mapper.class_, column.key), raiseload=True)
        for column in mapper.column_attrs
        if column.deferred
    ]
    hidden = [raiseload("*")] if mapper.relationships else []
    own = [*_eager(mapper, frozenset({mapper})), *deferred]
    loads = [option for option in own if isinstance(option, Load)]
    for element in (element for load in loads for element in load.context):
        # Else another option for the same attribute is an error.
        element._reconcile_to_other = True  # noqa: SLF001 - SQLAlchemy's own do so; it has no public name
    return [*hidden, *own]


def _eager(mapper: Mapper[Any], above: frozenset[Mapper[Any]]) -> list[_AbstractLoad]:
    options = []
    for relationship in mapper.relationships:
        make = _EAGER.get(relationship.lazy)
        target = relationship.mapper
        if make is not None and target not in above:
            option = make(getattr(mapper.class_, relationship.key))
            options.append(option.options(*_eager(target, above | {target})))
    return options


def loaded_relations(mapper: Mapper[Any], entity: object) -> dict[str, Any]:
    """Return what is loaded of the relationships of *entity*, by name."""
    held = instance_state(entity).dict
    return {r.key: held[r.key] for r in mapper.relationships if r.key in held}


def keep_relations(
    mapper: Mapper[Any], entity: object, before: Mapping[str, Any], changed: Set[Any]
) -> Set[str]:
    """Leave on *entity* what was loaded before an update of it.

    Returns:
        Those that are loaded, and go by a column that was *changed*.
    """
    stale = {r.key for r in mapper.relationships if r.local_columns & changed}
    now = loaded_relations(mapper, entity)
    for name in before.keys() - now.keys() - stale:
        set_committed_value(entity, name, before[name])
    return stale & now.keys()


@event.listens_for(Session, "do_orm_execute")
def _refuse_hidden_load(state: ORMExecuteState) -> None:
    """Raise with the name of what an attribute access is about to load.

    Objects that no statement with ``loader_options`` has brought, new ones say, would
    load here, and an asynchronous driver fails at that with MissingGreenlet.

    Raises:
        UsageError: The attribute is read outside of an awaited call.
    """
    if not (state.is_relationship_load or state.is_column_load):
        return
    info = state.session.info
    if info.get(WATCHED) and not info[LAZY] and not in_greenlet():
        path = state.loader_strategy_path
        what = path[-1] if path else "an attribute that was deferred or has expired"
        raise UsageError(
            f"{what} was not loaded, and reading it can't wait for the database: name "
            "it in `load` of the repository, or in the options of a statement"
        )
