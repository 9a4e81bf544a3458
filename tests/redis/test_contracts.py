"""The contracts on Redis: dataclasses, pydantic models, mapped classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis
from typing_extensions import override

from layerkit.redis import RedisDatabase
from layerkit.repository import Indexed, Repository, Unique
from layerkit.testing.contracts import Capabilities, OpenRepository, UnitOfWorkContract
from tests.support.entities import (
    MappedItem,
    MappedReading,
    MappedRecord,
    MappedSale,
    MappedSeat,
)


class TestDataclassesInRedis(UnitOfWorkContract):
    capabilities: ClassVar[Capabilities] = Capabilities(locks=False, optimistic=True)
    decode_responses: ClassVar[bool] = False

    @pytest.fixture
    @override
    def open_repository(self, redis_url: str, redis_prefix: str) -> OpenRepository:
        prefixes = (f"{redis_prefix}{number}" for number in count())

        @asynccontextmanager
        async def open_redis(entity: type[Any]) -> AsyncIterator[Any]:
            async with Redis.from_url(
                redis_url, decode_responses=self.decode_responses
            ) as client:
                database = RedisDatabase(client, prefix=next(prefixes), allow_scan=True)
                yield Repository(database, entity)

        return open_redis


class PydanticItem(BaseModel):
    """An item with indexes, which every way of writing has to keep."""

    name: Annotated[str, Unique()]
    qty: Annotated[int | None, Indexed()] = None
    note: Annotated[str | None, Indexed()] = None
    id: int | None = None


@pytest.mark.unmeasured
class TestPydanticModelsInRedis(TestDataclassesInRedis):
    decode_responses: ClassVar[bool] = True
    examples: ClassVar[int] = 8
    entity: ClassVar[type[Any]] = PydanticItem


@pytest.mark.unmeasured
class TestMappedClassesInRedis(TestDataclassesInRedis):
    examples: ClassVar[int] = 8
    entity: ClassVar[type[Any]] = MappedItem
    record: ClassVar[type[Any]] = MappedRecord
    seat: ClassVar[type[Any]] = MappedSeat
    sale: ClassVar[type[Any]] = MappedSale
    reading: ClassVar[type[Any] | None] = MappedReading
