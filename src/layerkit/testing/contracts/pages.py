"""Pages by cursor: every entity once, whatever it is sorted by."""

from itertools import chain
from typing import Any, Final

import pytest

from layerkit.core.errors import NotSupportedError, UsageError, ValidationError
from layerkit.repository import ALL, Specification, field
from layerkit.testing.contracts.base import BaseContract, lacks, needs, refused
from layerkit.testing.contracts.entities import OpenRepository

_ORDERS: Final[dict[str, Any]] = {
    "key": (),
    "text": field("name").desc(),
    "ties": field("note").asc(),
    "nulls last": field("qty").asc(),
    "nulls last, descending": field("qty").desc(),
    "nulls first": field("qty").asc(nulls_first=True),
    "nulls first, descending": field("qty").desc(nulls_first=True),
    "mixed": (field("qty").desc(), field("name").asc()),
    "mixed, nulls first": (field("qty").asc(nulls_first=True), field("name").desc()),
    "key first": (field("id").desc(), field("qty").asc()),
    "one field twice": (field("note").asc(), field("note").desc()),
    "two with nulls": (field("note").desc(), field("qty").asc(nulls_first=True)),
}
_ROWS: list[tuple[str, int | None, str | None]] = [
    ("a", 0, ""), ("b", None, "x"), ("c", 2, "x"), ("d", 0, None), ("e", None, None),
    ("f", 2, "x"), ("g", -1, ""), ("h", 0, "x"), ("i", 7, None), ("j", None, ""),
]  # fmt: skip


async def walked(items: Any, where: Specification = ALL, **options: Any) -> Any:
    """Follow cursors to the end and back; return the pages there, and those back."""
    page = await items.paginate(where, **options)
    ways: list[list[Any]] = []
    for cursor_name in ("next_cursor", "previous_cursor"):
        pages = [page]
        while (cursor := getattr(page, cursor_name)) is not None:
            page = await items.paginate(where, cursor=cursor, **options)
            pages.append(page)
        ways.append(pages)
    return ways


class PagesContract(BaseContract):
    """Test pages that begin where another one ended."""

    async def fill_rows(self, items: Any) -> None:
        """Store ten entities with ties, nulls, zeros and empty texts."""
        for name, qty, note in _ROWS:
            await items.create(self.make(name, qty=qty, note=note))

    @needs("cursors")
    @pytest.mark.parametrize("size", [1, 3, 10])
    @pytest.mark.parametrize("order", _ORDERS)
    async def test_cursors_lead_forward_and_back_over_every_entity_once(
        self, items: Any, order: str, size: int
    ) -> None:
        await self.fill_rows(items)
        orders = _ORDERS[order]
        expected = [item.name for item in await items.find(ALL, orders)]

        there, back = await walked(items, order_by=orders, size=size)

        forward = [[item.name for item in page.items] for page in there]
        backward = [[item.name for item in page.items] for page in back]
        assert list(chain(*forward)) == expected
        assert backward == forward[::-1]
        assert [page.has_next for page in there] == [True] * (len(there) - 1) + [False]
        assert all(page.has_next for page in back[1:])
        assert there[0].previous_cursor is None

    @needs("cursors")
    async def test_a_cursor_stays_when_rows_come_and_go(self, items: Any) -> None:
        await self.fill_rows(items)
        order = field("name").asc()
        first = await items.paginate(order_by=order, size=4)

        await items.create(self.make("aa"))
        await items.delete_where(field("name").in_(["d", "f"]))
        second = await items.paginate(order_by=order, size=3, cursor=first.next_cursor)

        assert [item.name for item in second.items] == ["e", "g", "h"]

    @needs("cursors")
    async def test_a_page_whose_rows_are_gone_leads_back(self, items: Any) -> None:
        await self.fill_rows(items)
        order = field("name").asc()

        async def page(cursor: str) -> Any:
            return await items.paginate(order_by=order, size=2, cursor=cursor)

        first = await items.paginate(order_by=order, size=2)
        second = await page(first.next_cursor)
        await items.delete_where(field("name") > "d")
        after = await page(second.next_cursor)
        again = await page(after.previous_cursor)
        await items.delete_where(field("name") < "c")
        before = await page(again.previous_cursor)
        rest = await page(before.next_cursor)

        assert (after.items, after.has_next, after.next_cursor) == ([], False, None)
        assert [item.name for item in again.items] == ["c", "d"]
        assert (before.items, before.previous_cursor) == ([], None)
        assert before.has_next
        assert [item.name for item in rest.items] == ["c", "d"]

    @needs("cursors")
    async def test_a_cursor_takes_another_size_and_total(self, items: Any) -> None:
        await self.fill_rows(items)
        where = field("qty") == 0

        first = await items.paginate(where, size=1, total="exact")
        cursor = first.next_cursor
        rest = await items.paginate(where, size=9, total="exact", cursor=cursor)

        assert [item.name for item in rest.items] == ["d", "h"]
        assert (first.total, rest.total, rest.has_next) == (3, 3, False)

    @needs("cursors")
    async def test_a_cursor_of_another_list_is_refused(self, items: Any) -> None:
        await self.fill_rows(items)
        where: Specification = field("qty").in_([0, 2])
        order = field("name").asc()
        page = await items.paginate(where, order_by=order, size=2)
        foreign: list[dict[str, Any]] = [
            {"where": field("qty").in_([0, 2, 7]), "order_by": order},
            {"where": ALL, "order_by": order},
            {"where": where, "order_by": field("name").desc()},
            {"where": where, "order_by": (order, field("qty").asc())},
        ]

        for query in foreign:
            turning = items.paginate(**query, size=2, cursor=page.next_cursor)
            (refusal,) = await refused(ValidationError, turning)
            assert refusal.detail["fields"] == ["cursor"]

    @needs("cursors")
    async def test_a_cursor_that_was_changed_is_refused(self, items: Any) -> None:
        await self.fill_rows(items)
        good = (await items.paginate(size=2)).next_cursor
        other = "B" if good[8] == "A" else "A"
        changed = good[:8] + other + good[9:]
        padded = [f"{good}\n", f"{good[:5]}!{good[5:]}"]
        bad = [changed, good[:-4], good + "AAAA", *padded, "", "%", "é"]

        for cursor in bad:
            await refused(ValidationError, items.paginate(size=2, cursor=cursor))

    @needs("cursors", "records")
    async def test_a_cursor_of_another_class_is_refused(
        self, open_repository: OpenRepository
    ) -> None:
        async with open_repository(self.entity) as items:
            await self.fill_rows(items)
            cursor = (await items.paginate(size=2)).next_cursor
        async with open_repository(self.record) as records:
            view = records.with_deleted()
            await refused(ValidationError, view.paginate(size=2, cursor=cursor))

    async def test_a_page_begins_at_one_place(self, items: Any) -> None:
        await self.fill_rows(items)

        by_offset = await items.paginate(size=3, offset=3)
        with pytest.raises(UsageError, match="not at both"):
            await items.paginate(size=3, offset=3, cursor="x")

        assert [item.name for item in by_offset.items] == ["d", "e", "f"]
        assert (by_offset.next_cursor, by_offset.has_next) == (None, True)

    @lacks("cursors")
    async def test_a_cursor_is_refused_where_there_are_none(self, items: Any) -> None:
        with pytest.raises(NotSupportedError, match="cursor"):
            await items.paginate(size=3, cursor="x")
