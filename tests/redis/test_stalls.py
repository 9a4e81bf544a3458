"""A Redis that stops answering: how long a commit waits for it."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from layerkit.core.errors import UnavailableError, UsageError
from layerkit.redis import RedisDatabase, RedisRepository
from tests.support.proxies import silent_proxy

MOMENT = 0.3
BOUND = 60  # far beyond what is waited for, and far below for ever


@dataclass
class Note:
    text: str
    id: int | None = None


class Notes(RedisRepository[Note, int]): ...


async def test_a_commit_without_an_answer_ends_and_may_be_stored(
    redis_url: str, redis_prefix: str
) -> None:
    server = urlsplit(redis_url)
    async with silent_proxy(str(server.hostname), server.port or 6379) as proxy:
        client = Redis(host="127.0.0.1", port=proxy.port, socket_timeout=None)
        home = RedisDatabase(client, prefix=redis_prefix, commit_timeout_seconds=MOMENT)
        notes = Notes(home)
        await notes.create({"text": "before"})

        with pytest.raises(UnavailableError, match=r" 0.3 .* may be stored") as caught:
            async with asyncio.timeout(BOUND), home.unit_of_work():
                lost = await notes.create({"text": "lost"})
                proxy.fall_silent_at(b"EVALSHA")
        proxy.speak_again()

        assert not caught.value.retryable
        assert lost.id == 2  # so that the caller can look for it
        assert [note.text for note in await notes.get_all()] == ["before"]
        await client.aclose()


def test_a_commit_time_out_is_above_zero() -> None:
    with pytest.raises(UsageError, match="commit_timeout_seconds"):
        RedisDatabase(Redis(), commit_timeout_seconds=0)
