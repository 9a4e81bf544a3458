"""CacheInterface: what a service asks of a cache; Cache: what ours give beyond it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import override

from layerkit.cache.rules import Expire
from layerkit.core.types import UNSET


class CacheInterface(ABC):
    """Keep values under keys for a time; a cache of one's own gives the abstract three.

    A cache may forget anything at any time, so what it holds can always be made again.
    The other methods come from the three, one key after the other.
    """

    @abstractmethod
    async def get(self, key: str) -> Any | None:
        """Return the value under *key*; None where there is none, or no more.

        Raises:
            UsageError: *key* breaks the bound of ``set``.
        """

    @abstractmethod
    async def set(self, key: str, value: Any, expire: int = 3600) -> bool:
        """Store *value* under *key*, replacing what was there.

        Args:
            key: 1 to 250 characters, no control characters.
            value: What ``get`` returns from now on, as an equal copy.
            expire: Seconds, more than zero.

        Returns:
            True once stored; False when the store is down.

        Raises:
            UsageError: *key* breaks the bound, or *expire* is no time to keep a value.
        """

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """Forget the value under *key*; True where there was one.

        Raises:
            UsageError: *key* breaks the bound of ``set``.
        """

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values under *keys* by key; a missing key is left out.

        A stored None looks like a missing key here, and is left out too; on the caches
        of layerkit it is there.

        Raises:
            UsageError: A key breaks the bound of ``set``.
        """
        values = {key: await self._find(key) for key in keys}
        return {key: value for key, value in values.items() if value is not UNSET}

    async def set_many(self, items: Mapping[str, Any], expire: int = 3600) -> bool:
        """Store each value of *items* under its key; True once all are stored.

        Raises:
            UsageError: A key breaks the bound, or *expire* is no time to keep a value;
                items before it may be stored.
        """
        return all([await self.set(key, items[key], expire) for key in items])

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Forget the values under *keys*; return how many there were.

        Raises:
            UsageError: A key breaks the bound of ``set``; keys before it are forgotten.
        """
        return sum([await self.delete(key) for key in keys])

    async def exists(self, key: str) -> bool:
        """Tell whether there is a value under *key*.

        Raises:
            UsageError: *key* breaks the bound of ``set``.
        """
        return await self._find(key) is not UNSET

    async def _find(self, key: str) -> Any:
        """Return the value under *key*, or UNSET; here None is taken for missing."""
        value = await self.get(key)
        return UNSET if value is None else value


class Cache(CacheInterface):
    """Keep values as every cache of layerkit does: None is a value like any other.

    ``default=`` tells a stored None from a missing key, and ``expire`` takes fractions
    of a second, a timedelta, or None.
    """

    @override
    @abstractmethod
    async def get(self, key: str, *, default: Any = None) -> Any:
        """Return the value under *key*, or *default* where there is none, or no more.

        Raises:
            UsageError: *key* breaks the bound of ``set``.
        """

    @override
    @abstractmethod
    async def set(self, key: str, value: Any, expire: Expire = 3600) -> bool:
        """Store *value* under *key*, replacing what was there.

        Args:
            key: 1 to 250 characters, no control characters; the same on every
                backend.
            value: What ``get`` returns from now on, as an equal copy.
            expire: Seconds or a timedelta, rounded up to 1 ms; None keeps it until it
                is evicted.

        Returns:
            True once stored; False when the store is down.

        Raises:
            UsageError: *key* breaks the bound, or *expire* is zero, negative, NaN or
                infinite.
        """

    @override
    async def set_many(self, items: Mapping[str, Any], expire: Expire = 3600) -> bool:
        """Store each value of *items* under its key; True once all are stored.

        Raises:
            UsageError: As for ``set``; items before it may be stored.
        """
        return all([await self.set(key, items[key], expire) for key in items])

    @override
    async def _find(self, key: str) -> Any:
        return await self.get(key, default=UNSET)
