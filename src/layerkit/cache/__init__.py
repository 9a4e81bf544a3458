"""Caches: values that may be forgotten at any time."""

from layerkit.cache.base import Cache, CacheInterface
from layerkit.cache.memory import MemoryCache
from layerkit.cache.rules import Expire, check_key, to_milliseconds

__all__ = [
    "Cache",
    "CacheInterface",
    "Expire",
    "MemoryCache",
    "check_key",
    "to_milliseconds",
]
