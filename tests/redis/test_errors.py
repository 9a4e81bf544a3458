"""Errors of redis-py: translated, without an address, and honest about commits."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

import pytest
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from typing_extensions import override

from layerkit.core.errors import (
    AppException,
    TimeoutExceededError,
    UnavailableError,
    UsageError,
)
from layerkit.redis import RedisDatabase, RedisRepository
from layerkit.redis.errors import translate
from layerkit.repository import Indexed, Unique, field
from tests.support.servers import free_port


@dataclass
class Page:
    text: str
    id: int | None = None


@dataclass
class Shelf:
    name: Annotated[str, Unique()]
    room: Annotated[str, Indexed()]
    id: int | None = None


SECRET = "hunter2@10.1.2.3:6379"


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (exceptions.ConnectionError(SECRET), UnavailableError, True),
        (ConnectionResetError(SECRET), UnavailableError, True),
        (exceptions.BusyLoadingError(SECRET), UnavailableError, True),
        (exceptions.MaxConnectionsError(SECRET), UnavailableError, True),
        (exceptions.TimeoutError(SECRET), TimeoutExceededError, True),
        (TimeoutError(SECRET), TimeoutExceededError, True),
        (exceptions.OutOfMemoryError(SECRET), UnavailableError, True),
        (exceptions.ReadOnlyError(SECRET), UnavailableError, True),
        (exceptions.ResponseError(f"MISCONF {SECRET}"), UnavailableError, True),
        (exceptions.ResponseError(f"OOM {SECRET}"), UnavailableError, True),
        (exceptions.AuthenticationError(SECRET), UnavailableError, False),
        (exceptions.NoPermissionError(SECRET), UnavailableError, False),
        (exceptions.ResponseError("WRONGTYPE a key"), UsageError, False),
        (exceptions.ResponseError("unknown command"), UsageError, False),
    ],
)
def test_an_error_of_the_driver_becomes_one_of_ours(
    error: Exception, kind: type[AppException], retryable: bool
) -> None:
    translated = translate(error)

    assert type(translated) is kind
    assert translated.retryable is retryable
    assert "hunter2" not in str(translated.to_dict())
    assert "10.1.2.3" not in str(translated)


def test_refused_credentials_are_no_client_s_business() -> None:
    translated = translate(exceptions.AuthenticationError("WRONGPASS"))

    assert not translated.public
    assert "password" in str(translated)
    assert "password" not in str(translated.to_dict())


def test_what_redis_says_of_a_command_is_shown_without_secrets() -> None:
    refused = exceptions.ResponseError("no AUTH for redis://ada:hunter2@cache:6379")

    error = translate(refused)

    assert str(error) == (
        "Redis refused a command: no AUTH for redis://ada:***@cache:6379"
    )


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    client = Redis(port=free_port(), password="hunter2", retry=Retry(NoBackoff(), 0))
    database = RedisDatabase(client, prefix="a")
    pages = RedisRepository[Page, int](database, Page)

    with pytest.raises(UnavailableError, match="can't be reached") as refused:
        await pages.create(Page("a"))
    with pytest.raises(UnavailableError):
        await database.ping()

    assert "hunter2" not in str(refused.value)
    await client.aclose()


@pytest.mark.parametrize(
    "command",
    ["get", "type", "set", "del", "sadd", "srem", "zadd", "zrem", "evalsha", "incr"],
)
async def test_a_user_who_may_not_run_all_of_a_commit_stores_nothing_of_it(
    redis_url: str, redis_prefix: str, command: str
) -> None:
    async with Redis.from_url(redis_url) as client:
        shelves = RedisRepository[Shelf, int](
            RedisDatabase(client, prefix=redis_prefix), Shelf
        )
        await shelves.create(Shelf("a", "x"))
        user = f"layerkit-{uuid4().hex}"
        rules = ("on", ">hunter2", "~*", "+@all", f"-{command}")
        await client.execute_command("ACL", "SETUSER", user, *rules)  # type: ignore[no-untyped-call] # redis-py's
        try:
            async with Redis.from_url(
                redis_url, username=user, password="hunter2"
            ) as limited:
                database = RedisDatabase(limited, prefix=redis_prefix)
                others = RedisRepository[Shelf, int](database, Shelf)
                with pytest.raises(UnavailableError) as refused:
                    async with database.unit_of_work():
                        await others.update(1, {"name": "b", "room": "y"})
                        await others.create(Shelf("c", "z"))
                        await others.create(Shelf("d", "z", id=50))
        finally:
            await client.execute_command("ACL", "DELUSER", user)  # type: ignore[no-untyped-call] # redis-py's

        assert not refused.value.public
        assert "hunter2" not in str(refused.value)
        assert await shelves.get_all() == [Shelf("a", "x", id=1)]
        for name, room, number in [("a", "x", 1), ("b", "y", 0), ("d", "z", 0)]:
            assert await shelves.count(field("name") == name) == number
            assert await shelves.count(field("room") == room) == number
        assert await shelves.count() == 1


class Cut(Redis):
    """Lose the connection where a unit is to be stored."""

    error: Exception

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        result: Any = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py's
        if args[0] in {"EVAL", "EVALSHA"}:
            raise self.error
        return result


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.ConnectionError("reset"), UnavailableError),
        (exceptions.TimeoutError("late"), TimeoutExceededError),
    ],
)
async def test_a_connection_lost_in_the_commit_leaves_the_outcome_unknown(
    redis_url: str, redis_prefix: str, error: Exception, kind: type[AppException]
) -> None:
    async with Cut.from_url(redis_url) as client:
        assert isinstance(client, Cut)
        client.error = error
        pages = RedisRepository[Page, int](
            RedisDatabase(client, prefix=redis_prefix), Page
        )

        with pytest.raises(kind, match="whether it is stored is unknown") as lost:
            await pages.create(Page("a"))

        assert not lost.value.retryable


async def test_a_wrong_password_names_no_password(
    redis_url: str, redis_prefix: str
) -> None:
    async with Redis.from_url(
        redis_url, username="nobody", password="hunter2"
    ) as client:
        with pytest.raises(UnavailableError) as refused:
            await RedisDatabase(client, prefix=redis_prefix).ping()

    assert "hunter2" not in str(refused.value)
    assert not refused.value.public
