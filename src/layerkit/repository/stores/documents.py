"""Rows as JSON documents, and back with every value as it was.

What JSON has is written as it is, everything else as an object of one member, which
names the type: ``{"Decimal": "1.10"}``. Classes are named, never imported by name: only
those in the entity's own annotations come back, so that no document can make others.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic import BaseModel, PydanticSchemaGenerationError, TypeAdapter
from typing_extensions import is_typeddict

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository.entities.adapter import Adapter
from layerkit.repository.entities.objects import class_defaults, loaded
from layerkit.repository.filters.values import decode_value, encode_value
from layerkit.repository.stores.tables import Row

_text: Final = json.JSONEncoder(separators=(",", ":")).encode
_AS_IT_IS: Final = frozenset({str, int, bool, NoneType})
_GROUPS: Final = {kind.__name__: kind for kind in (tuple, set, frozenset)}
_BASES: Final = (list, dict, set)
"""What values of their subclasses, such as MutableList, are stored as."""
_UNREADABLE: Final = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError),
)
"""What reading a document of another making may raise."""

_OWN_FORM: Final = frozenset({"builtins", "datetime", "decimal", "uuid"})
"""Modules of classes that need no name in a document."""

_STANDS_FOR: Final = ("__value__", "__supertype__", "__bound__")
"""What a type alias, a NewType and a TypeVar call what they stand for."""


class Documents:
    """Write and read the documents of one entity class.

    Args:
        adapter: What is known of the class.

    Raises:
        UsageError: Two classes in its annotations have one name.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._classes = classes_of(adapter)

    def write(self, row: Row) -> bytes:
        """Return *row* as a document of ASCII.

        Raises:
            ValidationError: A value has no form in JSON that it could be read from; it
                names the field.
        """
        members = []
        for name, value in row.items():
            try:
                members.append(f"{_text(name)}:{_text(self._encoded(value))}")
            except (TypeError, ValueError, RecursionError) as error:
                raise ValidationError(
                    f"{name} of a {self._adapter.name} can't be stored: {error}",
                    fields=(name,),
                ) from error
        return ("{" + ",".join(members) + "}").encode("ascii")

    def read(self, document: bytes) -> Row:
        """Return the row that *document* holds; fields that it lacks get a default.

        Raises:
            UsageError: It is not of this class, or lacks a field without a default.
        """
        fields = self._adapter.fields
        try:
            held = json.loads(document)
            row = {n: self._decoded(v) for n, v in held.items() if n in fields}
        except _UNREADABLE as error:
            raise UsageError(
                f"a document of {self._adapter.name} can't be read; was the class "
                f"changed since it was written? {error!r}"
            ) from error
        return row if len(row) == len(fields) else self._completed(row)

    def _completed(self, row: Row) -> Row:
        """Return *row* with what the class has got since it was written.

        A stamp that only a backend sets stays null: it is not known.

        Raises:
            UsageError: It has no default for that.
        """
        adapter = self._adapter
        of_mapping = adapter.defaults(row).items()
        made = {n: v for n, v in of_mapping if n not in adapter.stamps}
        made |= class_defaults(adapter.entity, without=row) | row
        whole = {name: made.get(name) for name in adapter.fields}
        fields = adapter.fields.items()
        if lacking := [n for n, f in fields if f.required and whole[n] is None]:
            raise UsageError(
                f"a document of {adapter.name} has no {', '.join(lacking)}: was the "
                "class changed since it was written? Give the field a default"
            )
        return whole

    def _encoded(self, value: Any) -> Any:
        """Return *value* in the types of JSON.

        Raises:
            TypeError: It is of a class that no annotation names.
            ValueError: Its class has no form in JSON.
        """
        kind = type(value)
        if kind in _AS_IT_IS or (kind is float and math.isfinite(value)):
            return value
        if kind is list:
            return [self._encoded(item) for item in value]
        if kind is dict:
            return self._mapping(value)
        if kind in _GROUPS.values():
            return {kind.__name__: [self._encoded(item) for item in value]}
        if kind in self._classes.values():
            return self._object(value, kind)
        if isinstance(value, Enum):
            raise TypeError(_unnamed(value))  # no name, and more than its value
        if isinstance(value, _BASES):
            return self._encoded(next(b for b in _BASES if isinstance(value, b))(value))
        try:
            return encode_value(bytes(value) if isinstance(value, bytearray) else value)
        except UsageError as error:
            raise TypeError(_unnamed(value)) from error

    def _mapping(self, value: dict[Any, Any]) -> Any:
        if all(type(name) is str for name in value):
            return {"dict": self._members(value)}
        pairs = value.items()
        return {"map": [[self._encoded(k), self._encoded(v)] for k, v in pairs]}

    def _members(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._encoded(item) for name, item in value.items()}

    def _object(self, value: Any, kind: Any) -> Any:
        """Return the form of an object of one of the entity's classes."""
        name = kind.__qualname__
        if isinstance(value, Enum):
            return {"enum": [name, self._encoded(value.value)]}
        if isinstance(value, str | int | float):
            return {"made": [name, encode_value(value)]}
        if isinstance(value, BaseModel):
            held = {n: value.__dict__[n] for n in kind.model_fields}
            held |= value.__pydantic_extra__ or {}
            return {"object": [name, self._members(held)]}
        if dataclasses.is_dataclass(kind):
            held = {f.name: getattr(value, f.name) for f in dataclasses.fields(kind)}
            return {"object": [name, self._members(held)]}
        return {"other": [name, _as_json(value, kind)]}

    def _decoded(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decoded(item) for item in value]
        if not isinstance(value, dict):
            return value
        [(tag, body)] = value.items()
        if tag == "dict":
            return {name: self._decoded(item) for name, item in body.items()}
        if tag == "map":
            return {self._decoded(k): self._decoded(v) for k, v in body}
        if tag in _GROUPS:
            return _GROUPS[tag](map(self._decoded, body))
        if tag in {"enum", "made", "object", "other"}:
            return self._made(tag, self._classes[body[0]], body[1])
        return decode_value(value)

    def _made(self, tag: str, kind: type, body: Any) -> Any:
        if tag == "object":
            held = {name: self._decoded(item) for name, item in body.items()}
            return loaded(kind, class_defaults(kind, without=held) | held)
        if tag == "other":
            return TypeAdapter(kind).validate_python(body)
        return kind(self._decoded(body))


def _unnamed(value: Any) -> str:
    return (
        f"a {type(value).__qualname__} is no JSON, and no annotation of the class "
        "names it to read it back"
    )


def _as_json(value: Any, kind: Any) -> Any:
    """Return what pydantic makes of *value*, where it can read the same from it.

    Raises:
        ValueError: It can't.
    """
    try:
        known: TypeAdapter[Any] = TypeAdapter(kind)
        made = known.dump_python(value, mode="json")
        is_same = known.validate_python(json.loads(json.dumps(made))) == value
    except (PydanticSchemaGenerationError, ValueError, TypeError) as error:
        raise ValueError(f"a {kind.__qualname__} has no form in JSON") from error
    if not is_same:
        raise ValueError(f"the JSON of a {kind.__qualname__} loses a part of it")
    return made


def classes_of(adapter: Adapter) -> dict[str, type]:
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
