"""The contract of random histories: verbs and units together, against the reference."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from layerkit.testing.contracts.base import BaseContract, needs
from layerkit.testing.contracts.entities import OpenRepository
from layerkit.testing.contracts.item_histories import ItemMachine
from layerkit.testing.contracts.machine import Machine
from layerkit.testing.contracts.record_histories import RecordMachine
from layerkit.testing.contracts.seat_histories import SeatMachine
from layerkit.testing.contracts.value_histories import ValueMachine

_MOST_EXAMPLES = 100


class HistoriesContract(BaseContract):
    """Test the verbs together, against the reference."""

    @needs("unique", "conditions", "batches")
    async def test_random_histories_end_as_in_the_reference(
        self, open_repository: OpenRepository
    ) -> None:
        await self.play(ItemMachine, open_repository, self.entity)

    @needs("records", "unique", "conditions", "batches")
    async def test_histories_of_records_end_as_in_the_reference(
        self, open_repository: OpenRepository
    ) -> None:
        await self.play(RecordMachine, open_repository, self.record)

    @needs("composite_keys", "unique", "conditions", "batches")
    async def test_histories_of_composite_keys_end_as_in_the_reference(
        self, open_repository: OpenRepository
    ) -> None:
        await self.play(SeatMachine, open_repository, self.seat)

    @needs("unique", "conditions", "batches", "cursors")
    async def test_histories_of_readings_end_as_in_the_reference(
        self, open_repository: OpenRepository
    ) -> None:
        if self.reading is None:
            pytest.skip("no class of readings")
        await self.play(ValueMachine, open_repository, self.reading)

    async def play(
        self,
        kind: type[Machine],
        open_repository: OpenRepository,
        entity: type[Any],
    ) -> None:
        """Play random histories of *entity*."""
        members = {
            "open_repository": staticmethod(open_repository),
            "entity": entity,
            "capabilities": self.capabilities,
        }
        wanted = settings.default.max_examples if settings.default else 0
        long_run = wanted > _MOST_EXAMPLES
        # In a thread, since the machine has an event loop of its own.
        await asyncio.to_thread(
            run_state_machine_as_test,
            type("History", (kind,), members),
            settings=settings(
                max_examples=wanted // 10 if long_run else self.examples,
                stateful_step_count=15,
                # Shrinking may take minutes; what is played here is short as it is.
                phases=list(Phase) if long_run else [Phase.reuse, Phase.generate],
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
