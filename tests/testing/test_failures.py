"""How a double is told to fail."""

import pytest

from layerkit.core.errors import UnavailableError, UsageError
from layerkit.testing import MockCache


@pytest.fixture
def cache() -> MockCache:
    return MockCache()


async def test_next_call_fails_and_the_one_after_works(cache: MockCache) -> None:
    error = UnavailableError()
    cache.fail_next(error)

    with pytest.raises(UnavailableError) as caught:
        await cache.get("a")

    assert caught.value is error
    assert await cache.get("a") is None


async def test_as_many_calls_fail_as_were_asked(cache: MockCache) -> None:
    cache.fail_next(UnavailableError(), times=2)

    for _ in range(2):
        with pytest.raises(UnavailableError):
            await cache.set("a", 1)

    assert await cache.set("a", 1) is True


async def test_only_the_named_method_fails(cache: MockCache) -> None:
    cache.fail_next(UnavailableError(), method="set")

    assert await cache.get("a") is None
    with pytest.raises(UnavailableError):
        await cache.set("a", 1)


async def test_plans_are_used_up_in_their_order(cache: MockCache) -> None:
    first, second = UnavailableError("first"), UnavailableError("second")
    cache.fail_next(first)
    cache.fail_next(second)

    with pytest.raises(UnavailableError, match="first"):
        await cache.get("a")
    with pytest.raises(UnavailableError, match="second"):
        await cache.get("a")


async def test_call_that_fails_does_nothing(cache: MockCache) -> None:
    cache.data["a"] = 1
    cache.fail_next(UnavailableError())

    with pytest.raises(UnavailableError):
        await cache.delete("a")

    assert cache.data == {"a": 1}


@pytest.mark.parametrize("method", ["fetch", "data"])
def test_method_that_the_double_has_not_is_refused(
    cache: MockCache, method: str
) -> None:
    with pytest.raises(UsageError, match=f"MockCache has no method '{method}'"):
        cache.fail_next(UnavailableError(), method=method)
