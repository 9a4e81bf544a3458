"""MockCache: a MemoryCache whose content is at hand."""

from collections.abc import Iterator, MutableMapping
from typing import Any

from typing_extensions import override

from layerkit.cache.memory import MemoryCache, Store
from layerkit.cache.rules import Expire, check_key
from layerkit.core.types import UNSET, Clock
from layerkit.testing.failures import Failures


class MockCache(Failures, MemoryCache):
    """Cache in memory, show the content, record the calls, and fail when told to.

    Args:
        clock: Tells when a value expires; pass a ManualClock to let time pass.

    Attributes:
        calls: The calls so far, as ``("get", key)``, ``("set", key)`` and
            ``("delete", key)``; those that were told to fail are among them.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        Failures.__init__(self)
        MemoryCache.__init__(self, clock=clock)
        self.calls: list[tuple[str, str]] = []
        self._data = _Data(self._store)

    @property
    def data(self) -> MutableMapping[str, Any]:
        """What is cached now, by key; what is put in here does not expire."""
        return self._data

    @override
    async def get(self, key: str, *, default: Any = None) -> Any:
        self._record("get", key)
        return await super().get(key, default=default)

    @override
    async def set(self, key: str, value: Any, expire: Expire = 3600) -> bool:
        self._record("set", key)
        return await super().set(key, value, expire)

    @override
    async def delete(self, key: str) -> bool:
        self._record("delete", key)
        return await super().delete(key)

    def _record(self, method: str, key: str) -> None:
        self.calls.append((method, key))
        self._fail_if_planned(method)


class _Data(MutableMapping[str, Any]):
    """The content of a store as a mapping; equal to a dict with the same items."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @override
    def __getitem__(self, key: str) -> Any:
        value = self._store.read(key)
        if value is UNSET:
            raise KeyError(key)
        return value

    @override
    def __setitem__(self, key: str, value: Any) -> None:
        self._store.write(check_key(key), value, None)

    @override
    def __delitem__(self, key: str) -> None:
        if not self._store.remove(key):
            raise KeyError(key)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._store.keys())

    @override
    def __len__(self) -> int:
        return len(self._store.keys())

    @override
    def __repr__(self) -> str:
        return repr(dict(self))
