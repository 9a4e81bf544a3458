"""Values as JSON holds them, whatever they are."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

from layerkit.core.redaction import MASK, is_secret_name, redacted_text

_SCALARS: Final = (str, int, float, SecretStr, SecretBytes)
DEEPEST: Final = 12
"""How many levels are written; what lies deeper, or in itself, is shown as ``...``."""

_LONGEST_INTEGER_BITS: Final = 4096  # Python refuses to write longer ones in decimals


def json_ready(value: object, *, mask: bool = False, depth: int = DEEPEST) -> Any:
    """Return *value* in the types of JSON; it never raises.

    Models and dataclasses become objects, enums their values, NaN, infinities and what
    else JSON lacks become text. SecretStr is ``***``.

    Args:
        value: Anything.
        mask: True also hides what goes by the name of a secret, and secrets in texts.
        depth: How many levels to write.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, _SCALARS):
        return _scalar(value, mask=mask)
    if depth == 0:
        return "..."
    members = _members(value)
    if members is not None:
        names = {_str(name): item for name, item in members.items()}
        return {
            _text(name, mask=mask): MASK
            if mask and is_secret_name(name)
            else json_ready(item, mask=mask, depth=depth - 1)
            for name, item in names.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [json_ready(item, mask=mask, depth=depth - 1) for item in value]
    return _text(_str(value), mask=mask)


def _scalar(value: object, *, mask: bool) -> Any:
    match value:
        case SecretStr() | SecretBytes():
            return MASK
        case str():
            return _text(value, mask=mask)
        case float() if not math.isfinite(value):
            return str(value)
        case int() if value.bit_length() > _LONGEST_INTEGER_BITS:
            return hex(value)
    return value


def _members(value: object) -> dict[object, object] | None:
    """Return the members of an object, by name, or None where it has none."""
    try:
        if isinstance(value, Mapping | BaseModel):
            return dict(value)
        if is_dataclass(value) and not isinstance(value, type):
            return {f.name: getattr(value, f.name, None) for f in fields(value)}
    except Exception:  # noqa: BLE001 - an object that can't be read, such as a lazy one
        return None
    return None


def _text(text: str, *, mask: bool) -> str:
    # A lone surrogate is no Unicode text: writing it out as UTF-8 would fail.
    text = text.encode("utf-8", "backslashreplace").decode()
    return redacted_text(text) if mask else text


def _str(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an object that can't say what it is
        return f"<{type(value).__name__}>"
