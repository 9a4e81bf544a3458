"""Statements are counted where they are sent, and held to a budget."""

import asyncio
import contextvars

import pytest
from sqlalchemy import text

from layerkit import Repository
from layerkit.sql import Database, TooManyStatementsError, statements
from tests.support.entities import Base, MappedItem


@pytest.fixture
async def items(sqlite: Database) -> Repository[MappedItem, int]:
    async with sqlite.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return Repository(sqlite, MappedItem)


Items = Repository[MappedItem, int]


async def test_a_budget_that_is_kept_passes(items: Items) -> None:
    with statements(max=2) as seen:
        made = await items.create({"name": "a"})
        await items.get_by_id(made.id)

    assert seen.count == 2
    assert seen.sql[0].startswith("INSERT INTO items")
    assert "'a'" not in " ".join(seen.sql)


async def test_a_budget_that_is_exceeded_lists_what_was_sent(items: Items) -> None:
    with pytest.raises(TooManyStatementsError) as exceeded, statements(max=1):
        await items.count()
        await items.exists(1)

    assert "2 SQL statements were sent, and at most 1 may be" in str(exceeded.value)
    assert "\n  2. SELECT 1" in str(exceeded.value)


async def test_transaction_control_does_not_count(items: Items) -> None:
    with statements(max=1):
        async with items.unit_of_work() as unit, unit.savepoint():
            await items.create({"name": "a"})


async def test_sqlite_is_no_server_to_wait_for(items: Items) -> None:
    with statements(max_round_trips=0) as seen:
        async with items.unit_of_work():
            await items.create({"name": "a"})

    assert (seen.count, seen.round_trips, seen.sent) == (1, 0, [])


async def test_blocks_nest_and_stay_in_their_task(items: Items) -> None:
    async def other() -> None:
        with statements(max=1):
            await items.count()

    with statements() as outer:
        with statements(max=1) as inner:
            await items.count()
        await asyncio.gather(other(), other())
    await items.count()

    assert (inner.count, outer.count) == (1, 3)


async def test_an_error_inside_is_the_one_that_is_shown(items: Items) -> None:
    with pytest.raises(ZeroDivisionError), statements(max=0):
        await items.count()
        raise ZeroDivisionError


async def test_statements_of_ones_own_count_too(items: Items) -> None:
    home = items.home
    assert isinstance(home, Database)

    with statements() as seen:
        async with home.engine.connect() as connection:
            await connection.execute(text("\n select 1"))

    assert seen.sql == ["select 1"]


async def test_a_connection_that_is_invalid_is_rolled_back_as_ever(
    items: Items,
) -> None:
    home = items.home
    assert isinstance(home, Database)

    async with home.engine.connect() as connection:
        await connection.execute(text("select 1"))
        await connection.invalidate()
        await connection.rollback()

        assert await connection.scalar(text("select 2")) == 2


async def test_a_task_that_outlives_the_block_counts_no_more(items: Items) -> None:
    counted, ended = asyncio.Event(), asyncio.Event()

    async def later() -> None:
        await items.count()
        counted.set()
        await ended.wait()
        await items.count()

    with statements() as seen:
        task = asyncio.create_task(later())
        await counted.wait()
    ended.set()
    await task

    assert seen.count == 1


def test_a_block_is_left_in_another_context_than_it_was_entered_in() -> None:
    block = statements(max=1)

    contextvars.Context().run(block.__enter__)

    assert contextvars.Context().run(block.__exit__, None, None, None) is False
