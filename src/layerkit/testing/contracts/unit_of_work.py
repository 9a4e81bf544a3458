"""UnitOfWorkContract: what commits or rolls back together, on every home alike."""

import asyncio
import contextlib
from functools import partial
from typing import Any

import pytest

from layerkit.core.errors import AlreadyExistsError, ConflictError, UnitOfWorkError
from layerkit.repository import ALL, Inc, field
from layerkit.testing.contracts.base import needs, refused
from layerkit.testing.contracts.blocks import BlocksContract
from layerkit.testing.contracts.repository import RepositoryContract
from layerkit.testing.contracts.units import (
    cut_off,
    only_rolled_back,
    outside,
    repeated,
    undone,
)


class UnitOfWorkContract(BlocksContract, RepositoryContract):
    """Test the units of work of a repository's home, and its verbs."""

    # Commit and rollback

    async def test_an_error_undoes_everything_and_goes_on(self, items: Any) -> None:
        ids = await self.fill(items)

        async with undone(items.unit_of_work()):
            await items.create(self.make("new"))
            await items.update(ids["a"], {"qty": 2})
            (await items.get_by_id(ids["b"])).qty = 7
            await items.delete(ids["c"])
        await items.create(self.make("new", qty=4))

        expected = {"a": 1, "b": 2, "c": None, "d": 2, "e": 5, "new": 4}
        assert await self.held(items) == expected

    async def test_a_unit_cancelled_at_any_wait_is_undone(self, items: Any) -> None:
        expected: list[str] = []
        at, was_cut_off = 0, True
        while was_cut_off:
            at += 1
            done: list[int] = []

            async def work(at: int = at, done: list[int] = done) -> None:
                async with items.unit_of_work() as unit:
                    created = await items.create(self.make(f"a{at}"))
                    await asyncio.sleep(0)  # a wait that no verb knows of
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
            assert [item.name for item in page.items] == ["b", "c"]
            assert page.has_next
            assert await items.count(cap=4) == 3

    @needs("unique")
    async def test_a_unit_frees_the_unique_values_it_gives_up(self, items: Any) -> None:
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

        expected = {"a": 7, "b": 7, "c": 7, "was b": 2, "was c": None, "e": 2}
        assert await self.held(items) == expected

    async def test_racing_units_lose_no_update(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=0))

        async def work() -> None:
            async with items.unit_of_work():
                await items.update(created.id, {"qty": Inc(1)})
                await items.update(created.id, {"qty": Inc(1)})

        overtaken = await self.at_once(*(repeated(work) for _ in range(5)))

        assert await self.held(items) == {"a": 10}
        assert any(overtaken) == self.capabilities.optimistic

    @needs("optimistic")
    async def test_an_overtaken_unit_is_refused_as_retryable(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=1))

        with pytest.raises(ConflictError) as overtaken:
            async with items.unit_of_work():
                await items.update(created.id, {"note": "mine"})
                await outside(items.update(created.id, {"qty": 2}))

        stored = await items.get_by_id(created.id)
        assert overtaken.value.retryable
        assert (stored.qty, stored.note) == (2, None)

    @needs("optimistic")
    async def test_a_repeated_unit_starts_from_entities_as_they_were_given(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=0))
        mine, theirs = self.make("mine"), [self.make("other"), self.make("third")]

        async def work(_: object) -> None:
            await items.update(created.id, {"qty": Inc(1)})
            await items.create(mine)
            mine.qty = (mine.qty or 0) + 1
            if theirs:
                await outside(items.create(theirs.pop()))
                await outside(items.update(created.id, {"qty": Inc(1)}))

        await items.home.run(work)

        assert await self.held(items) == {
            "a": 3,
            "mine": 1,
            "other": None,
            "third": None,
        }
        assert (await items.get_by_id(mine.id)).name == "mine"

    async def test_a_read_only_unit_refuses_every_change(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=1))

        async with items.unit_of_work(read_only=True):
            assert await items.exists(created.id)
            await refused(UnitOfWorkError, items.delete(created.id), match="read-only")
        with pytest.raises(UnitOfWorkError, match="read-only"):
            async with items.unit_of_work(read_only=True):
                (await items.get_by_id(created.id)).qty = 2

        assert await self.held(items) == {"a": 1}

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
    async def test_guards_and_scopes_see_changed_attributes(self, items: Any) -> None:
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

    @needs("unique")
    async def test_a_changed_attribute_keeps_unique_rules(self, items: Any) -> None:
        await items.create(self.make("a"))
        other = await items.create(self.make("b"))

        with pytest.raises(AlreadyExistsError):
            async with items.unit_of_work():
                (await items.get_by_id(other.id)).name = "a"

        assert await self.names(items) == "ab"

    async def test_entities_stay_readable_after_the_unit(self, items: Any) -> None:
        before = await items.create(self.make("before", qty=1))
        async with items.unit_of_work():
            stored = await items.create(self.make("stored"))
            stored.qty = 2
        async with undone(items.unit_of_work()):
            found = await items.get_by_id(before.id)
            lost = await items.create(self.make("lost"))

        assert (stored.name, stored.qty) == ("stored", 2)
        assert (found.name, lost.name) == ("before", "lost")

    async def test_a_deleted_entity_can_be_created_again(self, items: Any) -> None:
        created = await items.create(self.make("a"))
        async with items.unit_of_work():
            item = await items.get_by_id(created.id)
            await items.delete(created.id)
            again = await items.create(item)
            again.qty = 7

        assert (await items.get_by_id(created.id)).qty == 7

    # One flow of control

    async def test_two_verbs_at_once_in_one_unit_are_refused(self, items: Any) -> None:
        async with only_rolled_back(items, match="one flow of control"):
            a, b = self.make("a"), self.make("b")
            await asyncio.gather(items.create(a), items.create(b))

        assert await items.count() == 0

    async def test_a_read_from_a_task_of_the_unit_joins_it(self, items: Any) -> None:
        async with items.unit_of_work():
            created = await items.create(self.make("a"))

            found = await asyncio.wait_for(items.get_by_id(created.id), 10)
            again = await asyncio.create_task(items.get_by_id(created.id))

            assert found is again is created

    async def test_a_task_that_outlives_its_unit_is_outside(self, items: Any) -> None:
        left = asyncio.Event()

        async def later() -> None:
            await left.wait()
            await items.create(self.make("later"))

        async with undone(items.unit_of_work()):
            await items.create(self.make("lost"))
            task = asyncio.create_task(later())
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
            unit = items.unit_of_work()
            async with undone(unit) if name in "bd" else unit:
                await items.create(self.make(name))

        await self.at_once(*(repeated(partial(work, name)) for name in "abcde"))

        assert await self.names(items) == "ace"
