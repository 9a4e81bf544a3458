"""Which relationships are loaded, and what reading any other one does."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, PassiveFlag
from sqlalchemy.orm.attributes import instance_state, set_committed_value
from sqlalchemy.orm.interfaces import ORMOption
from sqlalchemy.util.concurrency import in_greenlet

from layerkit.core.errors import UsageError

Loader: TypeAlias = Callable[[InstanceState[Any], PassiveFlag], Any]

_FORBIDDEN: Final = re.compile(r"'(\S+\.(\w+))' is not available due to ")
"""What SQLAlchemy says where ``raiseload`` forbids to load an attribute."""

_LAZY: Final = frozenset(
    {"select", True, "raise", "raise_on_sql", "noload", None, "dynamic", "write_only"}
)
"""What ``relationship(lazy=...)`` says where no read brings it along."""


class Unloaded:
    """Say of an attribute that was not loaded what to do, once its session is gone.

    It takes the place of the attribute's loader on one object, and does what that does
    where the object is in a session again.

    Args:
        key: The name of the attribute.
        loader: What a loader option has given to the one object.
    """

    def __init__(self, key: str, loader: Loader | None = None) -> None:
        self.key = key
        self.loader = loader

    def __call__(self, state: InstanceState[Any], passive: PassiveFlag) -> Any:
        """Load the attribute of an object that is in a session.

        Raises:
            UsageError: It is in none.
        """
        sends = passive & PassiveFlag.SQL_OK and not passive & PassiveFlag.NO_RAISE
        if state.detached and sends:
            raise UsageError(
                f"{state.class_.__name__}.{self.key} was not loaded, and no session "
                f"holds the entity now: {_remedy(self.key, 'in a unit of work, after')}"
            )
        attribute: Any = state.manager[self.key].impl
        return (self.loader or attribute.callable_)(state, passive)


_late: WeakKeyDictionary[type, tuple[int, Sequence[str]]] = WeakKeyDictionary()


def _loaded_late(mapper: Mapper[Any]) -> Sequence[str]:
    """Return the attributes of a class that a read may leave out."""
    deferred = [c.key for c in mapper.column_attrs if c.deferred]
    return [*(r.key for r in mapper.relationships), *deferred]


def explain_unloaded(states: Iterable[InstanceState[Any]]) -> None:
    """Let objects without a session say what to do for what they have not loaded."""
    for state in states:
        number, late = _late.get(state.class_, (0, ()))
        if number != len(state.mapper.attrs):  # a backref may come later
            number, late = len(state.mapper.attrs), _loaded_late(state.mapper)
            _late[state.class_] = number, late
        given = state.__dict__.get("callables")
        if not (late or given):
            continue
        given = given or {}
        missing = {
            key: Unloaded(key, given.get(key))
            for key in {*late, *given}
            if key not in state.dict
            and not isinstance(given.get(key), Unloaded)
            and (key in given or state.manager[key].impl.callable_)
        }
        if missing:
            state.callables = {**given, **missing}


def forbidden(error: Exception) -> UsageError | None:
    """Return what to say of an attribute whose loading is forbidden, by ``raiseload``.

    Returns:
        None where *error* is another one.
    """
    found = _FORBIDDEN.match(str(error))
    return found and UsageError(
        f"{found[1]} was not loaded, and raiseload, of the mapping or of a loader "
        f"option, forbids it at the reading of the attribute: {_remedy(found[2])}"
    )


def _remedy(name: str, when: str = "after") -> str:
    """Return what to do for the attribute *name*, which was not loaded."""
    return (
        "name it in `load` of the repository or in the options of a statement, or read "
        f"it {when} `await session.refresh(entity, [{name!r}])`"
    )


def brought_along(
    mapper: Mapper[Any], load: Iterable[ORMOption] = ()
) -> list[list[str]]:
    """Return the attributes that a read of a class brings, as paths of names.

    Args:
        mapper: Of the class, of which the relationships count that it loads eagerly.
        load: Loader options that a read has.
    """
    paths = [[r.key] for r in mapper.relationships if r.lazy not in _LAZY]
    for option in load:
        for element in getattr(option, "context", ()):
            steps = element.path.path[1::2]  # every other one is a mapper
            paths.append([step.key for step in steps if hasattr(step, "key")])
    return paths


def has_all(entity: object, paths: Iterable[Sequence[str]]) -> bool:
    """Tell whether what *paths* lead to is loaded, on *entity* and what it leads to."""
    return all(_leads(entity, path) for path in paths)


def _leads(entity: object, path: Sequence[str]) -> bool:
    if not path or entity is None:
        return True
    state = instance_state(entity)
    if path[0] not in state.dict or len(path) == 1:
        return path[0] in state.dict
    related = state.get_history(path[0], PassiveFlag.PASSIVE_NO_INITIALIZE)
    return all(_leads(item, path[1:]) for item in related.non_deleted())


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


def refuse_hidden_load(state: ORMExecuteState) -> None:
    """Raise with the name of what an attribute access is about to load.

    An asynchronous driver fails at that with MissingGreenlet, which names nothing. A
    synchronous one may load, as ``awaitable_attrs`` and ``refresh`` may.

    Raises:
        UsageError: The attribute is read outside of an awaited call.
    """
    if (
        not in_greenlet()
        and state.session.get_bind(**state.bind_arguments).dialect.is_async
    ):
        what = _meant(state)
        raise UsageError(
            f"{what} was not loaded, or has expired, and reading an attribute can't "
            f"wait for the database: {_remedy(what.rpartition('.')[2])}, or by "
            "awaitable_attrs of AsyncAttrs"
        )


def _meant(state: ORMExecuteState) -> str:
    """Return the name of the attribute that is about to be loaded."""
    path, options = state.loader_strategy_path, state._orm_compile_options()  # noqa: SLF001 - the names of columns are nowhere public
    if path and not state.is_column_load:
        return str(path[-1])
    names = getattr(options, "_only_load_props", None) or ("an attribute",)
    owner = state.bind_mapper.class_.__name__ if state.bind_mapper else "an entity"
    return f"{owner}.{', '.join(sorted(names))}"
