"""What a cache of one's own gets from its three methods."""

from typing import Any

import pytest

from layerkit.cache import CacheInterface, MemoryCache
from layerkit.core.errors import UsageError


class TextbookCache(CacheInterface):
    """A cache as people write it: three methods, no keywords."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.expires: list[int] = []

    async def get(self, key: str) -> Any | None:  # type: ignore[explicit-override]  # as users write it
        return self.values.get(key)

    async def set(self, key: str, value: Any, expire: int = 3600) -> bool:  # type: ignore[explicit-override]  # as users write it
        self.expires.append(expire)
        self.values[key] = value
        return bool(value != "refused")

    async def delete(self, key: str) -> bool:  # type: ignore[explicit-override]  # as users write it
        return self.values.pop(key, None) is not None


@pytest.fixture(params=[TextbookCache, MemoryCache])
def cache(request: pytest.FixtureRequest) -> CacheInterface:
    made: CacheInterface = request.param()
    return made


def test_cache_without_the_three_methods_can_not_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        CacheInterface()  # type: ignore[abstract]  # the subject of the test


async def test_get_many_returns_what_is_there_by_key(cache: CacheInterface) -> None:
    await cache.set("a", 1)
    await cache.set("b", "")

    assert await cache.get_many(["a", "b", "c"]) == {"a": 1, "b": ""}


async def test_get_many_of_nothing_is_empty(cache: CacheInterface) -> None:
    assert await cache.get_many([]) == {}


async def test_set_many_stores_each_item(cache: CacheInterface) -> None:
    assert await cache.set_many({"a": 1, "b": 2}, expire=60) is True

    assert await cache.get_many("ab") == {"a": 1, "b": 2}


async def test_set_many_passes_the_expiry_on() -> None:
    cache = TextbookCache()

    await cache.set_many({"a": 1, "b": 2}, 60)
    await cache.set_many({"c": 3})

    assert cache.expires == [60, 60, 3600]


async def test_set_many_tells_that_one_was_refused_and_stores_the_rest() -> None:
    cache = TextbookCache()

    stored = await cache.set_many({"a": "refused", "b": 2})

    assert stored is False
    assert await cache.get("b") == 2


async def test_delete_many_counts_what_was_there(cache: CacheInterface) -> None:
    await cache.set_many({"a": 1, "b": 2, "c": 3})

    assert await cache.delete_many(["a", "b", "x"]) == 2
    assert await cache.get_many("abc") == {"c": 3}


async def test_exists_tells_whether_there_is_a_value(cache: CacheInterface) -> None:
    await cache.set("a", 0)

    assert await cache.exists("a") is True
    assert await cache.exists("b") is False


async def test_stored_none_is_taken_for_missing_where_get_can_not_tell() -> None:
    cache = TextbookCache()
    await cache.set("a", None)

    assert await cache.exists("a") is False
    assert await cache.get_many(["a"]) == {}


@pytest.mark.defect("C6")
async def test_stored_none_is_there_on_a_cache_of_layerkit() -> None:
    cache = MemoryCache()
    await cache.set("a", None)

    assert await cache.exists("a") is True
    assert await cache.get_many(["a", "b"]) == {"a": None}


async def test_set_many_takes_a_fraction_on_a_cache_of_layerkit() -> None:
    cache = MemoryCache()

    assert await cache.set_many({"a": 1}, expire=0.5) is True
    with pytest.raises(UsageError):
        await cache.set_many({"b": 1}, expire=0)
    assert await cache.exists("b") is False
