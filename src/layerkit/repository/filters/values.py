"""Values as JSON, and back as they were: what cursors and documents hold.

Texts, whole numbers, booleans and null are JSON's own; any other value is an object
with one member, which names its type.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from layerkit.core.errors import UsageError

_Step = Callable[[Any], Any]
_Codec = tuple[_Step, _Step]

_CODECS: Final[Mapping[type, _Codec]] = {
    float: (float.__repr__, float),  # JSON has no infinity
    datetime: (datetime.isoformat, datetime.fromisoformat),
    date: (date.isoformat, date.fromisoformat),
    time: (time.isoformat, time.fromisoformat),
    timedelta: (
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: timedelta(*parts),
    ),
    Decimal: (str, Decimal),
    UUID: (str, UUID),
    bytes: (bytes.hex, bytes.fromhex),
}
_PLAIN: Final[Mapping[type, _Step]] = {str: str.__str__, int: int.__int__}
_BY_NAME: Final = {kind.__name__: codec for kind, codec in _CODECS.items()}


def encode_value(value: object) -> Any:
    """Return *value* in the types of JSON.

    One of a subclass, such as asyncpg's own UUID, is written as what it is based on.

    Raises:
        UsageError: It is of a type that has no form in JSON here.
    """
    if value is None or type(value) in {str, int, bool}:
        return value
    for kind in type(value).__mro__:
        if kind in _CODECS:
            return {kind.__name__: _CODECS[kind][0](value)}
        if kind in _PLAIN:
            return _PLAIN[kind](value)
    raise UsageError(f"a {type(value).__name__} can't be written as JSON")


def decode_value(encoded: Any) -> Any:
    """Return what ``encode_value`` was given, of the same type."""
    if not isinstance(encoded, dict):
        return encoded
    [(name, written)] = encoded.items()
    return _BY_NAME[name][1](written)
