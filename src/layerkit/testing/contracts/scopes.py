"""Scopes: what a view does not show, no verb of it reads or writes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain
from random import Random
from typing import Any, Final

import pytest

from layerkit.core.errors import (
    AppException,
    ConflictError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, Inc, Specification, field
from layerkit.testing.contracts.base import BaseContract, needs, refused

_TENANT = field("tenant")


Call = tuple[str, Callable[[Any, list[int]], Awaitable[Any]]]
"""What is called, and the call: with the view, and the ids that are known."""


def _call(
    verb: str, *given: Any, of: int | None = None, ever: bool = False, **options: Any
) -> Call:
    """Return a call of a verb of the view.

    Args:
        verb: Its name.
        given: What it is given.
        of: Which of the ids comes first.
        ever: True where the view shows what is deleted, too.
        options: What it is given by name.
    """

    async def call(view: Any, ids: list[int]) -> Any:
        seen = view.with_deleted() if ever else view
        known = () if of is None else (ids[of],)
        return await getattr(seen, verb)(*known, *given, **options)

    return f"{verb}({of=}, {given}, {ever=}, {options})", call


def _by_id(n: int) -> list[Call]:
    def new(ids: list[int]) -> dict[str, object]:
        return {"id": ids[n], "code": "new", "qty": 7}

    return [
        *(_call(verb, of=n) for verb in ("get_by_id", "exists", "delete", "restore")),
        _call("update", {"qty": 9}, of=n),
        _call("update", {"qty": Inc(1)}, of=n, when=ALL),
        _call("update", {"qty": 8}, of=n, expected_version=1),
        _call("update", {"qty": 6}, of=n, ever=True),
        _call("delete", of=n, ever=True),
        (f"get_by_id({n}, lock)", lambda view, ids: _locked(view, ids[n])),
        (f"create({n})", lambda view, ids: view.create(new(ids))),
        (f"upsert({n})", lambda view, ids: view.upsert(new(ids), key="id")),
        (f"upsert_many({n})", lambda view, ids: view.upsert_many([new(ids)], key="id")),
    ]


def _by_code(code: str) -> list[Call]:
    new = {"code": code, "qty": 7}
    return [
        _call("create", new),
        _call("create_many", [new]),
        _call("find_one", field("code") == code),
        _call("upsert", new, key="code"),
        _call("upsert_many", [{"code": "other"}, new], key="code"),
    ]


def _by_filter(where: Specification) -> list[Call]:
    return [
        _call("find", where),
        _call("count", where),
        _call("paginate", where, total="exact"),
        _call("update_where", where, {"qty": Inc(5)}),
        _call("delete_where", where),
        _call("delete", of=0, when=where),
        _call("delete_where", where, ever=True),
        _call("find", where, ever=True),
        (
            f"scoped({where}).delete_where(ALL)",
            lambda view, _: view.scoped(where).delete_where(ALL, expect=1),
        ),
        (f"pages of {where}", lambda view, _: _walked(view, where)),
        (f"qty set, {where}", lambda view, _: _changed(view, where, "qty", 5)),
        (f"moved, {where}", lambda view, _: _changed(view, where, "tenant", "others")),
    ]


_CALLS: Final[list[Call]] = [
    _call("get_all"),
    ("get_many(every id)", lambda view, ids: view.get_many(ids)),
    ("stream()", lambda view, _: _streamed(view)),
    *chain(*map(_by_id, range(4))),
    *chain(*map(_by_code, ("a0", "a1", "b0", "b1", "new"))),
    *chain(*map(_by_filter, (ALL, field("qty") >= 1, ~(field("code") == "a0")))),
]


async def _streamed(records: Any) -> list[Any]:
    return [record async for record in records.stream()]


async def _walked(records: Any, where: Specification) -> list[Any]:
    """Follow the cursor of a page of one."""
    page = await records.paginate(where, size=1)
    following = await records.paginate(where, size=1, cursor=page.next_cursor)
    return [*page.items, *following.items]


async def _changed(
    records: Any, where: Specification, name: str, value: object
) -> list[Any]:
    """Set an attribute of what is found, and leave it to the unit to store it."""
    async with records.unit_of_work():
        found: list[Any] = await records.find(where)
        for record in found:
            setattr(record, name, value)
    return found


async def _locked(records: Any, entity_id: int) -> Any:
    async with records.unit_of_work():
        return await records.get_by_id(entity_id, lock="wait")


def _entities(result: Any) -> list[Any]:
    """Return the records in what a verb has returned."""
    found = getattr(result, "items", result)
    found = found if isinstance(found, list) else [found]
    return [each for each in found if hasattr(each, "tenant")]


class ScopesContract(BaseContract):
    """Test views that ``scoped`` makes."""

    async def tenants(self, records: Any) -> tuple[Any, Any, list[int]]:
        """Store two records for each of two tenants; return their views, and ids."""
        mine = records.scoped(_TENANT == "mine")
        others = records.scoped(_TENANT == "others")
        ids = [
            (await view.create({"code": f"{name}{n}", "qty": n})).id
            for view, name in ((mine, "a"), (others, "b"))
            for n in (0, 1)
        ]
        return mine, others, ids

    @needs("records")
    async def test_a_view_stamps_what_it_stores(self, records: Any) -> None:
        view = records.scoped(_TENANT == "mine", {"qty": 3})

        made = await view.create({"code": "a"})
        entity = await view.create(self.record(code="b", tenant="mine", qty=8))
        await view.create_many([{"code": "c"}])
        await view.upsert({"code": "d"}, key="code")

        assert (made.tenant, made.qty, entity.qty) == ("mine", 3, 8)
        assert await records.count((_TENANT == "mine") & (field("qty") == 3)) == 3

    @needs("records")
    async def test_a_view_stores_only_what_it_shows(self, records: Any) -> None:
        view = records.scoped(_TENANT == "mine")
        foreign = {"code": "a", "tenant": "others"}

        await refused(
            ValidationError,
            view.create(foreign),
            view.create(self.record(**foreign)),
            view.create_many([{"code": "b"}, foreign]),
            view.upsert(foreign, key="code"),
            match="scope",
        )

        assert await records.count() == 0

    @needs("records", "transactions")
    async def test_nothing_is_moved_out_of_its_view(self, records: Any) -> None:
        mine, _, ids = await self.tenants(records)

        moved = {"tenant": "others"}
        (by_id, by_filter) = await refused(
            ValidationError, mine.update(ids[0], moved), mine.update_where(ALL, moved)
        )
        with pytest.raises(ValidationError, match="scope"):
            async with mine.unit_of_work():
                (await mine.get_by_id(ids[0])).tenant = "others"

        assert by_id.detail["fields"] == by_filter.detail["fields"] == ["tenant"]
        assert await records.count(_TENANT == "mine") == 2

    @needs("records", "upserts")
    async def test_an_upsert_writes_no_field_of_its_view(self, records: Any) -> None:
        await records.create({"code": "a", "tenant": "x", "qty": 3})
        view = records.scoped(field("qty") >= 1)
        row = {"code": "a", "tenant": "y", "qty": 9}

        first = (await view.upsert(row, key="code")).qty
        await view.upsert_many([row | {"tenant": "z"}], key="code")

        (stored,) = await records.get_all()
        assert (first, stored.qty, stored.tenant) == (3, 3, "z")

    @needs("records")
    async def test_a_view_of_a_view_shows_what_both_do(self, records: Any) -> None:
        mine, _, ids = await self.tenants(records)

        few = mine.scoped(field("qty") >= 1)

        assert [r.id for r in await few.find(ALL)] == [ids[1]]
        assert await few.update(ids[0], {"code": "x"}) is None
        with pytest.raises(UsageError, match="already"):
            mine.scoped(_TENANT == "others")

    @needs("records")
    async def test_a_view_needs_a_value_to_go_by(self, records: Any) -> None:
        with pytest.raises(UsageError, match="no tenant"):
            records.scoped(ALL, {"tenant": None})
        with pytest.raises(UsageError, match="nope"):
            records.scoped(field("nope") == 1)
        with pytest.raises(UsageError, match="Specification"):
            records.scoped(None)

    @needs("records", "cursors")
    async def test_a_cursor_of_another_view_is_refused(self, records: Any) -> None:
        mine, others, _ = await self.tenants(records)
        page = await mine.paginate(size=1)

        for view in (others, records, mine.with_deleted()):
            with pytest.raises(ValidationError):
                await view.paginate(size=1, cursor=page.next_cursor)

    @needs("records")
    async def test_a_guard_tells_nothing_of_other_views(self, records: Any) -> None:
        mine, _, ids = await self.tenants(records)
        never = field("qty") > 99

        assert await mine.update(ids[2], {"qty": 1}, when=never) is None
        assert await mine.update(ids[2], {"qty": 1}, expected_version=8) is None
        assert await mine.delete(ids[2], when=never) is False
        await refused(ConflictError, mine.delete(ids[0], when=never))

    @needs("records")
    @pytest.mark.parametrize("seed", [1, 2])
    async def test_no_verb_leaves_its_view(self, records: Any, seed: int) -> None:
        mine, others, ids = await self.tenants(records)
        await others.delete(ids[3])  # which nobody is to restore
        everything = records.with_deleted()
        before = await self.state(everything)

        for what, call in Random(seed).sample(_CALLS, len(_CALLS)):  # noqa: S311 - no secret
            with suppress(AppException):
                seen = {record.tenant for record in _entities(await call(mine, ids))}
                assert seen <= {"mine"}, f"{what} has shown what others have"
            after = await self.state(everything)
            assert after == before, f"{what} has changed what others have"

    async def state(self, records: Any) -> list[tuple[Any, ...]]:
        """Return what the other tenant has, stamps included."""
        found = await records.find(_TENANT == "others")
        return [
            (r.id, r.code, r.qty, r.version, r.updated_at, r.deleted_at) for r in found
        ]
