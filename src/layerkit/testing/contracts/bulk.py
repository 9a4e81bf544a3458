"""Many at once: reading by ids, streams, batches and upserts."""

from typing import Any

import pytest

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotSupportedError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, Inc, field
from layerkit.testing.contracts.base import BaseContract, ReadRaw, lacks, needs, refused


class BulkContract(BaseContract):
    """Test verbs that are about several entities."""

    # get_many and stream

    async def test_get_many_keeps_the_order_of_the_ids(self, items: Any) -> None:
        ids = await self.fill(items)

        found = await items.get_many([ids["d"], ids["a"], 999, ids["d"]])

        assert [item.name for item in found] == ["d", "a", "d"]
        assert await items.get_many([]) == []
        for given in (None, 1, "ab"):
            await refused(UsageError, items.get_many(given), match="a list is needed")

    async def test_get_many_takes_more_ids_than_a_statement(self, items: Any) -> None:
        ids = await self.fill(items)

        found = await items.get_many(range(max(ids.values()) + 12_000, -1, -1))

        assert [item.name for item in found] == ["e", "d", "c", "b", "a"]

    async def test_a_stream_yields_everything_once_in_order(self, filled: Any) -> None:
        orders = (field("qty").desc(), field("name").desc())

        for size in (1, 2, 5, 500):
            stream = filled.stream(order_by=orders, batch_size=size)
            assert "".join([item.name async for item in stream]) == "edbac"
        some = filled.stream(field("qty") == 2)
        assert "".join([item.name async for item in some]) == "bd"

    async def test_a_stream_lets_others_write(self, filled: Any) -> None:
        async for item in filled.stream(batch_size=2):
            await filled.update(item.id, {"note": "seen"})

        assert await filled.count(field("note") == "seen") == 5

    # create_many

    async def test_create_many_stores_all_and_counts_them(self, items: Any) -> None:
        stored = await items.create_many(self.make(n, qty=1) for n in "abc")

        assert stored == 3
        assert await self.names(items) == "abc"
        assert await items.count(field("qty") == 1) == 3
        assert await items.create_many([]) == 0

    async def test_rows_without_unique_values_never_collide(self, sales: Any) -> None:
        for _ in range(3):
            await sales.create_many([self.sale(), self.sale()])

        assert await sales.count() == 6

    @needs("unique", "batches")
    @pytest.mark.parametrize("options", [{}, {"returning": True}], ids=str)
    async def test_a_batch_with_a_duplicate_stores_nothing(
        self, items: Any, options: dict[str, bool]
    ) -> None:
        stored = await items.create(self.make("c"))
        twice = self.make("a")
        batches = [
            ("name", [self.make("a"), self.make("c")]),
            ("name", [self.make("a"), self.make("b"), self.make("a")]),
            (None, [twice, twice]),  # by its name, or the id that it was given
            ("id", [self.make("a", id=900), self.make("b", id=900)]),
            ("id", [self.make("a"), self.make("b", id=stored.id)]),
        ]

        for taken, batch in batches:
            creating = items.create_many(batch, **options)
            (refusal,) = await refused(AlreadyExistsError, creating)
            assert taken is None or refusal.fields == (taken,)
            assert await self.names(items) == "c"

    @needs("batches")
    async def test_a_batch_with_bad_data_stores_nothing(self, items: Any) -> None:
        for bad in ({"name": "b", "qty": "many"}, {"nope": 1}, {"name": None}):
            await refused(ValidationError, items.create_many([{"name": "a"}, bad]))
        await refused(UsageError, items.create_many({"name": "a"}))

        assert await self.names(items) == ""

    async def test_create_many_returns_entities_in_order(self, items: Any) -> None:
        new = [self.make(name, qty=n) for n, name in enumerate("cabd")]

        stored = await items.create_many(new, returning=True)

        ids = [item.id for item in stored]
        assert sorted(ids) == ids
        for found in (stored, await items.get_many(ids)):
            shown = [(item.name, item.qty) for item in found]
            assert shown == [("c", 0), ("a", 1), ("b", 2), ("d", 3)]
        assert await items.create_many([], returning=True) == []

    @needs("records", "batches")
    async def test_what_create_many_returns_is_complete(self, records: Any) -> None:
        view = records.scoped(field("tenant") == "x")
        rows = [{"code": "a", "qty": 7}, {"code": "b"}]

        first, second = await view.create_many(rows, returning=True)

        for record in (first, second):
            found = await view.get_by_id(record.id)
            for name in ("code", "tenant", "qty", "version", "created_at"):
                assert getattr(record, name) == getattr(found, name)
                assert getattr(record, name) is not None

    @needs("records", "transactions")
    async def test_what_create_many_returns_is_confined(self, records: Any) -> None:
        view = records.scoped(field("tenant") == "x")

        with pytest.raises(ValidationError) as moved:
            async with records.unit_of_work():
                made = await view.create_many([{"code": "a"}], returning=True)
                made[0].tenant = "y"

        assert moved.value.detail["fields"] == ["tenant"]
        assert await records.count() == 0

    @needs("transactions")
    async def test_a_unit_tracks_what_create_many_returns(self, items: Any) -> None:
        async with items.unit_of_work():
            rows = [{"name": "a"}, {"name": "b"}]
            first, second = await items.create_many(rows, returning=True)
            assert await items.get_by_id(first.id) is first
            second.qty = 8

        assert await items.count(field("qty") == 8) == 1

    @needs("unique", "batches", "transactions")
    async def test_a_unit_may_hold_what_a_batch_brings_again(self, items: Any) -> None:
        ids = await self.fill(items)

        with pytest.raises(AlreadyExistsError):
            async with items.unit_of_work():
                held = await items.get_by_id(ids["a"])
                assert held is not None
                again = [self.make("x"), self.make("y", id=ids["a"])]
                await items.create_many(again, returning=True)

        assert await self.names(items) == "abcde"

    # update_where and delete_where

    async def test_update_where_changes_what_matches(self, filled: Any) -> None:
        changed = await filled.update_where(~(field("qty") == 2), {"note": "x"})

        found = await filled.find(field("note") == "x")
        assert changed == 2
        assert [item.name for item in found] == ["a", "e"]
        assert await filled.update_where(ALL, {"note": "y"}) == 5
        assert await filled.update_where(ALL, {}) == 5
        assert await filled.update_where(field("qty") > 99, {"note": "z"}) == 0
        assert await filled.count(field("note") == "y") == 5

    @needs("conditions")
    async def test_update_where_adds_and_leaves_nulls(self, filled: Any) -> None:
        await filled.update_where(ALL, {"qty": Inc(10)})

        expected = {"a": 11, "b": 12, "c": None, "d": 12, "e": 15}
        assert await self.held(filled) == expected

    async def test_delete_where_removes_what_matches(self, filled: Any) -> None:
        assert await filled.delete_where(field("qty") != 2) == 2
        assert await self.names(filled) == "bcd"
        assert await filled.delete_where(ALL) == 3
        assert await self.names(filled) == ""

    async def test_a_bulk_verb_never_takes_a_mistake_for_all(self, filled: Any) -> None:
        mistakes: list[Any] = [None, (), {}, field("nope") == 1]
        for where in mistakes:
            deleting = filled.delete_where(where)
            updating = filled.update_where(where, {"qty": 0})
            await refused(UsageError, deleting, updating)

        assert await self.names(filled) == "abcde"

    async def test_an_unexpected_number_undoes_a_bulk_verb(self, filled: Any) -> None:
        twos = field("qty") == 2

        for expect in (0, 1, 3):
            deleting = filled.delete_where(twos, expect=expect)
            updating = filled.update_where(twos, {"note": "x"}, expect=expect)
            refusals = await refused(ConflictError, deleting, updating)
            assert [refusal.kind for refusal in refusals] == ["count", "count"]

        assert await self.names(filled) == "abcde"
        assert await filled.count(field("note") == "x") == 0
        assert await filled.update_where(twos, {"note": "x"}, expect=2) == 2
        assert await filled.delete_where(twos, expect=2) == 2

    @needs("transactions")
    async def test_a_unit_goes_on_after_an_unexpected_number(self, items: Any) -> None:
        ids = await self.fill(items)

        async with items.unit_of_work():
            held = await items.get_by_id(ids["a"])
            deleting = items.delete_where(ALL, expect=1)
            updating = items.update_where(ALL, {"qty": 7}, expect=1)
            await refused(ConflictError, deleting, updating)
            assert (held.qty, await items.get_by_id(ids["a"]) is held) == (1, True)
            await items.create(self.make("f"))

        assert await self.names(items) == "abcdef"
        assert await items.count(field("qty") == 7) == 0

    @needs("transactions", "conditions")
    async def test_what_a_unit_holds_follows_its_bulk_verbs(self, items: Any) -> None:
        ids = await self.fill(items)

        async with items.unit_of_work():
            held = await items.get_by_id(ids["a"])
            held.note = "mine"
            await items.update_where(field("note") == "mine", {"qty": Inc(5)})
            assert (held.qty, held.note) == (6, "mine")
            await items.delete_where(field("name") == "a")
            assert await items.get_by_id(ids["a"]) is None

        assert await self.names(items) == "bcde"

    @needs("unique", "batches")
    async def test_update_where_keeps_unique_rules(self, filled: Any) -> None:
        updating = filled.update_where(field("qty") == 2, {"name": "x"})
        await refused(AlreadyExistsError, updating)

        assert await self.names(filled) == "abcde"

    # upsert and upsert_many

    @lacks("upserts")
    async def test_an_upsert_is_refused_where_there_is_none(self, items: Any) -> None:
        one = items.upsert(self.make("a"), key="name")
        many = items.upsert_many([self.make("a")], key="name")
        await refused(NotSupportedError, one, many)

        assert await items.count() == 0

    @needs("upserts")
    async def test_an_upsert_stores_or_changes(self, items: Any) -> None:
        there = await items.upsert(self.make("a", qty=1, note="kept"), key="name")
        assert (there.name, there.qty, there.note) == ("a", 1, "kept")
        assert (await items.get_by_id(there.id)).qty == 1

        stored = await items.upsert({"name": "a", "qty": 9}, key="name")
        same = await items.upsert({"name": "a"}, key=("name",))
        by_id = await items.upsert({"id": there.id, "name": "b", "qty": 2}, key="id")

        assert (stored.id, stored.qty, stored.note) == (there.id, 9, "kept")
        assert (same.id, same.qty) == (there.id, 9)
        assert (by_id.id, by_id.name, by_id.note) == (there.id, "b", "kept")
        assert await items.count() == 1

    @needs("upserts", "unique")
    async def test_an_upsert_runs_into_other_unique_rules(self, items: Any) -> None:
        ids = await self.fill(items)

        for known in (ids["a"], 999):
            row = {"id": known, "name": "b", "qty": 0}
            (taken,) = await refused(AlreadyExistsError, items.upsert(row, key="id"))
            assert taken.fields == ("name",)

        assert await self.names(items) == "abcde"
        assert await items.count(field("qty") == 0) == 0

    @needs("upserts", "unique", "transactions")
    async def test_a_create_after_upsert_keeps_unique_rules(self, items: Any) -> None:
        await items.create(self.make("a"))
        async with items.unit_of_work() as unit:
            await items.upsert(self.make("b"), key="name")
            for name in "ab":
                with pytest.raises(AlreadyExistsError) as taken:
                    async with unit.savepoint():
                        await items.create(self.make(name))
                assert taken.value.fields == ("name",)

        assert await items.count() == 2

    @needs("upserts")
    async def test_an_upsert_goes_by_values_of_a_rule(self, items: Any) -> None:
        new = self.make("a")
        for key in ("qty", "nope", ("name", "qty"), ()):
            await refused(UsageError, items.upsert(new, key=key), match="not unique by")
        (null,) = await refused(ValidationError, items.upsert(new, key="id"))
        assert null.detail["fields"] == ["id"]
        assert await items.count() == 0

    @needs("upserts")
    async def test_racing_upserts_leave_one_and_raise_nothing(self, items: Any) -> None:
        works = (items.upsert(self.make("a", qty=n), key="name") for n in range(6))
        stored = await self.at_once(*works)

        assert len({item.id for item in stored}) == 1
        assert await items.count() == 1

    @needs("upserts")
    async def test_upsert_many_stores_some_and_changes_others(self, items: Any) -> None:
        ids = await self.fill(items)
        new = [{"name": n, "qty": 9} for n in "aexy"]

        assert await items.upsert_many([*new, {"name": "b"}], key="name") == 5

        found = await items.find(field("qty") == 9, field("name").asc())
        assert "".join(item.name for item in found) == "aexy"
        assert [found[0].id, found[1].id] == [ids["a"], ids["e"]]
        assert await items.count() == 7
        assert await items.upsert_many([], key="name") == 0

    @needs("upserts", "unique")
    async def test_upsert_many_refuses_a_batch_as_a_whole(self, items: Any) -> None:
        ids = await self.fill(items)
        twice = [{"name": "x"}, {"name": "x"}]
        taken = [{"id": 900, "name": "x"}, {"id": ids["b"], "name": "a"}]

        batch = items.upsert_many(twice, key="name")
        await refused(ValidationError, batch, match="same name")
        await refused(AlreadyExistsError, items.upsert_many(taken, key="id"))

        assert await self.names(items) == "abcde"

    @needs("upserts", "transactions")
    async def test_what_a_unit_holds_follows_its_upserts(self, items: Any) -> None:
        ids = await self.fill(items)

        async with items.unit_of_work():
            held = await items.get_by_id(ids["a"])
            assert await items.upsert({"name": "a", "qty": 7}, key="name") is held
            assert held.qty == 7
            await items.upsert_many([{"name": "a", "qty": 8}], key="name")
            assert held.qty == 8

    # Past the repository

    async def test_what_was_written_has_landed_in_the_storage(
        self, filled: Any, read_raw: ReadRaw | None
    ) -> None:
        if read_raw is None:
            pytest.skip("no way past the repository: override read_raw")
        await filled.create_many([self.make("x"), self.make("y")])
        await filled.update_where(field("qty") == 2, {"qty": 3})
        await filled.delete_where(field("name") == "a")

        rows = sorted((row["name"], row["qty"]) for row in await read_raw(self.entity))

        new = [("x", None), ("y", None)]
        assert rows == [("b", 3), ("c", None), ("d", 3), ("e", 5), *new]

    # Composite keys

    @needs("composite_keys", "upserts", "cursors")
    async def test_a_key_of_two_fields_is_a_tuple(self, seats: Any) -> None:
        keys = [(row, number) for row in "ab" for number in (1, 2, 3)]
        await seats.create_many(self.seat(row=r, number=n) for r, n in keys)

        taken = await seats.update(("a", 2), {"guest": "Ada"})
        bob = {"row": "a", "number": 2, "guest": "Bob"}
        moved = await seats.upsert(bob, key=("number", "row"))
        first = await seats.paginate(size=4)
        rest = await seats.paginate(size=4, cursor=first.next_cursor)
        many = await seats.get_many([("b", 1), ("a", 9), ("a", 1)])

        assert (taken.guest, moved.guest) == ("Ada", "Bob")
        order = [(s.row, s.number) for s in (*first.items, *rest.items)]
        assert order == keys
        assert [(s.row, s.number) for s in many] == [("b", 1), ("a", 1)]
        assert await seats.exists(("b", 3))
        assert await seats.delete(("b", 3))
        assert await seats.get_by_id(("b", 3)) is None
        await refused(UsageError, seats.get_by_id("a"), match="row, number")

    @needs("composite_keys")
    async def test_get_many_takes_many_keys_of_two_fields(self, seats: Any) -> None:
        await seats.create_many(self.seat(row="a", number=n) for n in range(9))

        found = await seats.get_many([("a", n) for n in range(2_500, -1, -1)])

        assert [seat.number for seat in found] == [8, 7, 6, 5, 4, 3, 2, 1, 0]
