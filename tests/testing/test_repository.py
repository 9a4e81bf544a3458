"""MockRepository stores for real, records, and fails when told to."""

from dataclasses import dataclass

import pytest

from layerkit import MemoryDatabase, UnavailableError, field
from layerkit.testing import MockRepository


@dataclass
class Book:
    title: str
    id: int | None = None


class MockBooks(MockRepository[Book, int]):
    async def titled(self, title: str) -> Book | None:
        return await self.find_one(field("title") == title)


async def test_verbs_are_stored_and_recorded_once_each() -> None:
    books = MockBooks()

    emma = await books.create(Book("Emma"))
    found = await books.titled("Emma")

    assert found == emma
    assert books.calls == ["create", "find_one"]


async def test_a_planned_failure_comes_before_anything_is_done() -> None:
    books = MockBooks()
    books.fail_next(UnavailableError(), method="create")

    with pytest.raises(UnavailableError):
        await books.create(Book("Emma"))

    assert books.calls == ["create"]
    assert await books.count() == 0


async def test_a_planned_failure_rolls_back_the_unit_around_it() -> None:
    books = MockBooks()
    books.fail_next(UnavailableError(), method="update")

    with pytest.raises(UnavailableError):
        async with books.unit_of_work():
            emma = await books.create(Book("Emma"))
            await books.update(emma.id or 0, {"title": "Lady Susan"})

    assert await books.count() == 0


async def test_the_double_takes_a_database_and_a_class() -> None:
    database = MemoryDatabase()
    first = MockRepository(database, Book)
    second = MockRepository(database, Book)

    await first.create(Book("Emma"))

    assert await second.count() == 1
    assert first.calls == ["create"]
