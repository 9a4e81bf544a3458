"""MemoryCache: bounded, copying, on a clock."""

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from layerkit.cache import MemoryCache
from layerkit.core.errors import UsageError
from layerkit.testing import ManualClock

MISSING = object()


class User(BaseModel):
    name: str
    roles: list[str] = []


@dataclass
class Basket:
    items: list[str] = field(default_factory=list)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> MemoryCache:
    return MemoryCache(clock=clock)


async def test_get_returns_what_was_set(cache: MemoryCache) -> None:
    assert await cache.set("a", {"n": 1}) is True

    assert await cache.get("a") == {"n": 1}


async def test_get_returns_none_for_a_missing_key(cache: MemoryCache) -> None:
    assert await cache.get("a") is None


async def test_default_stands_in_for_a_missing_key(cache: MemoryCache) -> None:
    assert await cache.get("a", default=MISSING) is MISSING


@pytest.mark.defect("C6")
async def test_default_distinguishes_a_stored_none_from_a_missing_key(
    cache: MemoryCache,
) -> None:
    await cache.set("a", None)

    assert await cache.get("a", default=MISSING) is None


async def test_set_replaces_value_and_expiry(
    cache: MemoryCache, clock: ManualClock
) -> None:
    await cache.set("a", 1, expire=1)
    await cache.set("a", 2, expire=None)

    clock.advance(timedelta(days=10_000))

    assert await cache.get("a") == 2


async def test_delete_tells_whether_there_was_a_value(cache: MemoryCache) -> None:
    await cache.set("a", 1)

    assert await cache.delete("a") is True
    assert await cache.delete("a") is False
    assert await cache.get("a") is None


async def test_clear_forgets_everything(cache: MemoryCache) -> None:
    await cache.set_many({"a": 1, "b": 2})

    await cache.clear()

    assert await cache.get_many("ab") == {}


@pytest.mark.parametrize("method", ["get", "set", "delete", "exists"])
async def test_key_that_breaks_the_bound_is_refused(
    cache: MemoryCache, method: str
) -> None:
    arguments = ("a\n", 1) if method == "set" else ("a\n",)

    with pytest.raises(UsageError, match="control character"):
        await getattr(cache, method)(*arguments)


# Time


async def test_get_returns_none_once_the_time_has_passed(
    cache: MemoryCache, clock: ManualClock
) -> None:
    await cache.set("a", 1, expire=10)

    clock.advance(9.999)
    assert await cache.get("a") == 1
    clock.advance(0.001)

    assert await cache.get("a") is None


async def test_value_is_kept_for_an_hour_when_nothing_is_said(
    cache: MemoryCache, clock: ManualClock
) -> None:
    await cache.set("a", 1)

    clock.advance(3599)
    assert await cache.exists("a") is True
    clock.advance(1)

    assert await cache.exists("a") is False


@pytest.mark.defect("C4")
async def test_fraction_of_a_second_is_not_for_ever(
    cache: MemoryCache, clock: ManualClock
) -> None:
    await cache.set("a", 1, expire=0.4)

    clock.advance(0.4)

    assert await cache.get("a") is None


@pytest.mark.defect("C5")
@pytest.mark.parametrize("expire", [0, -1, float("nan")])
async def test_expiry_that_is_refused_leaves_the_old_value(
    cache: MemoryCache, expire: float
) -> None:
    await cache.set("a", "old")

    with pytest.raises(UsageError):
        await cache.set("a", "new", expire=expire)

    assert await cache.get("a") == "old"


async def test_delete_of_an_expired_value_finds_nothing(
    cache: MemoryCache, clock: ManualClock
) -> None:
    await cache.set("a", 1, expire=1)

    clock.advance(1)

    assert await cache.delete("a") is False


async def test_cache_tells_the_time_itself_when_no_clock_is_given() -> None:
    cache = MemoryCache()

    await cache.set("a", 1, expire=3600)

    assert await cache.get("a") == 1


# Bounds


@pytest.mark.defect("C18")
async def test_memory_holds_no_more_than_max_entries() -> None:
    cache = MemoryCache(max_entries=3)

    for number in range(10):
        await cache.set(f"key-{number}", number)

    found = await cache.get_many(f"key-{number}" for number in range(10))
    assert found == {"key-7": 7, "key-8": 8, "key-9": 9}


async def test_least_recently_used_goes_first() -> None:
    cache = MemoryCache(max_entries=3)
    await cache.set_many({"a": 1, "b": 2, "c": 3})
    await cache.get("a")
    await cache.set("b", 20)

    await cache.set("d", 4)

    assert await cache.get_many("abcd") == {"a": 1, "b": 20, "d": 4}


async def test_replacing_a_value_evicts_nothing() -> None:
    cache = MemoryCache(max_entries=2)
    await cache.set_many({"a": 1, "b": 2})

    await cache.set("a", 10)

    assert await cache.get_many("ab") == {"a": 10, "b": 2}


@pytest.mark.parametrize("max_entries", [0, -1])
def test_cache_that_keeps_nothing_is_refused(max_entries: int) -> None:
    with pytest.raises(UsageError, match=f"max_entries={max_entries}"):
        MemoryCache(max_entries=max_entries)


# Copies


@pytest.mark.defect("C11")
@pytest.mark.parametrize(
    ("value", "change"),
    [
        pytest.param({"roles": []}, lambda v: v["roles"].append("x"), id="dict"),
        pytest.param([[]], lambda v: v[0].append("x"), id="list"),
        pytest.param(([],), lambda v: v[0].append("x"), id="tuple"),
        pytest.param({1}, lambda v: v.add(2), id="set"),
        pytest.param(User(name="Ada"), lambda v: v.roles.append("x"), id="model"),
        pytest.param(Basket(), lambda v: v.items.append("x"), id="dataclass"),
    ],
)
async def test_callers_never_change_what_is_cached(
    cache: MemoryCache, value: Any, change: Any
) -> None:
    await cache.set("a", value)
    first = await cache.get("a")

    change(value)
    second = await cache.get("a")
    change(second)
    third = await cache.get("a")

    assert type(first) is type(value)
    assert first == third
    assert second != third
    assert value != third


@pytest.mark.parametrize(
    "value",
    [
        "text",
        b"bytes",
        7,
        1.5,
        True,
        None,
        (1, ("a",)),
        datetime(2026, 1, 1, tzinfo=UTC),
        uuid4(),
        timedelta(1),
    ],
)
async def test_value_that_can_not_change_comes_back_equal(
    cache: MemoryCache, value: Any
) -> None:
    await cache.set("a", value)

    found = await cache.get("a")

    assert found == value
    assert type(found) is type(value)


async def test_what_can_not_change_is_not_copied(cache: MemoryCache) -> None:
    text = "".join(["long", "text"])

    await cache.set("a", text)

    assert await cache.get("a") is text


async def test_value_that_can_not_be_copied_is_refused(cache: MemoryCache) -> None:
    await cache.set("a", "old")

    with pytest.raises(UsageError, match=r"the dict for cache key 'a' can't be copied"):
        await cache.set("a", {"lock": threading.Lock()})

    assert await cache.get("a") == "old"


@pytest.mark.defect("C12")
def test_one_cache_serves_one_event_loop_after_the_other(cache: MemoryCache) -> None:
    asyncio.run(cache.set("a", 1))

    assert asyncio.run(cache.get("a")) == 1


@pytest.mark.defect("C13")
async def test_clear_leaves_other_caches_alone(cache: MemoryCache) -> None:
    other = MemoryCache()
    await other.set("a", 1)

    await cache.clear()

    assert await other.get("a") == 1
