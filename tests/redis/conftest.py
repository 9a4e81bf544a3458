"""A client of the shared server, and homes on it."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from layerkit.redis import RedisDatabase


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
def database(client: Redis, redis_prefix: str) -> RedisDatabase:
    return RedisDatabase(client, prefix=redis_prefix)
