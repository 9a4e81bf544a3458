"""The classes that the annotations of an entity name."""

import dataclasses
from enum import Enum
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

from layerkit.core.errors import UsageError
from layerkit.repository.entities.adapter import EntityAdapter

_OWN_FORM: Final = frozenset({"builtins", "datetime", "decimal", "uuid"})
"""Modules of classes that need no name in a document."""

_STANDS_FOR: Final = ("__value__", "__supertype__", "__bound__")
"""What a type alias, a NewType and a TypeVar call what they stand for."""


def classes_of(adapter: EntityAdapter[Any]) -> dict[str, type]:
    """Return every class in the annotations of an entity, by its qualified name.

    Those in the fields of each of these classes are among them.

    Raises:
        UsageError: Two of them have one name.
    """
    waiting: list[Any] = list(adapter.annotations())
    found: dict[str, type] = {}
    known: list[Any] = []
    while waiting:
        hint = waiting.pop()
        if hint in known:  # classes and aliases may name themselves
            continue
        known.append(hint)
        waiting += _parts(hint)
        if not isinstance(hint, type) or hint.__module__ in _OWN_FORM:
            continue
        if found.setdefault(hint.__qualname__, hint) is not hint:
            raise UsageError(
                f"{adapter.name} holds two classes named {hint.__qualname__}, which "
                "its documents could not tell apart"
            )
    return found


def _parts(hint: Any) -> list[Any]:
    """Return the annotations that *hint*, an annotation or a class, is made of."""
    args = [type(p) if isinstance(p, Enum) else p for p in get_args(hint)]
    parts = [get_origin(hint), *args]
    parts += [getattr(hint, name, None) for name in _STANDS_FOR]
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        parts += [field.annotation for field in hint.model_fields.values()]
    elif dataclasses.is_dataclass(hint) or is_typeddict(hint):
        parts += get_type_hints(hint).values()
    return parts
