"""Counters: upserts that add, in one atomic step."""

from typing import Any

from layerkit.core.errors import AlreadyExistsError, ValidationError
from layerkit.repository import ALL, Inc, field
from layerkit.testing.contracts.base import BaseContract, needs, refused


class CountersContract(BaseContract):
    """Test upserts with ``Inc``."""

    @needs("upserts", "conditions")
    async def test_an_upsert_adds_to_what_is_there_or_to_0(self, items: Any) -> None:
        hit = {"name": "a", "qty": Inc(2), "note": "x"}

        first = await items.upsert(hit, key="name")
        began = (first.qty, first.note)
        again = await items.upsert(hit | {"note": "y"}, key="name")
        await items.upsert({"name": "a", "qty": Inc(-5)}, key="name")
        await items.create(self.make("b"))
        null = await items.upsert({"name": "b", "qty": Inc(1)}, key="name")

        assert began == (2, "x")
        assert (again.id, again.qty, again.note) == (first.id, 4, "y")
        assert (await items.get_by_id(first.id)).qty == -1
        assert null.qty is None

    @needs("upserts", "conditions")
    async def test_racing_upserts_lose_no_increment(self, items: Any) -> None:
        hit = {"name": "hits", "qty": Inc(1)}

        await self.at_once(*(items.upsert(hit, key="name") for _ in range(50)))

        assert [item.qty for item in await items.find(ALL)] == [50]

    @needs("upserts", "conditions")
    async def test_upsert_many_adds_to_each_its_own_amount(self, filled: Any) -> None:
        amounts = {"a": 10, "b": 20, "c": 30, "x": 40, "y": 50}
        rows = [{"name": name, "qty": Inc(n)} for name, n in amounts.items()]

        await filled.upsert_many([*rows, {"name": "e", "qty": 7}], key="name")
        await filled.upsert_many(rows[3:], key="name")

        known = {"a": 11, "b": 22, "c": None, "d": 2, "e": 7}
        assert await self.held(filled) == known | {"x": 80, "y": 100}

    @needs("upserts", "conditions", "records")
    async def test_an_upsert_that_adds_moves_the_version(self, records: Any) -> None:
        made = await records.upsert({"id": 5, "code": "a", "qty": Inc(3)}, key="id")
        began = (made.qty, made.version)
        later = await records.upsert({"id": 5, "code": "a", "qty": Inc(4)}, key="id")

        assert began == (3, 1)
        assert (later.qty, later.version) == (7, 2)

    @needs("upserts", "conditions")
    async def test_an_upsert_with_another_key_adds_once(self, items: Any) -> None:
        ids = await self.fill(items)
        hit = {"id": ids["e"] + 100, "name": "a", "qty": Inc(10)}

        stored = await items.upsert(hit, key="name")
        await items.upsert_many([hit], key="name")

        assert (stored.id, stored.qty) == (ids["a"], 11)
        assert (await items.get_by_id(ids["a"])).qty == 21

    @needs("upserts", "conditions", "unique", "records")
    async def test_an_upsert_that_adds_obeys_its_view(self, records: Any) -> None:
        first = await records.create({"code": "a", "tenant": "x", "qty": 1})
        second = await records.create({"code": "b", "tenant": "x", "qty": 1})
        hidden = {"id": first.id, "code": "c", "qty": Inc(1)}
        taken = {"id": second.id, "code": "a", "qty": Inc(1)}
        foreign = records.scoped(field("tenant") == "y")
        of_ones = records.scoped(field("qty") == 1)
        unwritable = {"id": second.id, "code": "b", "version": Inc(1)}

        for error, view, row in (
            (AlreadyExistsError, foreign, hidden),
            (AlreadyExistsError, records, taken),
            (ValidationError, records, unwritable),
            (ValidationError, of_ones, taken),
        ):
            one, many = view.upsert(row, key="id"), view.upsert_many([row], key="id")
            await refused(error, one, many)

        assert [r.qty for r in await records.find(ALL)] == [1, 1]

    @needs("upserts", "conditions")
    async def test_an_upsert_adds_numbers_to_number_fields(self, items: Any) -> None:
        wrong = {"note": Inc(1), "qty": Inc("1"), "nope": Inc(1), "id": Inc(1)}
        for name, value in wrong.items():
            row = {"name": "a", name: value}
            (refusal,) = await refused(ValidationError, items.upsert(row, key="name"))
            assert refusal.detail["fields"] == [name]
        assert await items.count() == 0
