"""The registry of entity adapters: which one knows a class.

Pydantic models and dataclasses are handled in this package, mapped classes by
``layerkit.sql``, which is loaded by the first class that needs it.
"""

import copy
from collections.abc import Callable
from importlib import import_module
from typing import TypeAlias

from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError
from layerkit.repository.entities.adapter import Adapter, EntityAdapter
from layerkit.repository.filters.specification import Field

T = TypeVar("T")

AdapterMaker: TypeAlias = Callable[[type], Adapter | None]

_adapter_makers: list[AdapterMaker] = []

_ADAPTER = "__layerkit_adapter__"
"""Where a class keeps its adapter: they refer to each other, and go together."""


def register_adapter(make: AdapterMaker) -> None:
    """Add a maker of adapters; it returns None for a class that it does not know."""
    _adapter_makers.append(make)


def adapter_for(entity: type[T]) -> EntityAdapter[T]:
    """Return the adapter of an entity class: mapped, pydantic or dataclass.

    Raises:
        UsageError: The class is not one of these, or has no key.
    """
    given: object = entity
    if not isinstance(given, type):
        raise UsageError(f"an entity class is needed, got a {type(given).__name__}")
    found: EntityAdapter[T] | None = vars(entity).get(_ADAPTER)
    if found is None:
        if hasattr(entity, "__mapper__"):
            load_sql()
        found = next((a for make in _adapter_makers if (a := make(entity))), None)
        if found is None:
            raise UsageError(
                f"{entity!r} is no entity: use a mapped class, a pydantic model "
                "or a dataclass"
            )
        setattr(entity, _ADAPTER, found)
    return found


def copy_of(entity: T) -> T:
    """Return a detached copy of *entity*; changing it changes nothing else.

    Relationships that are loaded are copied with it. What is no entity of a known kind
    is copied by ``copy.deepcopy``.
    """
    try:
        adapter = adapter_for(type(entity))
    except UsageError:
        return copy.deepcopy(entity)
    return adapter.copy(entity)


class Fields:
    """Have the fields of an entity class as attributes; made by ``fields(User)``."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Field:
        """Return the field *name*.

        Raises:
            UsageError: The entity has no such field.
            AttributeError: The name is one of Python's own.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        return Field(self._adapter.info(name).name)

    @override
    def __dir__(self) -> list[str]:
        return list(self._adapter.fields)


def fields(entity: type) -> Fields:
    """Return the fields of *entity* as attributes: ``fields(User).email == "..."``.

    A name that the class does not have is an error where it is written.

    Raises:
        UsageError: *entity* is no entity class.
    """
    return Fields(adapter_for(entity))


def load_sql() -> None:
    """Load the package of mapped classes and sessions; it registers its makers."""
    import_module("layerkit.sql")
