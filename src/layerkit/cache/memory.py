"""A cache within one process."""

import copy
from collections import OrderedDict
from typing import Any, NamedTuple

from typing_extensions import override

from layerkit.cache.base import Cache
from layerkit.cache.rules import Expire, check_key, to_milliseconds
from layerkit.core.errors import UsageError
from layerkit.core.types import UNSET, Clock, SystemClock


class MemoryCache(Cache):
    """Keep values in this process, the least recently used going first when it is full.

    Values are copied on the way in and on the way out, so that no caller changes what
    another one gets; what can't be changed, such as text and numbers, is not copied.
    What has expired is dropped when it is next asked for, or evicted.

    Args:
        max_entries: How many keys are kept, 1 or more.
        clock: Tells when a value expires, by its monotonic reading.

    Raises:
        UsageError: *max_entries* is less than 1.
    """

    def __init__(
        self, *, max_entries: int = 10_000, clock: Clock | None = None
    ) -> None:
        if max_entries < 1:
            raise UsageError(f"max_entries={max_entries}: a cache keeps 1 or more")
        self._store = Store(max_entries, clock or SystemClock())

    @override
    async def get(self, key: str, *, default: Any = None) -> Any:
        value = self._store.read(check_key(key))
        return default if value is UNSET else value

    @override
    async def set(self, key: str, value: Any, expire: Expire = 3600) -> bool:
        """Store a copy of *value* under *key*, replacing what was there.

        Returns:
            True, always.

        Raises:
            UsageError: *key* breaks the bound, *expire* is no time to keep a value, or
                *value* can't be copied; what was there stays.
        """
        self._store.write(check_key(key), value, to_milliseconds(expire))
        return True

    @override
    async def delete(self, key: str) -> bool:
        return self._store.remove(check_key(key))

    async def clear(self) -> None:
        """Forget everything."""
        self._store.clear()


class _Entry(NamedTuple):
    value: Any
    deadline_ns: int | None
    is_immutable: bool


class Store:
    """Hold copies of values by key, for a time, the least recently used going first."""

    def __init__(self, max_entries: int, clock: Clock) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def read(self, key: str) -> Any:
        """Return the value under *key*, or UNSET."""
        entry = self._live(key)
        if entry is None:
            return UNSET
        self._entries.move_to_end(key)
        return entry.value if entry.is_immutable else copy.deepcopy(entry.value)

    def write(self, key: str, value: Any, milliseconds: int | None) -> None:
        """Put a copy of *value* under *key*; None keeps it until it is evicted."""
        kept = _copied(key, value)
        deadline_ns = None
        if milliseconds is not None:
            deadline_ns = self._clock.monotonic_ns() + milliseconds * 1_000_000
        # deepcopy hands back the very object only where there is nothing to change.
        self._entries[key] = _Entry(kept, deadline_ns, is_immutable=kept is value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def remove(self, key: str) -> bool:
        """Forget the value under *key*; True where there was one."""
        found = self._live(key) is not None
        self._entries.pop(key, None)
        return found

    def keys(self) -> list[str]:
        """Return the keys that have a value now."""
        return [key for key in list(self._entries) if self._live(key) is not None]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def _live(self, key: str) -> _Entry | None:
        """Return the entry of *key*, unless it has expired."""
        entry = self._entries.get(key)
        if entry is None or entry.deadline_ns is None:
            return entry
        if self._clock.monotonic_ns() < entry.deadline_ns:
            return entry
        del self._entries[key]
        return None


def _copied(key: str, value: Any) -> Any:
    """Return a deep copy of *value*.

    Raises:
        UsageError: It holds something that can't be copied, such as a lock.
    """
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise UsageError(
            f"the {type(value).__name__} for cache key {key!r} can't be copied: "
            "cache plain data, such as a schema or its model_dump()"
        ) from error
