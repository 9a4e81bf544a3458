"""Locks: what a unit has read to write it, nobody else writes meanwhile."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from layerkit.core.errors import NotSupportedError, UsageError
from layerkit.repository import field
from layerkit.testing.contracts.base import BaseContract, lacks, needs, refused

Reading = Callable[[Any, Any], Awaitable[Any]]


async def _first(items: Any, name: str) -> Any:
    return (await items.find(field("name") == name, lock="wait"))[0]


READINGS: dict[str, Reading] = {
    "get_by_id": lambda items, item: items.get_by_id(item.id, lock="wait"),
    "find": lambda items, item: _first(items, item.name),
    "find_one": lambda items, item: items.find_one(
        field("name") == item.name, lock="wait"
    ),
}
"""Each verb that takes ``lock``, as it reads one entity."""


class LocksContract(BaseContract):
    """Test ``lock=`` of the verbs that read."""

    @needs("locks", "transactions")
    @pytest.mark.parametrize("verb", READINGS)
    async def test_racing_units_that_lock_what_they_read_lose_nothing(
        self, items: Any, verb: str
    ) -> None:
        made = await items.create(self.make("a", qty=0))

        async def work() -> None:
            async with items.unit_of_work():
                await items.get_by_id(made.id)  # which may be stale at the lock
                found = await READINGS[verb](items, made)
                counted = found.qty + 1
                await items.count()
                await items.update(made.id, {"qty": counted})

        await self.at_once(*(work() for _ in range(5)))

        assert (await items.get_by_id(made.id)).qty == 5

    @needs("locks", "transactions")
    async def test_a_lock_needs_a_unit_that_ends_it(self, items: Any) -> None:
        made = await items.create(self.make("a"))

        for reading in READINGS.values():
            await refused(UsageError, reading(items, made), match="unit of work")

    @lacks("locks")
    async def test_a_lock_is_refused_where_there_is_none(self, items: Any) -> None:
        made = await items.create(self.make("a"))
        has_units = self.capabilities.transactions

        for reading in READINGS.values():
            with pytest.raises(NotSupportedError):
                async with (
                    items.unit_of_work() if has_units else contextlib.nullcontext()
                ):
                    await reading(items, made)
