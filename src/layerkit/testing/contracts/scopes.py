"""Scopes: what a view does not show, no verb of it reads or writes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as field_of
from itertools import chain
from random import Random
from typing import Any

import pytest

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    ConflictError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, Inc, Specification, field
from layerkit.testing.contracts.base import BaseContract, needs

_TENANT = field("tenant")


@dataclass(frozen=True)
class Verb:
    """Be a call of a verb on records of which the ids are known.

    Attributes:
        text: What is called.
        call: Called with the view and the ids.
    """

    text: str
    call: Callable[[Any, list[int]], Awaitable[Any]] = field_of(repr=False)


def _verbs_by_id(n: int) -> list[Verb]:
    given = {"code": "new", "qty": 7}
    return [
        Verb(f"get_by_id({n})", lambda r, ids: r.get_by_id(ids[n])),
        Verb(f"exists({n})", lambda r, ids: r.exists(ids[n])),
        Verb(f"delete({n})", lambda r, ids: r.delete(ids[n])),
        Verb(f"restore({n})", lambda r, ids: r.restore(ids[n])),
        Verb(f"update({n})", lambda r, ids: r.update(ids[n], {"qty": 9})),
        Verb(
            f"update({n}, when=ALL)",
            lambda r, ids: r.update(ids[n], {"qty": Inc(1)}, when=ALL),
        ),
        Verb(
            f"update({n}, expected_version=1)",
            lambda r, ids: r.update(ids[n], {"qty": 8}, expected_version=1),
        ),
        Verb(
            f"with_deleted().update({n})",
            lambda r, ids: r.with_deleted().update(ids[n], {"qty": 6}),
        ),
        Verb(
            f"with_deleted().delete({n})",
            lambda r, ids: r.with_deleted().delete(ids[n]),
        ),
        Verb(f"get_by_id({n}, lock=wait)", lambda r, ids: _locked(r, ids[n])),
        Verb(f"create(id={n})", lambda r, ids: r.create({"id": ids[n], **given})),
        Verb(
            f"upsert({n})", lambda r, ids: r.upsert({"id": ids[n], **given}, key="id")
        ),
        Verb(
            f"upsert_many([{n}])",
            lambda r, ids: r.upsert_many([{"id": ids[n], **given}], key="id"),
        ),
    ]


def _verbs_by_code(code: str) -> list[Verb]:
    new = {"code": code, "qty": 7}
    return [
        Verb(f"create({code})", lambda r, _: r.create(new)),
        Verb(f"create_many([{code}])", lambda r, _: r.create_many([new])),
        Verb(f"find_one({code})", lambda r, _: r.find_one(field("code") == code)),
        Verb(f"upsert({code})", lambda r, _: r.upsert(new, key="code")),
        Verb(
            f"upsert_many([other, {code}])",
            lambda r, _: r.upsert_many([{"code": "other"}, new], key="code"),
        ),
    ]


def _verbs_by_filter(where: Specification) -> list[Verb]:
    return [
        Verb(f"find({where})", lambda r, _: r.find(where)),
        Verb(f"count({where})", lambda r, _: r.count(where)),
        Verb(f"paginate({where})", lambda r, _: r.paginate(where, total="exact")),
        Verb(
            f"update_where({where})",
            lambda r, _: r.update_where(where, {"qty": Inc(5)}),
        ),
        Verb(f"delete_where({where})", lambda r, _: r.delete_where(where)),
        Verb(f"delete(0, when={where})", lambda r, ids: r.delete(ids[0], when=where)),
        Verb(
            f"scoped({where}).delete_where(ALL, expect=1)",
            lambda r, _: r.scoped(where).delete_where(ALL, expect=1),
        ),
        Verb(
            f"with_deleted().delete_where({where})",
            lambda r, _: r.with_deleted().delete_where(where),
        ),
        Verb(
            f"with_deleted().find({where})", lambda r, _: r.with_deleted().find(where)
        ),
        Verb(f"pages of one, {where}", lambda r, _: _walked(r, where)),
        Verb(f"qty set on find({where})", lambda r, _: _changed(r, where, {"qty": 5})),
        Verb(
            f"tenant set on find({where})",
            lambda r, _: _changed(r, where, {"tenant": "others"}),
        ),
    ]


_VERBS = [
    Verb("get_all()", lambda r, _: r.get_all()),
    Verb("get_many(every id)", lambda r, ids: r.get_many(ids)),
    Verb("stream()", lambda r, _: _streamed(r)),
    *chain(*map(_verbs_by_id, range(4))),
    *chain(*map(_verbs_by_code, ("a0", "a1", "b0", "b1", "new"))),
    *chain(*map(_verbs_by_filter, (ALL, field("qty") >= 1, ~(field("code") == "a0")))),
]


async def _streamed(records: Any) -> list[Any]:
    return [record async for record in records.stream()]


async def _walked(records: Any, where: Specification) -> list[Any]:
    """Follow the cursor of a page of one."""
    page = await records.paginate(where, size=1)
    following = await records.paginate(where, size=1, cursor=page.next_cursor)
    return [*page.items, *following.items]


async def _changed(
    records: Any, where: Specification, changes: dict[str, object]
) -> list[Any]:
    """Set attributes of what is found, and leave it to the unit to store them."""
    async with records.unit_of_work():
        found: list[Any] = await records.find(where)
        for record in found:
            for name, value in changes.items():
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
    async def test_a_view_stores_nothing_that_it_would_not_show(
        self, records: Any
    ) -> None:
        view = records.scoped(_TENANT == "mine")
        foreign = {"code": "a", "tenant": "others"}

        with pytest.raises(ValidationError, match="scope"):
            await view.create(foreign)
        with pytest.raises(ValidationError, match="scope"):
            await view.create(self.record(**foreign))
        with pytest.raises(ValidationError, match="scope"):
            await view.create_many([{"code": "b"}, foreign])
        with pytest.raises(ValidationError, match="scope"):
            await view.upsert(foreign, key="code")

        assert await records.count() == 0

    @needs("records", "transactions")
    async def test_nothing_is_moved_out_of_its_view(self, records: Any) -> None:
        mine, _, ids = await self.tenants(records)

        with pytest.raises(ValidationError) as refused:
            await mine.update(ids[0], {"tenant": "others"})
        with pytest.raises(ValidationError):
            await mine.update_where(ALL, {"tenant": "others"})
        with pytest.raises(ValidationError, match="scope"):
            async with mine.unit_of_work():
                (await mine.get_by_id(ids[0])).tenant = "others"

        assert refused.value.detail["fields"] == ["tenant"]
        assert await records.count(_TENANT == "mine") == 2

    @needs("records")
    async def test_an_upsert_never_reaches_across(self, records: Any) -> None:
        mine, others, ids = await self.tenants(records)

        with pytest.raises(AlreadyExistsError):
            await mine.upsert({"code": "b0", "qty": 99}, key="code")
        with pytest.raises(AlreadyExistsError):
            await mine.upsert_many(
                [{"code": "new"}, {"code": "b0", "qty": 99}], key="code"
            )

        assert (await others.get_by_id(ids[2])).qty == 0
        assert await mine.count() == 2

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
    async def test_a_guard_in_a_view_tells_nothing_of_others(
        self, records: Any
    ) -> None:
        mine, _, ids = await self.tenants(records)
        never = field("qty") > 99

        assert await mine.update(ids[2], {"qty": 1}, when=never) is None
        assert await mine.update(ids[2], {"qty": 1}, expected_version=8) is None
        assert await mine.delete(ids[2], when=never) is False
        with pytest.raises(ConflictError):
            await mine.delete(ids[0], when=never)

    @needs("records")
    @pytest.mark.parametrize("seed", [1, 2])
    async def test_no_verb_reaches_out_of_its_view(
        self, records: Any, seed: int
    ) -> None:
        mine, others, ids = await self.tenants(records)
        await others.delete(ids[3])  # which nobody is to restore
        everything = records.with_deleted()
        before = await self.state(everything)

        for verb in Random(seed).sample(_VERBS, k=len(_VERBS)):  # noqa: S311 - no secret
            with suppress(AppException):
                result = await verb.call(mine, ids)
                seen = {record.tenant for record in _entities(result)}
                assert seen <= {"mine"}, f"{verb.text} has shown what others have"
            after = await self.state(everything)
            assert after == before, f"{verb.text} has changed what others have"

    async def state(self, records: Any) -> list[tuple[Any, ...]]:
        """Return what the other tenant has, stamps included."""
        found = await records.find(_TENANT == "others")
        return [
            (r.id, r.code, r.qty, r.version, r.updated_at, r.deleted_at) for r in found
        ]
