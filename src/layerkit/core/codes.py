"""What the class of an error declares, checked when it is defined."""

import re
import sys
from functools import lru_cache
from string import Formatter
from typing import Final

_CODE: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_LONGEST: Final = 63  # google.aip.dev/193: UPPER_SNAKE, at most 63 characters

_owners: dict[str, type] = {}


def claim_code(code: object, owner: type) -> str | None:
    """Let *owner* have *code*, and return what is wrong with that, or None.

    The same definition may come again: a module that is reloaded, or run as a script
    and imported too. Classes inside functions come and go, so one of them gives way to
    the next that wants its code.
    """
    if not isinstance(code, str) or not _CODE.fullmatch(code) or len(code) > _LONGEST:
        return (
            f"{_path(owner)} has the code {code!r}: write it in UPPER_SNAKE, at most "
            f"{_LONGEST} characters, such as 'OUT_OF_STOCK'"
        )
    holder = _owners.get(code)
    if getattr(super(owner, owner), "code", None) == code:
        return None  # written down, it is still the parent's
    if (
        holder is None
        or "<locals>" in holder.__qualname__
        or _place(holder) == _place(owner)
    ):
        _owners[code] = owner
        return None
    return (
        f"{_path(owner)} and {_path(holder)} both have the code {code!r}, by which "
        "clients tell errors apart: give one of them another, or leave the code out to "
        "have that of a parent"
    )


@lru_cache(maxsize=1024)
def names_in(template: str) -> tuple[str, ...]:
    """Return the names in the braces of *template*, each once, in their order.

    Raises:
        ValueError: It is no template, or has more than a name in its braces.
    """
    parts = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
    for name, form, conversion in parts:
        if not (name or "").isidentifier() or form or conversion:
            raise ValueError(f"{name!r} is not the name of an attribute")
    return tuple(dict.fromkeys(str(name) for name, _, _ in parts))


def _path(owner: type) -> str:
    return f"{owner.__module__}.{owner.__qualname__}"


def _place(owner: type) -> tuple[str, str]:
    """Return where the class is written, whatever its module is called just now."""
    module = sys.modules.get(owner.__module__)
    return getattr(module, "__file__", None) or owner.__module__, owner.__qualname__
