"""Plans: a class that changed its indexes is refused until they are rebuilt."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from redis.asyncio import Redis
from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotSupportedError,
    UsageError,
)
from layerkit.redis import RedisDatabase, RedisRepository
from layerkit.repository import ALL, Indexed, Unique, field


def make_class(**marks: Any) -> type[Any]:
    """Return a dataclass Visit whose fields have these marks."""
    hints = {
        name: Annotated[str | None, *marks.get(name, ("plain",))]
        for name in ("town", "guest")
    }
    fields = {"town": None, "guest": None, "id": None}
    made = type("Visit", (), {"__annotations__": {**hints, "id": int | None}, **fields})
    return dataclass(made)


OLD = make_class(guest=(Indexed(),))
NEW = make_class(town=(Indexed(),), guest=(Unique(),))


@pytest.fixture
async def filled(client: Redis, redis_prefix: str) -> RedisDatabase:
    old = RedisRepository[Any, int](RedisDatabase(client, prefix=redis_prefix), OLD)
    for guest in "abc":
        await old.create({"town": "Rome", "guest": guest})
    return RedisDatabase(client, prefix=redis_prefix)


async def test_a_class_with_other_indexes_is_refused_with_the_remedy(
    filled: RedisDatabase,
) -> None:
    visits = RedisRepository[Any, int](filled, NEW)

    with pytest.raises(UsageError, match=r"await database\.reindex\(Visit\)"):
        await visits.find(field("town") == "Rome")
    with pytest.raises(UsageError, match="other indexes"):
        await visits.create({"town": "Oslo"})


async def test_a_reindexed_class_finds_what_is_stored(
    client: Redis, redis_prefix: str, filled: RedisDatabase
) -> None:
    await client.mset({f"{{{redis_prefix}}}other{n}": "" for n in range(2000)})

    assert await filled.reindex(NEW) == 3

    visits = RedisRepository[Any, int](filled, NEW)
    assert await visits.count(field("town") == "Rome") == 3
    assert [v.id for v in await visits.find(field("guest") == "b")] == [2]
    with pytest.raises(AlreadyExistsError):
        await visits.create({"guest": "a"})
    names = [key async for key in client.scan_iter(match=f"*{redis_prefix}*:index:*")]
    assert len(names) == 1
    old = RedisRepository[Any, int](RedisDatabase(client, prefix=redis_prefix), OLD)
    with pytest.raises(UsageError):
        await old.count()


async def test_a_new_unique_rule_that_is_broken_stops_the_reindexing(
    client: Redis, redis_prefix: str, filled: RedisDatabase
) -> None:
    unique_town = make_class(town=(Unique(),))

    with pytest.raises(AlreadyExistsError) as refused:
        await filled.reindex(unique_town)

    assert refused.value.fields == ("town",)
    fresh = RedisDatabase(client, prefix=redis_prefix)
    with pytest.raises(UsageError, match="other indexes"):
        await RedisRepository[Any, int](fresh, unique_town).count()


async def test_a_class_that_has_no_plan_yet_is_read_as_empty(
    client: Redis, redis_prefix: str
) -> None:
    visits = RedisRepository[Any, int](RedisDatabase(client, prefix=redis_prefix), OLD)

    assert await visits.find(ALL) == []
    assert [key async for key in client.scan_iter(match=f"*{redis_prefix}*")] == []
    with pytest.raises(NotSupportedError):
        await visits.find(field("town") == "Rome")


async def test_a_home_with_older_indexes_writes_nothing_once_they_are_made_again(
    client: Redis, redis_prefix: str, filled: RedisDatabase
) -> None:
    database = RedisDatabase(client, prefix=redis_prefix)
    old = RedisRepository[Any, int](database, OLD)
    await old.create({"guest": "d"})

    with pytest.raises(ConflictError, match="rebuilt") as overtaken:
        async with database.unit_of_work():
            await old.update(1, {"guest": "e"})
            await filled.reindex(NEW)
    with pytest.raises(UsageError, match="other indexes"):
        await old.update(1, {"guest": "e"})

    assert overtaken.value.retryable
    visits = RedisRepository[Any, int](filled, NEW)
    assert [v.id for v in await visits.find(field("guest") == "a")] == [1]


async def test_a_home_whose_keys_were_removed_begins_again(
    client: Redis, redis_prefix: str, filled: RedisDatabase
) -> None:
    visits = RedisRepository[Any, int](filled, OLD)
    await visits.create({"guest": "d"})
    async for key in client.scan_iter(match=f"*{redis_prefix}*"):
        await client.delete(key)

    await visits.create({"guest": "e"})

    assert [v.guest for v in await visits.get_all()] == ["e"]
    other = RedisRepository[Any, int](RedisDatabase(client, prefix=redis_prefix), NEW)
    with pytest.raises(UsageError, match="other indexes"):
        await other.create({"guest": "f"})


class Meddling(Redis):
    """Change or remove a document before the script sees it."""

    plans: list[str]
    other: Redis

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        result: Any = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py's
        if args[0] == "GET" and b":doc:" in args[1] and self.plans:
            if self.plans.pop() == "remove":
                await self.other.delete(args[1])
            else:
                await self.other.set(args[1], b'{"id":1,"town":"Oslo"}')
        return result


@pytest.mark.usefixtures("filled")
async def test_what_changes_or_goes_meanwhile_is_indexed_as_it_is(
    redis_url: str, redis_prefix: str, client: Redis
) -> None:
    async with Meddling.from_url(redis_url) as meddling:
        assert isinstance(meddling, Meddling)
        meddling.plans, meddling.other = ["remove", "change"], client
        database = RedisDatabase(meddling, prefix=redis_prefix)

        assert await database.reindex(NEW) == 2

        visits = RedisRepository[Any, int](database, NEW)
        assert await visits.count(field("town") == "Oslo") == 0
        assert [v.id for v in await visits.find(field("town") == "Rome")] == [2, 3]
