"""Scopes that a class demands, locks, bounds and secrets."""

import asyncio
import contextvars
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import pytest
from pydantic import BaseModel

from layerkit import (
    ALL,
    AlreadyExistsError,
    InMemoryRepository,
    MemoryDatabase,
    NotSupportedError,
    Repository,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
    field,
)
from layerkit.repository import Unique, adapter_for
from layerkit.repository.filters.cursors import describe
from tests.support.entities import MappedRecord


@dataclass
class Bill:
    number: int
    owner: str | None = None
    state: str = "open"
    id: int | None = None


class Bills(Repository[Bill, int]):
    scoped_by = ("owner",)


class AnyBills(Repository[Bill, int]): ...


@pytest.mark.defect("R42")
async def test_a_missing_tenant_is_an_error_for_every_verb() -> None:
    bills = Bills(MemoryDatabase())

    for verb in (
        bills.create({"number": 1}),
        bills.create_many([{"number": 1}]),
        bills.get_by_id(1),
        bills.get_all(),
        bills.get_many([1]),
        bills.find(ALL),
        bills.find_one(ALL),
        bills.count(),
        bills.exists(1),
        bills.paginate(),
        bills.update(1, {"state": "paid"}),
        bills.update_where(ALL, {"state": "paid"}),
        bills.update_where(ALL, {"state": "paid"}, expect=0),
        bills.delete(1),
        bills.delete_where(ALL),
        bills.upsert({"id": 1, "number": 1}, key="id"),
        bills.upsert_many([{"id": 1, "number": 1}], key="id"),
    ):
        with pytest.raises(UsageError, match="scoped by owner, which nothing has set"):
            await verb
    with pytest.raises(UsageError, match="scoped by owner"):
        [bill async for bill in bills.stream()]


async def test_a_view_that_says_nothing_of_the_tenant_is_not_enough() -> None:
    bills = Bills(MemoryDatabase())

    for view in (
        bills.scoped(field("number") > 1),
        bills.scoped(field("owner").is_null()),
        bills.scoped((field("owner") == "a") | (field("owner") == "b")),
        bills.scoped(ALL, {"owner": "a"}),
    ):
        with pytest.raises(UsageError, match="scoped by owner"):
            await view.count()
    both = (field("owner") == "a") & (field("number") > 1)
    assert await bills.scoped(both).count() == 0


async def test_an_entity_takes_what_its_view_sets() -> None:
    bills = AnyBills(MemoryDatabase()).scoped(field("owner") == "ada")

    created = await bills.create(Bill(1))

    assert created.owner == "ada"


async def test_a_default_of_the_class_counts_in_a_view() -> None:
    records = Repository[MappedRecord, int](MemoryDatabase(), MappedRecord)

    made = await records.scoped(field("qty") < 1).create({"code": "a"})

    assert made.qty == 0


async def test_a_filter_holds_no_more_values_than_a_database_takes() -> None:
    bills = AnyBills(MemoryDatabase())

    assert await bills.count(field("number").in_(range(30_000))) == 0
    with pytest.raises(UsageError, match="30,001 values"):
        await bills.count(field("number").in_(range(30_001)))


# Locks


async def test_a_lock_lasts_as_long_as_a_unit_that_may_write() -> None:
    bills = AnyBills(MemoryDatabase())

    with pytest.raises(UnitOfWorkError, match="a lock lasts as long"):
        await bills.get_by_id(1, lock="wait")
    async with bills.unit_of_work(read_only=True):
        with pytest.raises(UnitOfWorkError, match="a lock lasts as long"):
            await bills.find(ALL, lock="wait")
    async with bills.unit_of_work():
        with pytest.raises(UsageError, match="got 'maybe'"):
            await bills.find_one(ALL, lock="maybe")  # type: ignore[arg-type] # the point


async def test_a_lock_keeps_others_from_writing() -> None:
    bills = AnyBills(MemoryDatabase())
    made = await bills.create(Bill(1))
    assert made.id is not None
    number = made.id
    order: list[str] = []

    async def other() -> None:
        async with bills.unit_of_work():
            with pytest.raises(UnavailableError, match="is writing"):
                await bills.get_by_id(number, lock="nowait")
        await bills.update(number, {"state": "paid"})
        order.append("other")

    async with bills.unit_of_work():
        await bills.get_by_id(number, lock="wait")
        await bills.get_by_id(number, lock="nowait")
        waiting = asyncio.create_task(other(), context=contextvars.Context())
        for _ in range(20):
            await asyncio.sleep(0)
        order.append("holder")
    await waiting

    assert order == ["holder", "other"]


async def test_no_row_of_a_memory_is_locked_by_itself() -> None:
    bills = AnyBills(MemoryDatabase())

    async with bills.unit_of_work():
        with pytest.raises(NotSupportedError, match="locks as a whole"):
            await bills.find(ALL, lock="skip_locked")


async def test_a_memory_answers_and_is_closed_like_a_database() -> None:
    database = MemoryDatabase()

    await database.ping()
    await database.close()

    assert await AnyBills(database).count() == 0


# Cursors


async def test_a_cursor_is_good_wherever_the_secret_is_known() -> None:
    secret = "an-open-secret-of-tests"
    homes = [MemoryDatabase(cursor_secret=secret) for _ in range(2)]
    stranger = MemoryDatabase(cursor_secret=b"another-secret-of-tests")
    for home in (*homes, stranger):
        await AnyBills(home).create_many([Bill(n) for n in range(3)])

    page = await AnyBills(homes[0]).paginate(size=1)
    next_page = await AnyBills(homes[1]).paginate(size=1, cursor=page.next_cursor)
    with pytest.raises(ValidationError):
        await AnyBills(stranger).paginate(size=1, cursor=page.next_cursor)

    assert [bill.number for bill in next_page.items] == [1]


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UsageError, match="cursor_secret has 5 bytes"):
        MemoryDatabase(cursor_secret="short")


def test_a_set_is_described_alike_in_every_process() -> None:
    values = {f"value {n}" for n in range(50)}

    described = describe(field("name").in_(values))

    assert described == describe(field("name").in_(sorted(values, reverse=True)))


# Stamps of plain classes


class Page(BaseModel):
    text: Annotated[str, Unique(live=True)]
    id: int | None = None
    deleted_at: datetime | None = None


async def test_a_live_rule_needs_soft_deletion() -> None:
    @dataclass
    class Plain:
        text: Annotated[str, Unique(live=True)]
        id: int | None = None

    with pytest.raises(UsageError, match="deleted_at"):
        InMemoryRepository[Plain, int](model_class=Plain)


async def test_pydantic_entities_are_soft_deleted_too() -> None:
    pages = InMemoryRepository[Page, int](model_class=Page)
    old = await pages.create({"text": "a"})
    await pages.delete(old.id or 0)

    new = await pages.create({"text": "a"})

    assert (await pages.get_all()) == [new]
    with pytest.raises(AlreadyExistsError):
        await pages.restore(old.id or 0)


def test_a_moment_with_a_zone_is_named_so() -> None:
    adapter = adapter_for(MappedRecord)

    with pytest.raises(UsageError, match="datetime with a time zone"):
        adapter.check_value("created_at", datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    adapter.check_value("created_at", datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_view_of_a_view_gives_the_defaults_of_both() -> None:
    bills = AnyBills(MemoryDatabase()).scoped(field("owner") == "ada", {"state": "new"})

    made = await bills.scoped(field("number") > 0).create({"number": 1})

    assert (made.owner, made.state) == ("ada", "new")


async def test_no_update_writes_what_a_view_gives_by_default() -> None:
    bills = AnyBills(MemoryDatabase()).scoped(ALL, {"state": "new"})
    made = await bills.create({"number": 1})

    with pytest.raises(ValidationError, match="the scope of the repository sets it"):
        await bills.update(made.id, {"state": "paid"})

    assert await bills.get_by_id(made.id) == made
