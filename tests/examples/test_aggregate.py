"""The aggregate example on memory, SQLite, PostgreSQL and Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from examples.aggregate import Order, OrderPaid, Orders, pay, tables
from layerkit import BusinessRuleError, MemoryDatabase
from layerkit.redis import RedisDatabase
from layerkit.sql import Database
from layerkit.testing import MockEventBus


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis"])
async def orders(request: pytest.FixtureRequest) -> AsyncIterator[Orders]:
    match request.param:
        case "memory":
            yield Orders(MemoryDatabase())
        case "redis":
            url = request.getfixturevalue("redis_url")
            prefix = request.getfixturevalue("redis_prefix")
            async with Redis.from_url(url) as client:
                yield Orders(RedisDatabase(client, prefix=prefix))
        case name:
            is_sqlite = name == "sqlite"
            url = "sqlite://" if is_sqlite else request.getfixturevalue("postgres_url")
            async with Database(url) as database:
                await database.create_all(tables.metadata)
                yield Orders(database)


@pytest.fixture
def bus() -> MockEventBus:
    return MockEventBus()


async def stored(orders: Orders, order_id: int) -> tuple[list[int], str, int | None]:
    found = await orders.get_by_id(order_id)
    assert found is not None
    return list(found.payments), found.state, found.version


@pytest.mark.defect("R44")
async def test_an_aggregate_changes_itself_and_its_events_leave_after_the_commit(
    orders: Orders, bus: MockEventBus
) -> None:
    made = await orders.create(Order(total=100))
    assert made.id is not None

    await pay(orders, bus, made.id, 30, 10)
    assert await stored(orders, made.id) == ([30, 10], "open", 2)
    await pay(orders, bus, made.id, 60)

    assert await stored(orders, made.id) == ([30, 10, 60], "paid", 3)
    assert [event.data for event in bus.published] == [OrderPaid(order_id=made.id)]


async def test_a_rule_that_is_broken_undoes_all_and_no_event_leaves(
    orders: Orders, bus: MockEventBus
) -> None:
    made = await orders.create(Order(total=100))
    assert made.id is not None

    with pytest.raises(BusinessRuleError):
        await pay(orders, bus, made.id, 100, 1)

    assert await stored(orders, made.id) == ([], "open", 1)
    assert bus.published == []


async def test_payments_at_once_are_all_taken_and_one_of_them_is_the_last(
    orders: Orders, bus: MockEventBus
) -> None:
    made = await orders.create(Order(total=5))
    order_id = made.id
    assert order_id is not None

    async def pay_one() -> None:
        await orders.home.run(lambda _: pay(orders, bus, order_id, 1), attempts=100)

    await asyncio.gather(*(pay_one() for _ in range(5)))

    assert await stored(orders, order_id) == ([1] * 5, "paid", 6)
    assert len(bus.published) == 1
