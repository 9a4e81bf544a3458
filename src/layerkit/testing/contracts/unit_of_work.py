"""UnitOfWorkContract: what stands or falls together, on every home alike."""

import asyncio
import contextlib
import contextvars
import types
from collections.abc import Coroutine, Generator, Sequence
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
from layerkit.repository import ALL, Inc, field
from layerkit.testing.contracts.base import needs
from layerkit.testing.contracts.repository import RepositoryContract


class Failure(Exception):  # noqa: N818 - raised by tests, to see what it undoes
    """Leave a block by an error that is nobody's but the test's."""


def fail_if(condition: bool) -> None:
    """Leave the block around where *condition* holds.

    Raises:
        Failure: It does.
    """
    if condition:
        raise Failure


class RecordingSink:
    """Take events as a bus does, and keep them."""

    def __init__(self) -> None:
        self.published: list[object] = []

    def check(self, event: object) -> None:
        """Refuse what is None.

        Raises:
            UsageError: *event* is None.
        """
        if event is None:
            raise UsageError("no event")

    async def before_commit(self, events: Sequence[object]) -> None:
        """Have nothing to store."""

    async def after_commit(self, events: Sequence[object]) -> None:
        """Keep *events*."""
        self.published.extend(events)


async def outside(work: Coroutine[Any, Any, Any]) -> Any:
    """Run *work* as another request would: in a task that knows of no open unit."""
    return await asyncio.create_task(work, context=contextvars.Context())


async def cut_off(work: Coroutine[Any, Any, Any], at: int) -> bool:
    """Cancel *work* where it waits for the *at*-th time; False where it ended before.

    It runs as another request would, in a task that knows of no open unit.
    """

    async def run() -> None:
        await _cancelled(work, at)

    task = asyncio.create_task(run(), context=contextvars.Context())
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return task.cancelled()


@types.coroutine
def _cancelled(work: Coroutine[Any, Any, Any], at: int) -> Generator[Any, Any, None]:
    failure: BaseException | None = None
    while True:
        try:
            waited = work.send(None) if failure is None else work.throw(failure)
        except StopIteration:
            return
        at -= 1
        task = asyncio.current_task()
        if at == 0 and task is not None:
            task.cancel()
        failure = None
        try:
            yield waited
        except BaseException as error:  # noqa: BLE001 - it goes on into the work
            failure = error


class UnitOfWorkContract(RepositoryContract):
    """Test the units of work of a repository's home, and its verbs."""

    # Commit and rollback

    async def test_a_clean_exit_stores_everything(self, items: Any) -> None:
        async with items.unit_of_work():
            first = await items.create(self.make("a"))
            await items.create(self.make("b"))
            await items.update(first.id, {"qty": 3})

        assert [(i.name, i.qty) for i in await items.get_all()] == [
            ("a", 3),
            ("b", None),
        ]

    async def test_an_error_undoes_everything_and_goes_on(self, items: Any) -> None:
        kept = await items.create(self.make("kept", qty=1))

        with pytest.raises(Failure):
            async with items.unit_of_work():
                await items.create(self.make("a"))
                await items.update(kept.id, {"qty": 2})
                await items.delete(kept.id)
                raise Failure

        assert [(i.name, i.qty) for i in await items.get_all()] == [("kept", 1)]

    async def test_a_cancelled_unit_undoes_everything(self, items: Any) -> None:
        written = asyncio.Event()

        async def work() -> None:
            async with items.unit_of_work():
                await items.create(self.make("a"))
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await items.count() == 0

    async def test_a_unit_cancelled_at_any_wait_is_undone_and_lets_go_at_once(
        self, items: Any
    ) -> None:
        expected: list[str] = []
        at, was_cut_off = 0, True
        while was_cut_off:
            at += 1
            done: list[int] = []

            async def work(at: int = at, done: list[int] = done) -> None:
                async with items.unit_of_work() as unit:
                    created = await items.create(self.make(f"a{at}"))
                    await items.count()
                    await items.update(created.id, {"qty": 1})
                    async with unit.savepoint():
                        await items.get_many([created.id])
                    async for _ in items.stream(field("name") == f"a{at}"):
                        await items.create(self.make(f"b{at}"))
                    done.append(at)

            was_cut_off = await cut_off(work(), at)
            await items.create(self.make(f"next{at}"))

            expected += [f"{name}{at}" for name in "ab"] if done else []
            expected.append(f"next{at}")
            assert [i.name for i in await items.get_all(0, 10_000)] == expected

    async def test_others_see_nothing_before_the_commit(self, items: Any) -> None:
        async with items.unit_of_work():
            await items.create(self.make("a"))
            inside = await items.count()
            before = await outside(items.count())

        assert (inside, before) == (1, 0)
        assert await outside(items.count()) == 1

    async def test_a_unit_reads_what_it_has_written(self, items: Any) -> None:
        async with items.unit_of_work():
            created = await items.create(self.make("a", qty=1))
            await items.update(created.id, {"qty": 2})
            found = await items.find(field("qty") == 2)
            await items.delete(created.id)

            assert [item.name for item in found] == ["a"]
            assert await items.get_by_id(created.id) is None
            assert await items.exists(created.id) is False
            assert await items.count() == 0

    async def test_a_unit_reads_past_what_it_has_deleted(self, items: Any) -> None:
        ids = await self.fill(items)
        async with items.unit_of_work():
            await items.delete(ids["a"])
            await items.delete(ids["e"])

            first = await items.find(ALL, (), 0, 2)
            last = await items.find(ALL, field("id").desc(), 0, 2)
            page = await items.paginate(size=2)

            assert [item.name for item in (*first, *last)] == ["b", "c", "d", "c"]
            assert ([i.name for i in page.items], page.has_next) == (
                ["b", "c"],
                True,
            )
            assert await items.count(cap=4) == 3

    @needs("unique")
    async def test_a_unique_value_given_up_in_a_unit_is_free_in_it(
        self, items: Any
    ) -> None:
        ids = await self.fill(items)
        async with items.unit_of_work():
            await items.delete(ids["a"])
            await items.create(self.make("a", qty=7))
            await items.update(ids["b"], {"name": "was b"})
            await items.create(self.make("b", qty=7))
            (await items.get_by_id(ids["c"])).name = "was c"
            await items.create_many([self.make("c", qty=7)])
            await items.update(ids["d"], {"name": "e 2"})
            await items.delete(ids["e"])
            await items.update(ids["d"], {"name": "e"})

        held = {item.name: item.qty for item in await items.get_all()}
        expected = {"a": 7, "b": 7, "c": 7, "was b": 2, "was c": None, "e": 2}
        assert held == expected

    async def test_racing_units_lose_no_update(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=0))

        async def work() -> None:
            async with items.unit_of_work():
                await items.update(created.id, {"qty": Inc(1)})
                await items.update(created.id, {"qty": Inc(1)})

        await self.at_once(*(work() for _ in range(5)))

        assert (await items.get_by_id(created.id)).qty == 10

    async def test_a_read_only_unit_refuses_to_write(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=1))

        async with items.unit_of_work(read_only=True):
            found = await items.get_by_id(created.id)
            with pytest.raises(UnitOfWorkError, match="read-only"):
                await items.delete(created.id)

        assert found.name == "a"
        assert await items.exists(created.id)

    async def test_a_change_in_a_read_only_unit_is_refused_and_not_lost_silently(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))

        with pytest.raises(UnitOfWorkError, match="read-only"):
            async with items.unit_of_work(read_only=True):
                (await items.get_by_id(created.id)).qty = 2

        assert (await items.get_by_id(created.id)).qty == 1

    # Nesting

    async def test_an_inner_block_joins_and_the_outer_one_commits(
        self, items: Any
    ) -> None:
        async with items.unit_of_work():
            async with items.unit_of_work():
                await items.create(self.make("a"))
            between = await outside(items.count())
            await items.create(self.make("b"))

        assert between == 0
        assert await items.count() == 2

    async def test_an_inner_failure_after_a_write_dooms_the_whole(
        self, items: Any
    ) -> None:
        with pytest.raises(UnitOfWorkError, match="Failure"):
            async with items.unit_of_work():
                await items.create(self.make("outer"))
                with pytest.raises(Failure):
                    async with items.unit_of_work():
                        await items.create(self.make("inner"))
                        raise Failure
                with pytest.raises(UnitOfWorkError):
                    await items.count()

        assert await items.count() == 0

    async def test_an_inner_failure_before_any_write_dooms_nothing(
        self, items: Any
    ) -> None:
        async with items.unit_of_work():
            await items.create(self.make("outer"))
            with pytest.raises(ValidationError):
                async with items.unit_of_work():
                    await items.update(1, {"nope": 1})

        assert await items.count() == 1

    async def test_an_inner_failure_after_a_changed_attribute_dooms_the_whole(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        with pytest.raises(UnitOfWorkError, match="Failure"):
            async with items.unit_of_work():
                with pytest.raises(Failure):
                    async with items.unit_of_work():
                        (await items.get_by_id(created.id)).qty = 2
                        raise Failure

        assert (await items.get_by_id(created.id)).qty == 1

    async def test_a_changed_attribute_that_a_read_has_written_dooms_the_whole(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        with pytest.raises(UnitOfWorkError, match="Failure"):
            async with items.unit_of_work():
                with pytest.raises(Failure):
                    async with items.unit_of_work():
                        (await items.get_by_id(created.id)).qty = 2
                        await items.count()
                        raise Failure

        assert (await items.get_by_id(created.id)).qty == 1

    async def test_a_changed_attribute_that_a_savepoint_has_written_dooms_the_whole(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        with pytest.raises(UnitOfWorkError, match="Failure"):
            async with items.unit_of_work():
                with pytest.raises(Failure):
                    async with items.unit_of_work() as inner:
                        (await items.get_by_id(created.id)).qty = 2
                        with pytest.raises(ValidationError):
                            async with inner.savepoint():
                                await items.update(created.id, {"nope": 1})
                        raise Failure

        assert (await items.get_by_id(created.id)).qty == 1

    async def test_an_attribute_changed_before_an_inner_failure_is_kept(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        async with items.unit_of_work():
            (await items.get_by_id(created.id)).qty = 2
            with pytest.raises(Failure):
                async with items.unit_of_work():
                    await items.count()
                    raise Failure

        assert (await items.get_by_id(created.id)).qty == 2

    @needs("unique")
    async def test_a_caught_duplicate_without_a_savepoint_dooms_the_unit(
        self, items: Any
    ) -> None:
        with pytest.raises(UnitOfWorkError, match="savepoint"):
            async with items.unit_of_work():
                await items.create(self.make("a"))
                with pytest.raises(AlreadyExistsError):
                    await items.create(self.make("a"))

        assert await items.count() == 0

    @needs("unique")
    async def test_an_entity_of_the_unit_that_is_created_again_dooms_it(
        self, items: Any
    ) -> None:
        for verb in (items.create, lambda item: items.create_many([item])):
            with pytest.raises(UnitOfWorkError, match="savepoint"):
                async with items.unit_of_work():
                    item = await items.create(self.make("a"))
                    with pytest.raises(AlreadyExistsError):
                        await verb(item)

        assert await items.count() == 0

    async def test_a_block_is_entered_once(self, items: Any) -> None:
        unit = items.unit_of_work()
        async with unit:
            pass

        with pytest.raises(UnitOfWorkError):
            await unit.__aenter__()
        with pytest.raises(UnitOfWorkError):
            unit.after_commit(lambda: None)

    async def test_an_entity_that_its_unit_has_deleted_can_be_created_again(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a"))
        async with items.unit_of_work():
            item = await items.get_by_id(created.id)
            await items.delete(created.id)
            again = await items.create(item)
            again.qty = 7

        assert (await items.get_by_id(created.id)).qty == 7

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

        assert [item.name for item in await items.get_all()] == ["a", "b"]

    @needs("unique")
    async def test_what_can_not_be_written_before_a_savepoint_dooms_the_unit(
        self, items: Any
    ) -> None:
        await items.create(self.make("a"))
        created = await items.create(self.make("b"))
        with pytest.raises(UnitOfWorkError, match="only roll back"):
            async with items.unit_of_work() as unit:
                (await items.get_by_id(created.id)).name = "a"
                with pytest.raises(AlreadyExistsError):
                    await unit.savepoint().__aenter__()
                with pytest.raises(UnitOfWorkError, match="only roll back"):
                    await items.count()

        assert (await items.get_by_id(created.id)).name == "b"

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

        stored = await items.get_by_id(created.id)
        assert (stored.name, stored.qty) == ("b", 7)

    async def test_a_savepoint_that_ends_well_is_kept(self, items: Any) -> None:
        async with items.unit_of_work() as unit, unit.savepoint():
            await items.create(self.make("a"))
            async with unit.savepoint():
                await items.create(self.make("b"))

        assert await items.count() == 2

    async def test_a_savepoint_inside_a_failed_unit_leaves_nothing(
        self, items: Any
    ) -> None:
        with pytest.raises(Failure):
            async with items.unit_of_work() as unit:
                async with unit.savepoint():
                    await items.create(self.make("a"))
                raise Failure

        assert await items.count() == 0

    async def test_a_rolled_back_savepoint_restores_objects_and_drops_hooks(
        self, items: Any
    ) -> None:
        calls: list[str] = []
        created = await items.create(self.make("a", qty=1))
        async with items.unit_of_work() as unit:
            item = await items.get_by_id(created.id)
            unit.after_commit(lambda: calls.append("kept"))
            with pytest.raises(Failure):
                async with unit.savepoint():
                    unit.after_commit(lambda: calls.append("dropped"))
                    item.qty = 2
                    await items.count()
                    raise Failure
            again = item.qty

        assert (again, calls) == (1, ["kept"])
        assert (await items.get_by_id(created.id)).qty == 1

    async def test_objects_read_in_a_rolled_back_savepoint_stay_tracked(
        self, items: Any
    ) -> None:
        ids = [(await items.create(self.make(name, qty=1))).id for name in "ab"]
        async with items.unit_of_work() as unit:
            with pytest.raises(Failure):
                async with unit.savepoint():
                    read = await items.get_by_id(ids[0])
                    updated = await items.update(ids[1], {"qty": 7})
                    created = await items.create(self.make("c", qty=1))
                    raise Failure
            restored = updated.qty
            created.qty = 9
            assert await items.get_by_id(ids[0]) is read
            assert await items.get_by_id(ids[1]) is updated
            read.qty = 2
            updated.name = "d"
            assert await items.count(field("qty") == 2) == 1

        found = [(item.name, item.qty) for item in await items.get_all()]
        assert (restored, found) == (1, [("a", 2), ("d", 1)])

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

    async def test_hooks_and_events_are_dropped_with_the_unit(self, items: Any) -> None:
        calls: list[str] = []
        sink = RecordingSink()

        with pytest.raises(Failure):
            async with items.unit_of_work(events=sink) as unit:
                unit.after_commit(lambda: calls.append("hook"))
                unit.emit("event")
                raise Failure

        assert (calls, sink.published) == ([], [])

    async def test_a_failing_hook_stops_neither_the_commit_nor_the_others(
        self, items: Any
    ) -> None:
        calls: list[str] = []

        def failing() -> None:
            raise Failure

        async with items.unit_of_work() as unit:
            unit.after_commit(failing)
            unit.after_commit(lambda: calls.append("hook"))
            await items.create(self.make("a"))

        assert calls == ["hook"]
        assert await items.count() == 1

    async def test_hooks_of_an_inner_block_wait_for_the_outer_commit(
        self, items: Any
    ) -> None:
        calls: list[str] = []
        async with items.unit_of_work():
            async with items.unit_of_work() as inner:
                inner.after_commit(lambda: calls.append("hook"))
            assert calls == []

        assert calls == ["hook"]

    async def test_events_leave_after_the_commit(self, items: Any) -> None:
        sink = RecordingSink()
        async with items.unit_of_work(events=sink) as outer:
            outer.emit("first")
            async with items.unit_of_work() as inner:
                inner.emit("second")
            assert sink.published == []

        assert sink.published == ["first", "second"]

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

    async def test_a_cancelled_commit_runs_to_its_end_hooks_included(
        self, items: Any
    ) -> None:
        calls: list[str] = []
        committing = asyncio.Event()

        class Sink(RecordingSink):
            @override
            async def before_commit(self, events: Sequence[object]) -> None:
                committing.set()
                await asyncio.sleep(0)

        async def work() -> None:
            async with items.unit_of_work(events=Sink()) as unit:
                await items.create(self.make("a"))
                unit.emit("event")
                unit.after_commit(lambda: calls.append("hook"))

        task = asyncio.create_task(work())
        await committing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await items.count() == 1
        assert calls == ["hook"]

    # Objects

    async def test_a_unit_has_one_object_for_one_identity(self, items: Any) -> None:
        created = await items.create(self.make("a"))
        async with items.unit_of_work():
            first = await items.get_by_id(created.id)
            second = (await items.find(field("name") == "a"))[0]
            third = await items.update(created.id, {"qty": 1})
            fourth = await items.create(self.make("b"))

            assert first is second is third
            assert await items.get_by_id(fourth.id) is fourth

    async def test_a_changed_attribute_is_found_and_stored(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=1))
        async with items.unit_of_work():
            item = await items.get_by_id(created.id)
            item.qty = 7
            found = await items.find(field("qty") == 7)
            item.note = "last"

        stored = await items.get_by_id(created.id)
        assert found == [item]
        assert (stored.qty, stored.note) == (7, "last")

    @needs("conditions")
    async def test_a_changed_attribute_counts_for_guards_and_scopes(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        async with items.unit_of_work():
            item = await items.get_by_id(created.id)
            item.qty = 7
            view = items.scoped(field("qty") == 1)
            assert await view.get_by_id(created.id) is None
            assert not await view.exists(created.id)
            assert await view.delete(created.id) is False
            with pytest.raises(ConflictError):
                await items.delete(created.id, when=field("qty") == 1)
            item.qty = 8
            assert await items.delete(created.id, when=field("qty") == 8)

        assert await items.count() == 0

    async def test_a_changed_attribute_goes_with_a_failed_unit(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        with pytest.raises(Failure):
            async with items.unit_of_work():
                (await items.get_by_id(created.id)).qty = 7
                raise Failure

        assert (await items.get_by_id(created.id)).qty == 1

    @needs("unique")
    async def test_a_changed_attribute_must_keep_the_unique_rules(
        self, items: Any
    ) -> None:
        await items.create(self.make("a"))
        other = await items.create(self.make("b"))

        with pytest.raises(AlreadyExistsError):
            async with items.unit_of_work():
                (await items.get_by_id(other.id)).name = "a"

        assert (await items.get_by_id(other.id)).name == "b"

    async def test_entities_stay_readable_after_the_unit(self, items: Any) -> None:
        before = await items.create(self.make("before", qty=1))
        async with items.unit_of_work():
            stored = await items.create(self.make("stored"))
            stored.qty = 2
        with pytest.raises(Failure):
            async with items.unit_of_work():
                found = await items.get_by_id(before.id)
                lost = await items.create(self.make("lost"))
                raise Failure

        assert (stored.name, stored.qty) == ("stored", 2)
        assert (found.name, lost.name) == ("before", "lost")

    async def test_an_entity_of_a_failed_unit_can_be_created_again(
        self, items: Any
    ) -> None:
        item = self.make("a")
        with pytest.raises(Failure):
            async with items.unit_of_work():
                await items.create(item)
                raise Failure

        created = await items.create(self.make("a", qty=4))

        assert (await items.get_by_id(created.id)).qty == 4

    # One flow of control

    async def test_two_verbs_at_once_in_one_unit_are_refused(self, items: Any) -> None:
        with pytest.raises(UnitOfWorkError, match="one flow of control"):
            async with items.unit_of_work():
                await asyncio.gather(
                    items.create(self.make("a")), items.create(self.make("b"))
                )

        assert await items.count() == 0

    async def test_a_read_from_a_task_of_the_unit_is_part_of_it(
        self, items: Any
    ) -> None:
        async with items.unit_of_work():
            created = await items.create(self.make("a"))

            found = await asyncio.wait_for(items.get_by_id(created.id), 10)
            again = await asyncio.create_task(items.get_by_id(created.id))

            assert found is again is created

    async def test_a_task_that_outlives_the_unit_has_units_of_its_own(
        self, items: Any
    ) -> None:
        left = asyncio.Event()

        async def later() -> None:
            await left.wait()
            await items.create(self.make("later"))

        with pytest.raises(Failure):
            async with items.unit_of_work():
                await items.create(self.make("lost"))
                task = asyncio.create_task(later())
                raise Failure
        left.set()
        await task

        assert [item.name for item in await items.get_all()] == ["later"]

    async def test_a_unit_is_left_from_another_task(self, items: Any) -> None:
        stack = contextlib.AsyncExitStack()
        await stack.enter_async_context(items.unit_of_work())
        await items.create(self.make("a"))

        await asyncio.create_task(stack.aclose())
        await items.create(self.make("b"))

        assert await outside(items.count()) == 2

    async def test_each_task_outside_has_a_unit_of_its_own(self, items: Any) -> None:

        async def work(name: str) -> None:
            async with items.unit_of_work():
                await items.create(self.make(name))
                fail_if(name in "bd")

        await self.at_once(*(work(name) for name in "abcde"), return_exceptions=True)

        assert "".join(sorted(i.name for i in await items.get_all())) == "ace"
