"""Values as JSON, and back as they were: for cursors and for documents."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_KINDS = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "decimal": (Decimal, str, Decimal),
    "uuid": (UUID, str, UUID),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
}


def encode_value(value: Any) -> Any:
    """Return *value* in the types of JSON."""
    if isinstance(value, timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, float):
        return {"float": repr(value)}
    for name, (kind, write, _) in _KINDS.items():
        if isinstance(value, kind):
            return {name: write(value)}  # type: ignore[operator]
    return value


def decode_value(value: Any) -> Any:
    """Return what ``encode_value`` was given."""
    if not isinstance(value, dict):
        return value
    [(name, text)] = value.items()
    if name == "timedelta":
        return timedelta(*text)
    return float(text) if name == "float" else _KINDS[name][2](text)
