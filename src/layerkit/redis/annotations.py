"""The classes that the annotations of an entity name."""

import dataclasses
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final, NewType, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel
from typing_extensions import TypeAliasType, is_typeddict

from layerkit.core.errors import UsageError
from layerkit.repository import EntityAdapter

_OWN_FORM: Final = frozenset(
    {NoneType, str, bool, int, float, bytes, bytearray, object}
    | {list, tuple, dict, set, frozenset}
    | {datetime, date, time, timedelta, Decimal, UUID}
)
"""Classes that need no name in a document."""


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
        kind = get_origin(hint) or hint
        if not isinstance(kind, type) or kind in _OWN_FORM:
            continue
        if found.setdefault(kind.__qualname__, kind) is not kind:
            raise UsageError(
                f"{adapter.name} holds two classes named {kind.__qualname__}, which "
                "its documents could not tell apart"
            )
    return found


def _parts(hint: Any) -> list[Any]:
    """Return the annotations that *hint*, an annotation or a class, is made of."""
    if isinstance(hint, TypeAliasType):
        return [hint.__value__]
    if isinstance(hint, NewType):
        return [hint.__supertype__]
    if isinstance(hint, TypeVar):
        return [hint.__bound__]
    parts = [type(p) if isinstance(p, Enum) else p for p in get_args(hint)]
    kind = get_origin(hint) or hint
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        parts += [field.annotation for field in kind.model_fields.values()]
    elif dataclasses.is_dataclass(kind) or is_typeddict(kind):
        parts += get_type_hints(kind).values()
    return parts
