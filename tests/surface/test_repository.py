"""The textbook's repository: names, signatures and shapes, to the letter."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from layerkit import ALL, BaseRepository, Page, UnitOfWorkError, UsageError, field
from layerkit.sql import Database, SQLRepository
from tests.support.entities import Base, MappedItem

SIX = {
    "create": "(self, entity: ~T) -> ~T",
    "get_by_id": "(self, entity_id: ~ID) -> Optional[~T]",
    "get_all": "(self, skip: int = 0, limit: int = 100) -> list[~T]",
    "update": (
        "(self, entity_id: ~ID, update_data: dict[str, typing.Any]) -> Optional[~T]"
    ),
    "delete": "(self, entity_id: ~ID) -> bool",
    "exists": "(self, entity_id: ~ID) -> bool",
}


def plain(signature: str) -> str:
    return signature.replace("typing.Optional", "Optional").replace(" ", "")


def test_the_six_verbs_are_abstract_with_the_textbooks_signatures() -> None:
    assert BaseRepository.__abstractmethods__ == set(SIX)
    for name, signature in SIX.items():
        verb = getattr(BaseRepository, name)
        assert inspect.iscoroutinefunction(verb)
        assert plain(str(inspect.signature(verb))) == plain(signature)


def test_a_page_is_a_frozen_generic_dataclass() -> None:
    page: Page[int] = Page([1], total=1, has_next=False)

    names = [f.name for f in dataclasses.fields(Page)]
    assert names == ["items", "total", "has_next", "next_cursor", "previous_cursor"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        page.total = 2  # type: ignore[misc] # it must fail at run time too


def test_the_verbs_beyond_the_six_have_the_signatures_of_the_surface() -> None:
    verbs = {
        name
        for name, verb in vars(BaseRepository).items()
        if not name.startswith("_") and name != "id_of" and callable(verb)
    }
    aggregate = inspect.signature(BaseRepository.aggregate).parameters
    create_many = inspect.signature(BaseRepository.create_many).parameters

    assert len(verbs) == 18
    assert [p.default for p in aggregate.values()][1:] == [ALL, (), True, *[()] * 4]
    assert list(aggregate)[1:] == ["where", "by", "count", "sum", "min", "max", "avg"]
    assert create_many["returning"].default is False


class ItemRepository(SQLRepository[MappedItem, int]):
    async def get_by_name(self, name: str) -> MappedItem | None:
        return await self.find_one(field("name") == name)


class NamedItemRepository(SQLRepository[Any, int]):
    model_class = MappedItem


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'surface.db'}"


@pytest.mark.parametrize(
    "make",
    [
        ItemRepository,
        NamedItemRepository,
        lambda session: SQLRepository(session, MappedItem),
    ],
)
async def test_the_model_comes_from_the_argument_the_attribute_or_the_generic(
    address: str, make: Any
) -> None:
    async with Database(address) as database, AsyncSession(database.engine) as session:
        await database.create_all(Base.metadata)

        repository = make(session)
        async with session.begin():
            created = await repository.create(MappedItem(name="a"))

            assert repository.model_class is MappedItem
            assert repository.db_session is session
            assert (await repository.get_by_id(created.id)).name == "a"


async def test_a_repository_of_a_session_has_finders_of_its_own(address: str) -> None:
    async with Database(address) as database, AsyncSession(database.engine) as session:
        await database.create_all(Base.metadata)
        repository = ItemRepository(session)
        await repository.create(MappedItem(name="a"))

        found = await repository.get_by_name("a")

        assert found is not None
        assert found.name == "a"


async def test_a_repository_takes_a_session_factory_or_a_database(address: str) -> None:
    async with Database(address) as database:
        await database.create_all(Base.metadata)

        for home in (database, async_sessionmaker(database.engine)):
            repository = ItemRepository(home)
            created = await repository.create(MappedItem(name=type(home).__name__))
            assert await repository.exists(created.id)


async def test_db_session_outside_a_unit_of_a_home_raises_and_says_so(
    address: str,
) -> None:
    async with Database(address) as database:
        repository = ItemRepository(database)

        with pytest.raises(UnitOfWorkError, match="unit_of_work"):
            _ = repository.db_session
        async with repository.unit_of_work():
            assert isinstance(repository.db_session, AsyncSession)


async def test_get_all_is_ordered_by_primary_key(address: str) -> None:
    async with Database(address) as database:
        await database.create_all(Base.metadata)
        items = ItemRepository(database)
        for number in (3, 1, 2):
            await items.create(MappedItem(id=number, name=str(number)))

        assert [item.id for item in await items.get_all()] == [1, 2, 3]
        assert [item.id for item in await items.get_all(skip=1, limit=1)] == [2]


@pytest.mark.parametrize("limit", [0, 10_001])
async def test_a_limit_out_of_bounds_is_a_usage_error(address: str, limit: int) -> None:
    async with Database(address) as database:
        with pytest.raises(UsageError, match="limit must be 1 to 10,000"):
            await ItemRepository(database).get_all(limit=limit)
