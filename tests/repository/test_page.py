"""Pages that would begin again where they began."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typing_extensions import override

from layerkit.core.errors import UsageError
from layerkit.repository import (
    ALL,
    Backend,
    EntityAdapter,
    Lock,
    MemoryDatabase,
    Order,
    Repository,
    Specification,
    field,
)
from layerkit.repository.stores.memory import MemoryBackend, MemoryTransaction

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Visit:
    """Be sorted by a time."""

    at: datetime
    id: int | None = None


class Forgetful(MemoryBackend[Any]):
    """Find the same rows, wherever a page begins."""

    @override
    async def find(
        self,
        unit: MemoryTransaction,
        where: Specification,
        orders: Sequence[Order],
        skip: int,
        limit: int,
        *,
        lock: Lock | None = None,
    ) -> list[Any]:
        return await super().find(unit, ALL, orders, skip, limit, lock=lock)


class Home(MemoryDatabase):
    """Hand out such a backend."""

    @override
    def backend(self, adapter: EntityAdapter[Any]) -> Backend[Any]:
        super().backend(adapter)
        return Forgetful(adapter)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("order", [(), field("at").asc(), field("at").desc()], ids=str)
async def test_a_page_that_would_begin_where_the_last_one_began_is_refused(
    size: int, order: Any
) -> None:
    visits = Repository[Visit, int](Home(), Visit)
    for n in range(4):
        await visits.create(Visit(_NOON + timedelta(seconds=n // 2)))
    page = await visits.paginate(order_by=order, size=size)

    with pytest.raises(UsageError, match="would begin again where"):
        for _ in range(4):
            page = await visits.paginate(
                order_by=order, size=size, cursor=page.next_cursor
            )
    with pytest.raises(UsageError, match="would begin again where"):
        async for _ in visits.stream(order_by=order, batch_size=size):
            pass


async def test_the_way_back_from_a_page_that_begins_again_is_not_refused() -> None:
    visits = Repository[Visit, int](Home(), Visit)
    await visits.create_many([Visit(_NOON) for _ in range(4)])
    page = await visits.paginate(size=2)

    last = await visits.paginate(size=4, cursor=page.next_cursor)

    assert (last.next_cursor, last.previous_cursor is None) == (None, False)


async def test_a_page_after_all_that_is_gone_leads_back_entity_by_entity() -> None:
    visits = Repository[Visit, int](MemoryDatabase(), Visit)
    await visits.create_many([Visit(_NOON) for _ in range(4)])
    page = await visits.paginate(size=3)
    await visits.delete(4)
    page = await visits.paginate(size=1, cursor=page.next_cursor)
    assert page.items == []

    for number in (3, 2, 1):
        page = await visits.paginate(size=1, cursor=page.previous_cursor)
        assert [visit.id for visit in page.items] == [number]

    assert page.previous_cursor is None
