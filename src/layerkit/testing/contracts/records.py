"""Versions, stamps and soft deletion: every path of writing keeps them."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotSupportedError,
    StaleDataError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, Inc, field
from layerkit.testing.contracts.base import BaseContract, lacks, needs, refused


async def _set_attribute(records: Any, entity_id: int) -> None:
    async with records.unit_of_work():
        (await records.get_by_id(entity_id)).qty = 1


_NEW: Final = {"code": "a", "qty": 1}
_PATHS: Final[Mapping[str, Callable[[Any, int], Awaitable[Any]]]] = {
    "update": lambda records, key: records.update(key, {"qty": Inc(1)}),
    "update_where": lambda records, _: records.update_where(ALL, {"qty": Inc(1)}),
    "upsert": lambda records, _: records.upsert(_NEW, key="code"),
    "upsert_many": lambda records, _: records.upsert_many([_NEW], key="code"),
}


class RecordsContract(BaseContract):
    """Test entities with a version, ``updated_at`` and ``deleted_at``."""

    def write(self, code: str, **values: Any) -> Any:
        """Return a new record."""
        return self.record(code=code, **values)

    # Versions

    @needs("records")
    async def test_a_new_record_has_a_version_and_stamps(self, records: Any) -> None:
        before = datetime.now(UTC)
        made = await records.create(self.write("a"))
        await records.create_many([self.write("b"), {"code": "c"}])
        await records.upsert({"code": "d"}, key="code")

        for found in (made, *await records.get_all()):
            assert found.version == 1
            assert before <= found.created_at <= datetime.now(UTC)
            assert abs(found.updated_at - found.created_at).total_seconds() < 1
            assert found.deleted_at is None

    @needs("records")
    @pytest.mark.parametrize("path", _PATHS)
    async def test_every_path_moves_the_version_and_the_stamp(
        self, records: Any, path: str
    ) -> None:
        await self._check_path(records, _PATHS[path])

    @needs("records", "transactions")
    async def test_a_changed_attribute_moves_the_version_and_the_stamp(
        self, records: Any
    ) -> None:
        await self._check_path(records, _set_attribute)

    async def _check_path(
        self, records: Any, write: Callable[[Any, int], Awaitable[Any]]
    ) -> None:
        made = await records.create(self.write("a"))
        created, updated = made.created_at, made.updated_at

        await write(records, made.id)

        found = await records.get_by_id(made.id)
        assert (found.version, found.created_at, found.qty) == (2, created, 1)
        assert found.updated_at > updated

    @needs("records")
    async def test_an_update_to_the_same_moves_the_version(self, records: Any) -> None:
        made = await records.create(self.write("a", qty=1))

        once = await records.update(made.id, {"qty": 1})
        assert once.version == 2
        await records.update_where(ALL, {"qty": 1})
        assert (await records.upsert({"code": "a", "qty": 1}, key="code")).id

        assert (await records.get_by_id(made.id)).version == 4

    @needs("records")
    async def test_a_stale_version_refuses_every_change(self, records: Any) -> None:
        made = await records.create(self.write("a"))
        await records.update(made.id, {"qty": 1}, expected_version=1)

        change = {"qty": 9}
        for stale in (0, 1, 3):
            updating = records.update(made.id, change, expected_version=stale)
            deleting = records.delete(made.id, expected_version=stale)
            await refused(StaleDataError, updating, deleting)
        held = field("qty") > 1
        updating = records.update(made.id, change, expected_version=2, when=held)
        (guarded,) = await refused(ConflictError, updating)

        found = await records.get_by_id(made.id)
        assert (guarded.kind, found.qty, found.version) == ("guard", 1, 2)
        assert await records.update(999, change, expected_version=1) is None
        assert await records.delete(999, expected_version=1) is False
        assert await records.delete(made.id, expected_version=2) is True

    @needs("records", "transactions")
    async def test_racing_changes_are_stored_or_stale(self, records: Any) -> None:
        made = await records.create(self.write("a"))

        async def work() -> None:
            async with records.unit_of_work():
                found = await records.get_by_id(made.id)
                await records.count()
                found.qty += 1

        works = (work() for _ in range(5))
        results = await self.at_once(*works, return_exceptions=True)

        stored = results.count(None)
        stale = sum(isinstance(result, StaleDataError) for result in results)
        found = await records.get_by_id(made.id)
        assert stored + stale == 5
        assert (found.qty, found.version) == (stored, stored + 1)

    @needs("records")
    async def test_versions_and_restore_need_their_fields(self, items: Any) -> None:
        made = await items.create(self.make("a"))

        updating = items.update(made.id, {"qty": 1}, expected_version=1)
        deleting = items.delete(made.id, expected_version=1)
        await refused(UsageError, updating, deleting, match="no version")
        await refused(UsageError, items.restore(1), match="needs soft deletion")
        with pytest.raises(UsageError, match="needs soft deletion"):
            items.with_deleted()

    @lacks("records")
    async def test_records_are_refused_where_there_are_none(self, items: Any) -> None:
        made = await items.create(self.make("a", qty=1))

        updating = items.update(made.id, {"qty": 2}, expected_version=1)
        deleting = items.delete(made.id, expected_version=1)
        await refused(NotSupportedError, updating, deleting)
        for view in ("scoped", "with_deleted"):
            with pytest.raises((NotSupportedError, AttributeError)):
                getattr(items, view)()

        assert (await items.get_by_id(made.id)).qty == 1

    @needs("records", "upserts")
    async def test_an_upsert_keeps_the_stamps(self, records: Any) -> None:
        made = await records.create({"code": "a"})
        foreign = {"created_at": datetime(2001, 1, 1, tzinfo=UTC), "version": 9}

        await records.upsert(self.record(code="a", qty=1, **foreign), key="code")
        await records.upsert_many([self.record(code="a", qty=2, **foreign)], key="code")

        found = await records.get_by_id(made.id)
        assert (found.qty, found.version) == (2, made.version + 2)
        assert found.created_at == made.created_at
        assert found.updated_at >= made.updated_at

    @needs("records", "transactions")
    @pytest.mark.parametrize(
        "name", ["version", "created_at", "updated_at", "deleted_at"]
    )
    async def test_nobody_writes_versions_and_stamps(
        self, records: Any, name: str
    ) -> None:
        made = await records.create(self.write("a"))
        value = 7 if name == "version" else datetime(2020, 1, 1, tzinfo=UTC)

        by_id = records.update(made.id, {name: value})
        by_filter = records.update_where(ALL, {name: value})
        refusals = await refused(ValidationError, by_id, by_filter)
        with pytest.raises(ValidationError):
            async with records.unit_of_work():
                setattr(await records.get_by_id(made.id), name, value)

        assert [refusal.detail["fields"] for refusal in refusals] == [[name]] * 2
        assert (await records.get_by_id(made.id)).version == 1

    # Soft deletion

    @needs("records")
    async def test_what_is_deleted_is_hidden_from_verbs(self, records: Any) -> None:
        gone = await records.create(self.write("gone", qty=1))
        kept = await records.create(self.write("kept", qty=1))

        assert await records.delete(gone.id) is True

        assert await records.get_by_id(gone.id) is None
        assert await records.exists(gone.id) is False
        assert [r.id for r in await records.get_many([gone.id, kept.id])] == [kept.id]
        assert [r.id for r in await records.get_all()] == [kept.id]
        assert [r.id for r in await records.find(ALL)] == [kept.id]
        assert await records.find_one(field("code") == "gone") is None
        assert await records.count() == 1
        page = await records.paginate(total="exact")
        assert ([r.id for r in page.items], page.total) == ([kept.id], 1)
        assert [r.id async for r in records.stream()] == [kept.id]
        assert await records.update(gone.id, {"qty": 9}) is None
        assert await records.delete(gone.id) is False
        assert await records.update_where(ALL, {"qty": 9}) == 1
        assert await records.delete_where(field("qty") == 1) == 0
        row = {"id": gone.id, "code": "new"}
        one, many = records.upsert(row, key="id"), records.upsert_many([row], key="id")
        await refused(AlreadyExistsError, one, many)
        hidden = await records.with_deleted().get_by_id(gone.id)
        assert (hidden.code, hidden.qty, hidden.version) == ("gone", 1, 2)
        assert hidden.deleted_at <= datetime.now(UTC)

    @needs("records")
    async def test_what_was_hidden_is_restored(self, records: Any) -> None:
        made = await records.create(self.write("a", qty=4))
        updated = made.updated_at
        await records.delete(made.id)

        assert await records.update(made.id, {"qty": 9}) is None
        restored = await records.restore(made.id)

        assert (restored.code, restored.qty, restored.deleted_at) == ("a", 4, None)
        found = await records.get_by_id(made.id)
        assert (found.version, found.created_at) == (3, made.created_at)
        assert found.updated_at > updated
        assert (await records.restore(made.id)).version == 3
        assert await records.restore(999) is None

    @needs("records", "unique")
    async def test_a_hidden_record_frees_its_unique_value(self, records: Any) -> None:
        old = await records.create(self.write("a"))
        await records.delete(old.id)

        new = await records.create(self.write("a"))
        changed = await records.upsert({"code": "a", "qty": 5}, key="code")
        (refusal,) = await refused(AlreadyExistsError, records.restore(old.id))
        await refused(AlreadyExistsError, records.create(self.write("a")))

        assert (changed.id, changed.qty) == (new.id, 5)
        assert refusal.fields == ("code",)
        await records.delete(new.id)
        assert (await records.restore(old.id)).id == old.id

    @needs("records")
    async def test_with_deleted_removes_for_good(self, records: Any) -> None:
        ids = [(await records.create(self.write(c))).id for c in "abc"]
        await records.delete(ids[0])
        everything = records.with_deleted()

        assert await everything.delete(ids[0]) is True
        assert await everything.delete_where(field("code") == "b") == 1

        assert [r.code for r in await everything.get_all()] == ["c"]
        assert await records.restore(ids[0]) is None

    @needs("records")
    async def test_a_new_record_is_not_hidden(self, records: Any) -> None:
        hidden = {"code": "a", "deleted_at": datetime.now(UTC)}

        await refused(ValidationError, records.create(hidden), match="scope")

        assert await records.with_deleted().count() == 0

        assert await records.with_deleted().count() == 0
