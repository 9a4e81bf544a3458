"""MockCache: a cache whose content is at hand."""

import pytest

from layerkit.cache import CacheInterface
from layerkit.core.errors import UsageError
from layerkit.testing import ManualClock, MockCache


@pytest.fixture
def cache() -> MockCache:
    return MockCache()


async def test_data_shows_what_is_cached(cache: MockCache) -> None:
    plain: CacheInterface = cache

    await plain.set("a", {"n": 1})
    await plain.set("b", None)

    assert cache.data == {"a": {"n": 1}, "b": None}
    assert cache.data["a"] == {"n": 1}
    assert "b" in cache.data
    assert "c" not in cache.data
    assert len(cache.data) == 2
    assert repr(cache.data) == "{'a': {'n': 1}, 'b': None}"


async def test_data_is_empty_at_first(cache: MockCache) -> None:
    assert cache.data == {}
    assert not cache.data


async def test_get_returns_what_was_put_into_data(cache: MockCache) -> None:
    cache.data["a"] = 1
    cache.data.update(b=2)

    assert await cache.get("a") == 1
    assert await cache.get("b") == 2


async def test_what_is_taken_out_of_data_is_forgotten(cache: MockCache) -> None:
    await cache.set_many({"a": 1, "b": 2})

    del cache.data["a"]
    assert cache.data.pop("b") == 2

    assert await cache.get_many("ab") == {}


def test_data_has_no_missing_key(cache: MockCache) -> None:
    with pytest.raises(KeyError, match="a"):
        cache.data["a"]
    with pytest.raises(KeyError, match="a"):
        del cache.data["a"]


def test_data_takes_no_key_that_a_cache_would_refuse(cache: MockCache) -> None:
    with pytest.raises(UsageError):
        cache.data["a\n"] = 1


async def test_data_shows_nothing_that_has_expired() -> None:
    clock = ManualClock()
    cache = MockCache(clock=clock)
    await cache.set("a", 1, expire=60)
    cache.data["b"] = 2

    clock.advance(60)

    assert cache.data == {"b": 2}


async def test_calls_are_recorded_in_their_order(cache: MockCache) -> None:
    await cache.get("a")
    await cache.set("a", 1)
    await cache.exists("a")
    await cache.delete("a")

    assert cache.calls == [("get", "a"), ("set", "a"), ("get", "a"), ("delete", "a")]


async def test_call_that_was_told_to_fail_is_recorded(cache: MockCache) -> None:
    cache.fail_next(RuntimeError("down"))

    with pytest.raises(RuntimeError, match="down"):
        await cache.get("a")

    assert cache.calls == [("get", "a")]
