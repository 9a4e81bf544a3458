"""Values that hold values: how deeply, and copies of them.

Nothing here goes deeper into Python's stack where lists and dicts do, so that what
another program has stored can always be handed out.
"""

import copy
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, Final
from uuid import UUID

DEEPEST: Final = 100
"""How many levels of lists, dicts and the like a stored value may have."""

CONTAINERS: Final = (list, dict, tuple, set, frozenset)
"""What holds other values."""

UNCHANGING: Final = frozenset(
    {type(None), bool, int, float, str, bytes, Decimal, UUID}
    | {date, datetime, time, timedelta}
)
"""Classes whose instances never change, so that no copy of one is needed."""


def check_depth(container: Any) -> None:
    """Refuse a container with more levels than ``DEEPEST``, or one that holds itself.

    Raises:
        ValueError: It has.
    """
    level: Iterable[Any] = [container]
    for _ in range(DEEPEST):
        items = (each.values() if isinstance(each, dict) else each for each in level)
        # By identity: what is held in many places needs one look.
        held = {id(i): i for i in chain(*items) if isinstance(i, CONTAINERS)}
        if not held:
            return
        level = held.values()
    raise ValueError(f"must not nest deeper than {DEEPEST} levels")


def deep_copy(value: Any) -> Any:
    """Return what ``copy.deepcopy`` does, of lists and dicts however deep they are."""
    if type(value) in UNCHANGING:
        return value
    known: dict[int, Any] = {}  # what ``deepcopy`` calls its memo
    waiting: list[tuple[Any, Any]] = []

    def twin(item: Any) -> Any:
        kind = type(item)
        if kind in UNCHANGING:
            return item
        if kind is not list and kind is not dict:
            return copy.deepcopy(item, known)
        made = known.get(id(item))
        if made is None:
            made = known[id(item)] = [None] * len(item) if kind is list else {}
            waiting.append((item, made))
        return made

    copied = twin(value)
    while waiting:
        item, made = waiting.pop()
        if type(item) is list:
            made[:] = map(twin, item)
        else:
            made.update((twin(name), twin(held)) for name, held in item.items())
    return copied


def is_equal(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, lists and dicts however deep they are."""
    waiting, seen = [(one, other)], set()
    while waiting:
        first, second = waiting.pop()
        place = id(first), id(second)
        if first is second or place in seen:
            continue
        seen.add(place)
        if isinstance(first, list) and isinstance(second, list):
            if len(first) != len(second):
                return False
            waiting += zip(first, second, strict=True)
        elif isinstance(first, dict) and isinstance(second, dict):
            if first.keys() != second.keys():
                return False
            waiting += ((held, second[name]) for name, held in first.items())
        elif first != second:
            return False
    return True
