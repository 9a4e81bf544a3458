"""A server that dies, and one that comes back, under a home that stays."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnectionError
from typing_extensions import override

from layerkit.core.errors import UnavailableError
from layerkit.redis import RedisDatabase, RedisRepository
from layerkit.repository import Unique, field
from tests.support.servers import ValkeyServer, find_valkey, unavailable


@dataclass
class Letter:
    text: Annotated[str, Unique()]
    id: int | None = None


class Mortal(ValkeyServer):
    """A server that keeps what it is given, can be killed, and started again."""

    @override
    def _command(self) -> Sequence[str | Path]:
        kept = ("--appendonly", "yes", "--appendfsync", "always")
        return [*super()._command()[:-2], *kept]

    def kill(self) -> None:
        """Kill the server and the shell that keeps it: they have a session."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)

    def revive(self) -> None:
        """Start it again where it was."""
        assert self._start_once()


@pytest.fixture
def server() -> Iterator[Mortal]:
    program = find_valkey()
    if program is None:
        unavailable("Redis or Valkey", "LAYERKIT_TEST_REDIS_URL")
    with Mortal(program) as started:
        yield started


@pytest.fixture
async def letters(server: Mortal) -> AsyncIterator[RedisRepository[Letter, int]]:
    retry = Retry(NoBackoff(), 1)  # for a connection that died in the pool
    lost = [LostConnectionError]  # redis-py before 6 retries what it is told to
    async with Redis.from_url(server.url, retry=retry, retry_on_error=lost) as client:
        database = RedisDatabase(client, prefix="post")
        yield RedisRepository[Letter, int](database, Letter)


async def test_a_server_that_dies_keeps_whole_units_and_all_that_it_acknowledged(
    server: Mortal, letters: RedisRepository[Letter, int]
) -> None:
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def post(name: str) -> None:
        for number in range(10_000):
            pair = f"{name}{number}"
            async with letters.unit_of_work():
                await letters.create(Letter(f"{pair}/1"))
                await letters.create(Letter(f"{pair}/2"))
            acknowledged.append(pair)
            if len(acknowledged) > 20:
                enough.set()

    posts = [asyncio.create_task(post(name)) for name in "abcd"]
    await enough.wait()
    server.kill()
    ends = await asyncio.gather(*posts, return_exceptions=True)
    with pytest.raises(UnavailableError):
        await letters.count()
    server.revive()

    assert {type(end) for end in ends} == {UnavailableError}
    stored = [letter.text async for letter in letters.stream()]
    pairs = {text.partition("/")[0] for text in stored}
    assert set(acknowledged) <= pairs
    assert len(stored) == 2 * len(pairs) == await letters.count()
    for text in stored:
        assert await letters.count(field("text") == text) == 1


async def test_a_home_goes_on_when_its_server_is_back(
    server: Mortal, letters: RedisRepository[Letter, int]
) -> None:
    first = await letters.create(Letter("a"))
    server.kill()
    server.revive()

    second = await letters.create(Letter("b"))

    assert (first.id, second.id) == (1, 2)
    assert [letter.text for letter in await letters.get_all()] == ["a", "b"]
