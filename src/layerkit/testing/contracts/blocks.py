"""Blocks of a unit: what is inside another one, savepoints, hooks and events."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.repository import field
from layerkit.testing.contracts.base import BaseContract, needs, refused
from layerkit.testing.contracts.units import (
    Failure,
    RecordingSink,
    cancelled,
    only_rolled_back,
    outside,
    undone,
)


class BlocksContract(BaseContract):
    """Test what the blocks of one unit do to each other."""

    # Nesting

    async def test_an_inner_block_joins_the_outer_one(self, items: Any) -> None:
        async with items.unit_of_work():
            async with items.unit_of_work():
                await items.create(self.make("a"))
            between = await outside(items.count())
            await items.create(self.make("b"))

        assert between == 0
        assert await items.count() == 2

    async def test_an_inner_failure_after_a_write_undoes_all(self, items: Any) -> None:
        async with only_rolled_back(items, match="Failure"):
            await items.create(self.make("outer"))
            async with undone(items.unit_of_work()):
                await items.create(self.make("inner"))
            await refused(UnitOfWorkError, items.count())

        assert await items.count() == 0

    async def test_an_inner_failure_without_a_write_is_caught(self, items: Any) -> None:
        async with items.unit_of_work():
            await items.create(self.make("outer"))
            with pytest.raises(ValidationError):
                async with items.unit_of_work():
                    await items.update(1, {"nope": 1})

        assert await items.count() == 1

    @pytest.mark.parametrize("written_by", ["nothing", "a read", "a savepoint"])
    async def test_an_inner_failure_after_a_changed_attribute_rolls_back_the_whole(
        self, items: Any, written_by: str
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        async with (
            only_rolled_back(items, match="Failure"),
            undone(items.unit_of_work()) as inner,
        ):
            (await items.get_by_id(created.id)).qty = 2
            if written_by == "a read":
                await items.count()
            elif written_by == "a savepoint":
                with pytest.raises(ValidationError):
                    async with inner.savepoint():
                        await items.update(created.id, {"nope": 1})

        assert await self.held(items) == {"a": 1}

    async def test_a_change_before_an_inner_failure_is_kept(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=1))
        async with items.unit_of_work():
            (await items.get_by_id(created.id)).qty = 2
            async with undone(items.unit_of_work()):
                await items.count()

        assert await self.held(items) == {"a": 2}

    @needs("conditions")
    async def test_a_refused_guard_undoes_no_changed_attribute(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        guard = field("qty") == 1
        async with items.unit_of_work():
            item = await items.get_by_id(created.id)
            item.qty = 2
            with pytest.raises(ConflictError):
                await items.update(created.id, {"note": "x"}, when=guard)
            item.qty = 3
            await refused(ConflictError, items.delete(created.id, when=guard))

        assert await self.held(items) == {"a": 3}

    @needs("unique")
    async def test_a_caught_duplicate_marks_the_unit(self, items: Any) -> None:
        for again in (
            lambda _: items.create(self.make("a")),
            items.create,
            lambda item: items.create_many([item]),
        ):
            async with only_rolled_back(items, match="savepoint"):
                item = await items.create(self.make("a"))
                await refused(AlreadyExistsError, again(item))

        assert await items.count() == 0

    async def test_a_block_is_entered_once(self, items: Any) -> None:
        unit = items.unit_of_work()
        async with unit:
            pass

        with pytest.raises(UnitOfWorkError):
            await unit.__aenter__()
        with pytest.raises(UnitOfWorkError):
            unit.after_commit(lambda: None)

    # Savepoints

    @needs("unique")
    async def test_a_savepoint_lets_a_caught_error_pass(self, items: Any) -> None:
        async with items.unit_of_work() as unit:
            await items.create(self.make("a"))
            with pytest.raises(AlreadyExistsError):
                async with unit.savepoint():
                    await items.create(self.make("lost"))
                    await items.create(self.make("a"))
            await items.create(self.make("b"))

        assert await self.names(items) == "ab"

    @needs("unique")
    async def test_what_a_savepoint_can_not_write_first_makes_the_unit_rollback_only(
        self, items: Any
    ) -> None:
        await items.create(self.make("a"))
        created = await items.create(self.make("b"))
        async with only_rolled_back(items, match="only roll back") as unit:
            (await items.get_by_id(created.id)).name = "a"
            with pytest.raises(AlreadyExistsError):
                await unit.savepoint().__aenter__()
            await refused(UnitOfWorkError, items.count(), match="only roll back")

        assert await self.names(items) == "ab"

    @needs("unique")
    async def test_what_can_not_be_written_before_a_savepoint_goes_with_the_outer_one(
        self, items: Any
    ) -> None:
        await items.create(self.make("a"))
        created = await items.create(self.make("b"))
        async with items.unit_of_work() as unit:
            item = await items.get_by_id(created.id)
            with pytest.raises(AlreadyExistsError):
                async with unit.savepoint():
                    item.name = "a"
                    await unit.savepoint().__aenter__()
            item.qty = 7

        assert await self.held(items) == {"a": None, "b": 7}

    async def test_a_savepoint_commits_with_its_unit(self, items: Any) -> None:
        async with undone(items.unit_of_work()) as unit, unit.savepoint():
            await items.create(self.make("lost"))
        async with items.unit_of_work() as unit, unit.savepoint():
            await items.create(self.make("a"))
            async with unit.savepoint():
                await items.create(self.make("b"))

        assert await self.names(items) == "ab"

    async def test_a_rolled_back_savepoint_restores_objects(self, items: Any) -> None:
        ids = [(await items.create(self.make(name, qty=1))).id for name in "abc"]
        async with items.unit_of_work() as unit:
            held = await items.get_by_id(ids[2])
            async with undone(unit.savepoint()):
                held.qty = 2
                await items.count()
                read = await items.get_by_id(ids[0])
                updated = await items.update(ids[1], {"qty": 7})
                created = await items.create(self.make("d", qty=1))
            assert (held.qty, updated.qty) == (1, 1)
            created.qty = 9
            assert await items.get_by_id(ids[0]) is read
            assert await items.get_by_id(ids[1]) is updated
            read.qty = 2
            updated.name = "e"
            assert await items.count(field("qty") == 2) == 1

        assert await self.held(items) == {"a": 2, "e": 1, "c": 1}

    # Hooks and events

    async def test_hooks_run_after_the_commit_in_their_order(self, items: Any) -> None:
        seen: list[tuple[str, int]] = []

        async def hook() -> None:
            seen.append(("async", await items.count()))

        async with items.unit_of_work() as unit:
            unit.after_commit(hook)
            unit.after_commit(lambda: seen.append(("sync", 0)))
            await items.create(self.make("a"))
            assert seen == []

        assert seen == [("async", 1), ("sync", 0)]

    async def test_hooks_and_events_are_lost_with_their_block(self, items: Any) -> None:
        sink = RecordingSink()

        async with undone(items.unit_of_work(events=sink)) as unit:
            sink.leave(unit, "lost")
        async with items.unit_of_work(events=sink) as unit:
            sink.leave(unit, "first")
            async with undone(unit.savepoint()):
                sink.leave(unit, "lost")
            sink.leave(unit, "last")

        assert sink.told == sink.published == ["first", "last"]

    async def test_a_failing_hook_stops_nothing_else(self, items: Any) -> None:
        sink = RecordingSink()

        def failing() -> None:
            raise Failure

        async with items.unit_of_work(events=sink) as unit:
            unit.after_commit(failing)
            sink.leave(unit, "a")
            await items.create(self.make("a"))

        assert sink.told == sink.published == ["a"]
        assert await items.count() == 1

    async def test_hooks_and_events_wait_for_the_commit(self, items: Any) -> None:
        sink = RecordingSink()
        async with items.unit_of_work(events=sink) as outer:
            sink.leave(outer, "first")
            async with items.unit_of_work() as inner:
                sink.leave(inner, "second")
            assert sink.told == sink.published == []

        assert sink.told == sink.published == ["first", "second"]

    async def test_an_event_needs_a_sink_and_a_unit_has_one(self, items: Any) -> None:
        with pytest.raises(UsageError, match="a bus or an outbox, got a str"):
            items.unit_of_work(events="bus")
        async with items.unit_of_work() as unit:
            with pytest.raises(UsageError, match="events="):
                unit.emit("event")
        async with items.unit_of_work(events=RecordingSink()) as unit:
            with pytest.raises(UsageError, match="no event"):
                unit.emit(None)
            with pytest.raises(UsageError, match="one sink"):
                await items.unit_of_work(events=RecordingSink()).__aenter__()

    async def test_a_cancelled_commit_runs_to_its_end(self, items: Any) -> None:
        committing = asyncio.Event()

        class Sink(RecordingSink):
            @override
            async def before_commit(self, events: Sequence[object]) -> None:
                committing.set()
                await asyncio.sleep(0)

        sink = Sink()

        async def work() -> None:
            async with items.unit_of_work(events=sink) as unit:
                await items.create(self.make("a"))
                sink.leave(unit, "a")

        await cancelled(work(), committing)

        assert await items.count() == 1
        assert sink.told == ["a"]
