"""Batches that are returned: whose keys they get, on SQLite."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from layerkit import Repository, ValidationError
from layerkit.sql import Database, statements
from tests.support.entities import Base, MappedItem


class Items(Repository[MappedItem, int]): ...


async def test_a_batch_past_the_last_key_of_sqlite_is_refused_and_not_mixed_up() -> (
    None
):
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        items = Items(database)
        await items.create({"id": 2**63 - 1, "name": "last"})

        async with items.unit_of_work() as unit:
            with pytest.raises(ValidationError):
                async with unit.savepoint():
                    rows = [{"name": f"n{n}"} for n in range(9)]
                    await items.create_many(rows, returning=True)

        assert await items.count() == 1


async def test_a_session_of_ones_own_on_sqlite_keeps_the_budget_and_its_engine() -> (
    None
):
    engine = create_async_engine("sqlite+aiosqlite://")
    usual = engine.dialect.insertmanyvalues_implicit_sentinel
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        items = Items(session)
        with statements(max=2):
            await items.create_many([{"name": "b"}, {"name": "a"}], returning=True)
            rows = [{"name": "d"}, {"name": "c"}]
            made = await items.create_many(rows, returning=True)

        assert [(item.id, item.name) for item in made] == [(3, "d"), (4, "c")]
        connection = await session.connection()
        assert connection.dialect.insertmanyvalues_implicit_sentinel == usual
    await engine.dispose()
