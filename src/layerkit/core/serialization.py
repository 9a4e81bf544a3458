"""Values as JSON holds them, whatever they are."""

import math
import sys
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

from layerkit.core.redaction import MASK, hides, redacted_text

_SCALARS: Final = (str, int, float, SecretStr, SecretBytes)
DEEPEST: Final = 12
"""How many levels are written; what lies deeper, or in itself, is shown as ``...``."""

LONGEST: Final = 32_768
"""How many characters of a text, or of all values together, a log line shows."""

_LONGEST_INTEGER_BITS: Final = 4096  # Python refuses to write longer ones in decimals


def json_ready(value: object) -> Any:
    """Return *value* in the types of JSON; it never raises.

    Models and dataclasses become objects, enums their values, NaN, infinities and what
    else JSON lacks become text. SecretStr is ``***``.
    """
    return _Writer(sys.maxsize, is_masked=False).write(value, DEEPEST)


def log_ready(value: object) -> Any:
    """Return *value* as ``json_ready`` does, without secrets, and cut at ``LONGEST``.

    What goes by the name of a secret is ``***``, and so are secrets in texts.
    """
    return _Writer(LONGEST, is_masked=True).write(value, DEEPEST)


def log_traceback(text: str) -> str:
    """Return *text* without secrets; of a long one begin and end, in whole lines."""
    if len(text) <= LONGEST:
        return str(log_ready(text))
    end = text[-LONGEST // 2 :].partition("\n")[2]  # what was raised is said there
    begin = _Writer(LONGEST // 2, is_masked=True).write(text[: len(text) - len(end)], 1)
    return f"{begin}\n{log_ready(end)}"


class _Writer:
    """Write values in the types of JSON.

    Args:
        room: How many characters and members may be written.
        is_masked: True to hide secrets.
    """

    def __init__(self, room: int, *, is_masked: bool) -> None:
        self._room = room
        self._is_masked = is_masked

    def write(self, value: object, depth: int) -> Any:
        """Return *value*, with *depth* levels of what is in it."""
        if isinstance(value, Enum):
            value = value.value
        if value is None or isinstance(value, _SCALARS):
            return self._scalar(value)
        if depth == 0:
            return "..."
        members = _members(value)
        if members is not None:
            return self._object(members, depth - 1)
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(value, depth - 1)
        return self._text(_str(value))

    def _object(self, members: dict[object, object], depth: int) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for count, (key, item) in enumerate(members.items()):
            if self._room <= 0:
                written["..."] = f"{len(members) - count} left out"
                break
            self._room -= 1
            name = _str(key)
            is_hidden = self._is_masked and hides(name, item)
            shown = self._text(name)
            written[shown] = MASK if is_hidden else self.write(item, depth)
        return written

    def _list(self, items: Collection[object], depth: int) -> list[Any]:
        written: list[Any] = []
        for item in items:
            if self._room <= 0:
                written.append(f"... {len(items) - len(written)} left out")
                break
            self._room -= 1
            written.append(self.write(item, depth))
        return written

    def _scalar(self, value: object) -> Any:
        match value:
            case SecretStr() | SecretBytes():
                return MASK
            case str():
                return self._text(value)
            case float() if not math.isfinite(value):
                return str(value)
            case int() if value.bit_length() > _LONGEST_INTEGER_BITS:
                return self._text(hex(value))
        return value

    def _text(self, text: str) -> str:
        left_out = max(len(text) - max(self._room, 0), 0)
        shown = text[: len(text) - left_out]
        self._room -= len(shown)
        # A lone surrogate is no Unicode text: writing it out as UTF-8 would fail.
        shown = shown.encode("utf-8", "backslashreplace").decode()
        if self._is_masked:
            shown = redacted_text(shown, is_cut=left_out > 0)
        return f"{shown}... {left_out} characters left out" if left_out else shown


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


def _str(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an object that can't say what it is
        return f"<{type(value).__name__}>"
