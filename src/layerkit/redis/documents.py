"""Rows as JSON documents, and back with every value as it was.

What JSON has is written as it is, everything else as an object of one member, which
names the type: ``{"decimal": "1.10"}``. Classes are named, never imported by name: only
those in the entity's own annotations come back, so that no document can make others.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, PydanticSchemaGenerationError, TypeAdapter

from layerkit.core.errors import UsageError, ValidationError
from layerkit.redis.annotations import classes_of
from layerkit.repository import EntityAdapter
from layerkit.repository.filters.values import decode_value, encode_value
from layerkit.repository.stores.tables import Row

_AS_IT_IS: Final = frozenset({str, int, bool, type(None)})
_CONTAINERS: Final[Mapping[str, type]] = MappingProxyType(
    {"tuple": tuple, "set": set, "frozenset": frozenset}
)
_BINARY: Final = (bytes, bytearray)
_PLAIN: Final = (str, int, float)
_BASES: Final = (*_PLAIN, list, dict, set)
"""What values of subclasses, such as SQLAlchemy's MutableList, are stored as."""
_UNREADABLE: Final = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError),
)
"""What reading a document of another making may raise."""


class Documents:
    """Write and read the documents of one entity class.

    Args:
        adapter: What is known of the class.
    """

    def __init__(self, adapter: EntityAdapter[Any]) -> None:
        self._adapter = adapter
        self._classes = classes_of(adapter)
        self._blank: Row = dict.fromkeys(adapter.fields)

    def write(self, row: Row) -> bytes:
        """Return *row* as a document of ASCII.

        Raises:
            ValidationError: A value has no form in JSON that it could be read from; it
                names the field.
        """
        texts = []
        for name, value in row.items():
            try:
                text = json.dumps(self._encoded(value), separators=(",", ":"))
            except (TypeError, ValueError, RecursionError) as error:
                raise ValidationError(
                    f"{name} of a {self._adapter.name} can't be stored: {error}",
                    fields=(name,),
                ) from error
            texts.append(f"{json.dumps(name)}:{text}")
        return ("{" + ",".join(texts) + "}").encode("ascii")

    def read(self, document: bytes) -> Row:
        """Return the row that *document* holds; fields that it lacks get a default.

        Raises:
            UsageError: It is none of this class, or lacks a field without a default.
        """
        try:
            held = json.loads(document)
            row = {n: self._decoded(v) for n, v in held.items() if n in self._blank}
        except _UNREADABLE as error:
            raise UsageError(
                f"a document of {self._adapter.name} can't be read; was the class "
                f"changed since it was written? {error!r}"
            ) from error
        if len(row) < len(self._blank):
            self._complete(row)
        return row

    def _complete(self, row: Row) -> None:
        """Fill in what the class has got since *row* was written.

        A stamp that only a backend sets stays null: it is not known.

        Raises:
            UsageError: It has no default for that.
        """
        adapter = self._adapter
        of_mapping = adapter.defaults(row).items()
        made = {n: v for n, v in of_mapping if n not in adapter.stamps}
        row |= self._blank | made | _defaults(adapter.entity, row) | row
        fields = adapter.fields.items()
        if lacking := [n for n, f in fields if f.required and row[n] is None]:
            raise UsageError(
                f"a document of {adapter.name} has no {', '.join(lacking)}: was the "
                "class changed since it was written? Give the field a default"
            )

    def _encoded(self, value: Any) -> Any:
        kind = type(value)
        if kind in _AS_IT_IS:
            return value
        if kind is float:
            return value if math.isfinite(value) else encode_value(value)
        if kind is list:
            return [self._encoded(item) for item in value]
        if kind is dict:
            return self._mapping(value)
        for name, container in _CONTAINERS.items():
            if kind is container:
                return {name: [self._encoded(item) for item in value]}
        if kind.__qualname__ in self._classes:
            return self._object(value, kind)
        return self._scalar(value, kind)

    def _mapping(self, value: dict[Any, Any]) -> Any:
        pairs = value.items()
        if all(type(name) is str for name in value):
            return {"dict": {name: self._encoded(item) for name, item in pairs}}
        return {"map": [[self._encoded(k), self._encoded(v)] for k, v in pairs]}

    def _scalar(self, value: Any, kind: type) -> Any:
        """Return the form of a value of no class of the entity's.

        Raises:
            TypeError: It has none.
        """
        if issubclass(kind, Enum):
            raise TypeError(_foreign(kind))
        if issubclass(kind, _BASES):
            return self._encoded(_base(value))  # as any database takes it
        if isinstance(value, _BINARY):
            value = bytes(value)
        elif isinstance(value, datetime):
            value = datetime.combine(value, value.timetz())  # past a subclass
        try:
            return encode_value(value)
        except UsageError as error:
            raise TypeError(_foreign(kind)) from error

    def _object(self, value: Any, kind: type) -> Any:
        """Return the form of an object of one of the entity's classes.

        Raises:
            TypeError: It is of another class of the same name.
        """
        name = kind.__qualname__
        if self._classes[name] is not kind:
            raise TypeError(_foreign(kind))
        if isinstance(value, Enum):
            return {"enum": [name, self._encoded(value.value)]}
        if isinstance(value, BaseModel):
            held = {n: value.__dict__[n] for n in kind.model_fields}  # type: ignore[attr-defined] # a BaseModel's
            held |= value.__pydantic_extra__ or {}
            return {"object": [name, {n: self._encoded(v) for n, v in held.items()}]}
        if issubclass(kind, _PLAIN):
            return {"made": [name, self._encoded(_base(value))]}
        if dataclasses.is_dataclass(kind):
            fields = [field.name for field in dataclasses.fields(kind)]
            parts = {n: self._encoded(getattr(value, n)) for n in fields}
            return {"object": [name, parts]}
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
        if tag in _CONTAINERS:
            return _CONTAINERS[tag](self._decoded(item) for item in body)
        if tag in {"enum", "made", "object", "other"}:
            return self._made(tag, self._classes[body[0]], body[1])
        return decode_value(value)

    def _made(self, tag: str, kind: type, body: Any) -> Any:
        if tag == "other":
            return TypeAdapter(kind).validate_python(body)
        if tag == "object":
            held = {name: self._decoded(item) for name, item in body.items()}
            return _holding(kind, held)
        return kind(self._decoded(body))


def _base(value: Any) -> Any:
    """Return what a value of a class of its own is for JSON."""
    return next(base for base in _BASES if isinstance(value, base))(value)


def _foreign(kind: type) -> str:
    return (
        f"a {kind.__qualname__} is no JSON, and no annotation of the class names it to "
        "read it back"
    )


def _as_json(value: Any, kind: type) -> Any:
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


def _holding(kind: Any, held: dict[str, Any]) -> Any:
    """Return an object of *kind* that holds these values, past its own checks."""
    if issubclass(kind, BaseModel):
        made: Any = kind.model_construct(**held)
        # An alias may be the name of another field.
        made.__dict__.update({n: held[n] for n in kind.model_fields if n in held})
        return made
    made = object.__new__(kind)
    for name, value in {**_defaults(kind, held), **held}.items():
        object.__setattr__(made, name, value)
    return made


def _defaults(kind: Any, held: Mapping[str, object]) -> dict[str, Any]:
    """Return the class's defaults of the fields that *held* lacks."""
    if issubclass(kind, BaseModel):
        return {
            name: field.get_default(call_default_factory=True)
            for name, field in kind.model_fields.items()
            if name not in held and not field.is_required()
        }
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    made: dict[str, Any] = {}
    for field in fields:
        if field.name in held:
            continue
        if field.default_factory is not dataclasses.MISSING:
            made[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            made[field.name] = field.default
    return made
