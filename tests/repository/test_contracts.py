"""The contracts on MemoryDatabase: dataclasses, pydantic models, mapped classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel
from typing_extensions import override

from layerkit.repository import MemoryDatabase, Repository, Unique
from layerkit.testing.contracts import OpenRepository, Reading, UnitOfWorkContract
from tests.support.entities import (
    MappedItem,
    MappedReading,
    MappedRecord,
    MappedSale,
    MappedSeat,
)


@asynccontextmanager
async def open_in_memory(entity: type[Any]) -> AsyncIterator[Any]:
    yield Repository(MemoryDatabase(), entity)


class TestDataclassesInMemory(UnitOfWorkContract):
    reading: ClassVar[type[Any] | None] = Reading

    @pytest.fixture
    @override
    def open_repository(self) -> OpenRepository:
        return open_in_memory


class PydanticItem(BaseModel):
    name: Annotated[str, Unique()]
    qty: int | None = None
    note: str | None = None
    id: int | None = None


@pytest.mark.unmeasured
class TestPydanticModelsInMemory(TestDataclassesInMemory):
    entity: ClassVar[type[Any]] = PydanticItem


@dataclass(slots=True)
class SlottedItem:
    name: Annotated[str, Unique()]
    qty: int | None = None
    note: str | None = None
    id: int | None = None


@pytest.mark.unmeasured
class TestSlottedDataclassesInMemory(TestDataclassesInMemory):
    examples: ClassVar[int] = 60  # memory is fast
    entity: ClassVar[type[Any]] = SlottedItem


@pytest.mark.unmeasured
class TestMappedClassesInMemory(TestDataclassesInMemory):
    entity: ClassVar[type[Any]] = MappedItem
    record: ClassVar[type[Any]] = MappedRecord
    seat: ClassVar[type[Any]] = MappedSeat
    sale: ClassVar[type[Any]] = MappedSale
    reading: ClassVar[type[Any] | None] = MappedReading
