"""What a service hands out: nobody else holds it, and nothing is copied for nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker
from typing_extensions import override

from layerkit.repository import Home, MemoryDatabase, Repository
from layerkit.service import BaseService
from layerkit.sql import Database
from tests.sql.conftest import make_tables
from tests.support.library import Author


class Kept(Repository[Author, int]):
    """Remember what the home has handed out last."""

    last: Author | None = None

    def __init__(self, home: Any) -> None:
        super().__init__(home)
        find = self._backend.find

        async def noted_find(*given: Any, **named: Any) -> Any:
            found = await find(*given, **named)
            self.last = found[0]
            return found

        vars(self._backend).update(find=noted_find)


class Caching(Repository[Author, int]):
    """Hand out what it keeps."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.kept = Author(id=1, name="Ada")

    @override
    async def get_by_id(self, entity_id: Any, *, lock: Any = None) -> Author:
        return self.kept

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[Author]:
        return [self.kept]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_a_home_hands_out_outside_of_a_unit_is_not_copied_again(
    kind: str, tmp_path: Path
) -> None:
    home: Home = MemoryDatabase()
    if kind == "sqlite":
        home = Database(f"sqlite:///{tmp_path / 'a.db'}")
        await make_tables(home.engine)
    authors = Kept(home)
    service = BaseService[Author, int](authors)
    await authors.create({"name": "Ada"})

    assert await service.get_entity(1) is authors.last
    assert (await service.list_entities())[0] is authors.last
    async with service.unit_of_work():
        assert await service.get_entity(1) is not authors.last
        assert (await service.list_entities())[0] is not authors.last
    if isinstance(home, Database):
        await home.close()


async def test_what_a_session_holds_is_copied(tmp_path: Path) -> None:
    sqlite = Database(f"sqlite:///{tmp_path / 'b.db'}")
    await make_tables(sqlite.engine)
    await Repository[Author, int](sqlite, Author).create({"name": "Ada"})
    async with async_sessionmaker(sqlite.engine)() as session:
        service = BaseService[Author, int](Repository[Author, int](session, Author))
        shown = await service.get_entity(1)
        held = await session.get_one(Author, 1)

        assert shown is not held
        assert (await service.list_entities())[0] is not held
    await sqlite.close()


async def test_what_an_override_keeps_is_copied() -> None:
    authors = Caching(MemoryDatabase())
    service = BaseService[Author, int](authors)

    assert await service.get_entity(1) is not authors.kept
    assert (await service.list_entities())[0] is not authors.kept


async def test_a_repository_may_have_its_verbs_as_attributes() -> None:
    authors = Caching(MemoryDatabase())
    verbs: Any = SimpleNamespace(get_by_id=authors.get_by_id, get_all=authors.get_all)
    service = BaseService[Author, int](verbs)

    assert await service.get_entity(1) is not authors.kept
    assert (await service.list_entities())[0] is not authors.kept
