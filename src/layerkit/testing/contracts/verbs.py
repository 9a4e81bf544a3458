"""The six verbs, and reading by filters."""

from typing import Any

import pytest

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotSupportedError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, Inc, Specification, field
from layerkit.testing.contracts.base import BaseContract, lacks, needs, refused


class VerbsContract(BaseContract):
    """Test what each repository writes for itself, and ``find``, ``count``, pages."""

    # create, get_by_id, exists

    async def test_what_was_created_is_read_back(self, items: Any) -> None:
        name = "ä\u2028\U0001f600'\"%_\\"
        created = await items.create(self.make(name, qty=-1))

        assert isinstance(created.id, int)
        assert await items.exists(created.id) is True
        for found in (created, await items.get_by_id(created.id)):
            assert (found.name, found.qty, found.note) == (name, -1, None)

    async def test_what_is_absent_is_none_and_does_not_exist(self, items: Any) -> None:
        await items.create(self.make("a"))

        assert await items.get_by_id(999) is None
        assert await items.update(999, {"qty": 1}) is None
        assert await items.exists(999) is False

    async def test_an_entity_handed_out_is_no_live_object(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=1))
        first = await items.get_by_id(created.id)

        created.qty = first.qty = 99

        assert (await items.get_by_id(created.id)).qty == 1

    @needs("unique")
    async def test_a_taken_unique_value_names_its_fields(self, items: Any) -> None:
        ids = [(await items.create(self.make(name))).id for name in "ab"]

        (key,) = await refused(
            AlreadyExistsError, items.create(self.make("c", id=ids[0]))
        )
        taken = await refused(
            AlreadyExistsError,
            items.create(self.make("a")),
            items.update(ids[1], {"name": "a"}),
        )

        assert key.fields == ("id",)
        assert {(each.kind, each.fields) for each in taken} == {("unique", ("name",))}
        assert await self.names(items) == "ab"

    @needs("unique")
    async def test_racing_creates_of_a_unique_value_leave_one(self, items: Any) -> None:
        results = await self.at_once(
            *(items.create(self.make("same", qty=n)) for n in range(5)),
            return_exceptions=True,
        )

        assert sum(isinstance(each, AlreadyExistsError) for each in results) == 4
        assert await items.count() == 1

    # update

    @pytest.mark.parametrize("changes", [{"qty": 2}, {"qty": None}, {}])
    async def test_update_changes_only_what_is_given(
        self, items: Any, changes: dict[str, int | None]
    ) -> None:
        created = await items.create(self.make("a", qty=1, note="kept"))

        updated = await items.update(created.id, changes)

        expected = ("a", changes.get("qty", 1), "kept")
        for found in (updated, await items.get_by_id(created.id)):
            assert (found.name, found.qty, found.note) == expected

    @pytest.mark.parametrize(
        "changes", [{"nope": 1}, {"id": 5}, {"qty": "many"}, {"name": None}]
    )
    async def test_a_bad_update_is_refused_and_changes_nothing(
        self, items: Any, changes: dict[str, object]
    ) -> None:
        created = await items.create(self.make("a", qty=1))

        (bad,) = await refused(ValidationError, items.update(created.id, changes))

        assert bad.detail["fields"] == list(changes)
        assert await self.held(items) == {"a": 1}

    @needs("conditions")
    async def test_a_guarded_change_needs_its_guard(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=1))
        guard = field("qty") >= 1

        taken = await items.update(created.id, {"qty": Inc(-1)}, when=guard)
        again = items.update(created.id, {"qty": Inc(-1)}, when=guard)
        deleting = items.delete(created.id, when=guard)
        refusals = await refused(ConflictError, again, deleting)

        assert taken.qty == 0
        assert [refusal.kind for refusal in refusals] == ["guard", "guard"]
        assert await items.update(999, {"qty": 0}, when=guard) is None
        assert await items.delete(999, when=guard) is False
        assert await self.held(items) == {"a": 0}
        assert await items.delete(created.id, when=field("qty") == 0) is True
        assert await items.count() == 0

    @lacks("conditions")
    async def test_conditions_are_refused_where_there_are_none(
        self, items: Any
    ) -> None:
        created = await items.create(self.make("a", qty=1))
        guard = field("qty") >= 1

        await refused(
            NotSupportedError,
            items.update(created.id, {"qty": 0}, when=guard),
            items.delete(created.id, when=guard),
            items.update(created.id, {"qty": Inc(1)}),
            items.update_where(ALL, {"qty": Inc(1)}),
        )

        assert await self.held(items) == {"a": 1}

    @needs("conditions")
    async def test_racing_increments_lose_nothing(self, items: Any) -> None:
        created = await items.create(self.make("a", qty=0))

        hits = (items.update(created.id, {"qty": Inc(1)}) for _ in range(8))
        await self.at_once(*hits)

        assert await self.held(items) == {"a": 8}

    # delete

    async def test_delete_removes_one_and_says_so(self, items: Any) -> None:
        kept = await items.create(self.make("a"))
        gone = await items.create(self.make("b"))

        assert await items.delete(gone.id) is True

        assert await items.get_by_id(gone.id) is None
        assert await items.exists(kept.id) is True
        assert await items.exists((await items.create(self.make("b"))).id)

    async def test_delete_of_what_is_absent_is_false(self, items: Any) -> None:
        assert await items.delete(999) is False

    # get_all, find, find_one, count

    async def test_get_all_goes_by_key_with_skip_and_limit(self, items: Any) -> None:
        ids = sorted((await self.fill(items)).values())

        assert [item.id for item in await items.get_all()] == ids
        assert [item.id for item in await items.get_all(1, 2)] == ids[1:3]
        assert await items.get_all(skip=99) == []

    async def test_bounds_out_of_range_are_refused(self, items: Any) -> None:
        for bounds in ((-1, 10), (2**63, 10), (0, 0), (0, -5), (0, 10_001)):
            await refused(UsageError, items.find(ALL, (), *bounds))
        counting, deleting = items.count(cap=0), items.delete_where(ALL, expect=-1)
        batch = anext(items.stream(batch_size=0))
        await refused(UsageError, counting, deleting, batch, match="must be [01]")

    @pytest.mark.parametrize("number", [2**31, -(2**63), 2**70])
    async def test_a_number_beyond_any_column_is_compared_like_others(
        self, filled: Any, number: int
    ) -> None:
        qty = field("qty")

        for where, names in (
            (qty < number, "abde" if number > 0 else ""),
            (qty != number, "abde"),
            (qty.in_([number, 5]), "e"),
            (qty.not_in([number]) | (qty == number), "abde"),
        ):
            found = await filled.find(where)
            assert "".join(item.name for item in found) == names, where
        assert await filled.get_by_id(number) is None
        assert not await filled.exists(number)
        assert not await filled.delete(number)

    async def test_a_filter_may_have_many_parts(self, filled: Any) -> None:
        any_of = every = ALL
        for number in range(2, 1_500):
            one = field("qty") == number
            any_of = one if any_of == ALL else any_of | one
            every &= ~one

        assert await filled.count(any_of) == 3
        assert await filled.count(every) == 1

    @pytest.mark.parametrize(
        ("where", "names"),
        [
            (ALL, "abcde"),
            (~ALL, ""),
            (field("qty") == 2, "bd"),
            (field("qty") != 2, "ae"),
            (field("qty") > 1, "bde"),
            (field("qty") >= 5, "e"),
            (field("qty") < 2, "a"),
            (field("qty") <= 2, "abd"),
            (field("qty").between(2, 5), "bde"),
            (field("qty").is_null(), "c"),
            (field("qty") == None, "c"),  # noqa: E711 - builds a filter
            (field("qty") != None, "abde"),  # noqa: E711 - builds a filter
            (field("qty").is_not_null(), "abde"),
            (field("qty").in_([1, 5]), "ae"),
            (field("qty").in_([]), ""),
            (~field("qty").in_([]), "abcde"),
            (field("qty").not_in([1, 5]), "bd"),
            (~(field("qty") == 2), "ae"),
            (~(field("qty") > 1), "a"),
            ((field("qty") == 2) & (field("name") == "d"), "d"),
            ((field("qty") == 1) | field("qty").is_null(), "ac"),
            (~((field("qty") == 2) | field("qty").is_null()), "ae"),
            (~((field("qty") == 2) & (field("name") == "d")), "abce"),
        ],
    )
    async def test_filters_follow_the_logic_of_sql(
        self, filled: Any, where: Specification, names: str
    ) -> None:
        found = await filled.find(where)

        assert "".join(sorted(item.name for item in found)) == names
        assert await filled.count(where) == len(names)

    @pytest.mark.parametrize(
        ("where", "names"),
        [
            (field("name") == "Anna", ["Anna"]),
            (field("name") == "anna", ["anna"]),
            (field("name").in_(["ANNA", "anna"]), ["anna"]),
            (field("name") != "anna", ["50%", "5_0", "Anna", "a nna", "Änna"]),
            (field("name").contains("nn"), ["Anna", "a nna", "anna", "Änna"]),
            (field("name").contains("N"), []),
            (field("name").icontains("NN"), ["Anna", "a nna", "anna", "Änna"]),
            (field("name").startswith("A"), ["Anna"]),
            (field("name").istartswith("A"), ["Anna", "a nna", "anna"]),
            (field("name").istartswith("ä"), []),
            (field("name").endswith("a"), ["Anna", "a nna", "anna", "Änna"]),
            (field("name").endswith("n"), []),
            (field("name").iendswith("NA"), ["Anna", "a nna", "anna", "Änna"]),
            (field("name").contains("%"), ["50%"]),
            (field("name").contains("_"), ["5_0"]),
            (field("name").startswith("_"), []),
            (field("name").endswith("%"), ["50%"]),
            (field("note") == "Y", []),
            (field("note") == "y ", []),
            (field("note") != "Y", ["anna"]),
            (field("note").in_(["Y", "z"]), []),
            (field("note").contains(""), ["anna"]),
            (~field("note").contains("x"), ["anna"]),
        ],
    )
    async def test_texts_are_compared_exactly_and_have_no_wildcards(
        self, items: Any, where: Specification, names: list[str]
    ) -> None:
        for name in ["Anna", "a nna", "Änna", "50%", "5_0"]:
            await items.create(self.make(name))
        await items.create(self.make("anna", note="y"))

        found = await items.find(where, field("id").desc())

        assert sorted(item.name for item in found) == names
        ids = [item.id for item in found]
        assert ids == sorted(ids, reverse=True)

    @pytest.mark.parametrize(
        ("orders", "names"),
        [
            ((), "abcde"),
            (field("name").desc(), "edcba"),
            (field("qty").asc(), "abdec"),
            (field("qty").desc(), "ebdac"),
            (field("qty").asc(nulls_first=True), "cabde"),
            (field("qty").desc(nulls_first=True), "cebda"),
            ((field("qty").desc(), field("name").desc()), "edbac"),
        ],
    )
    async def test_orders_put_nulls_last_and_break_ties_by_key(
        self, filled: Any, orders: Any, names: str
    ) -> None:
        found = await filled.find(ALL, orders)

        assert "".join(item.name for item in found) == names

    async def test_find_skips_and_limits_after_sorting(self, filled: Any) -> None:
        first, last = field("name") < "b", field("name") > "d"

        found = await filled.find(ALL, field("name").desc(), 1, 2)
        from_the_end = await filled.find(first, field("id").desc(), 0, 1)
        from_the_start = await filled.find(last, field("id").asc(), 0, 1)

        names = [item.name for item in (*found, *from_the_end, *from_the_start)]
        assert names == ["d", "c", "a", "e"]

    async def test_an_unknown_field_is_never_every_row(self, filled: Any) -> None:
        await refused(
            UsageError,
            filled.find(field("nope") == 1),
            filled.count(~(field("nope") == 1)),
            filled.find(ALL, field("nope").asc()),
            match="nope",
        )

    async def test_find_one_returns_the_only_one(self, items: Any) -> None:
        ids = await self.fill(items)

        assert (await items.find_one(field("name") == "b")).id == ids["b"]
        assert await items.find_one(field("name") == "z") is None
        two = items.find_one(field("qty") == 2)
        await refused(UsageError, two, match="more than one")

    # paginate

    async def test_pages_hold_every_entity_once(self, filled: Any) -> None:
        options = {"order_by": field("qty").desc(), "size": 2, "total": "exact"}

        for offset, names in ((0, "eb"), (2, "da"), (4, "c"), (50, "")):
            page = await filled.paginate(offset=offset, **options)
            assert "".join(item.name for item in page.items) == names
            assert (page.has_next, page.total) == (offset < 4, 5)

    async def test_counts_stop_at_their_cap(self, filled: Any) -> None:
        where = field("qty").is_not_null()

        for cap, found in ((None, 5), (3, 3), (50, 5)):
            assert await filled.count(cap=cap) == found
        for total, counted in (("none", None), (3, 3), ("exact", 4)):
            page = await filled.paginate(where, size=1, total=total)
            assert page.total == counted
        assert (await filled.paginate(ALL)).total is None

    # Units

    @lacks("transactions")
    async def test_a_unit_is_refused_where_there_is_none(self, items: Any) -> None:
        with pytest.raises((NotSupportedError, AttributeError)):
            async with items.unit_of_work():
                await items.count()
