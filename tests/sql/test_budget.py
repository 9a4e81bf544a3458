"""What a verb sends, and how often it waits: the table in docs/reference/sql.md."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
    selectinload,
)

from layerkit.repository import ALL, Inc, Repository, field
from layerkit.sql import Database, SQLRepository, UUIDKeyMixin, statements
from tests.support.databases import new_tables

pytestmark = pytest.mark.unmeasured


class Base(DeclarativeBase):
    """Hold the table of the budget."""


class Part(Base):
    __tablename__ = "budget_parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    qty: Mapped[int] = mapped_column(default=0)
    made: Mapped[str] = mapped_column(String(20), server_default="there")


class Label(UUIDKeyMixin, Base):
    __tablename__ = "budget_labels"
    text: Mapped[str] = mapped_column(String(20))


class Parts(Repository[Part, int]): ...


class Crate(Base):
    """Bring its lid in its own SELECT, and its bolts by a second."""

    __tablename__ = "budget_crates"
    id: Mapped[int] = mapped_column(primary_key=True)
    lid_id: Mapped[int | None] = mapped_column(ForeignKey("budget_labels.id"))
    lid: Mapped[Label | None] = relationship(lazy="joined")
    bolts: Mapped[list["Bolt"]] = relationship(lazy="selectin")
    nails: Mapped[list["Nail"]] = relationship()


class Bolt(Base):
    __tablename__ = "budget_bolts"
    id: Mapped[int] = mapped_column(primary_key=True)
    crate_id: Mapped[int] = mapped_column(
        ForeignKey("budget_crates.id", ondelete="CASCADE")
    )


class Nail(Base):
    __tablename__ = "budget_nails"
    id: Mapped[int] = mapped_column(primary_key=True)
    crate_id: Mapped[int] = mapped_column(
        ForeignKey("budget_crates.id", ondelete="CASCADE")
    )


Verb = Callable[[Parts], Awaitable[Any]]


@dataclass(frozen=True)
class Budget:
    """How many statements a verb sends, and how often it waits for PostgreSQL.

    Attributes:
        verb: Calls it.
        returning: Statements on databases with UPDATE RETURNING.
        mariadb: Statements on those without.
        alone: Round trips outside of a unit of work.
        in_unit: Round trips in one, without its BEGIN and COMMIT.
    """

    verb: Verb
    returning: int
    mariadb: int
    alone: int
    in_unit: int


NEW = {"code": "new"}
BUDGETS = {
    "create": Budget(lambda p: p.create(NEW), 1, 1, 1, 1),
    "get_by_id": Budget(lambda p: p.get_by_id(1), 1, 1, 1, 1),
    "get_many": Budget(lambda p: p.get_many(range(1, 51)), 1, 1, 1, 1),
    "get_all": Budget(lambda p: p.get_all(), 1, 1, 1, 1),
    "find": Budget(lambda p: p.find(field("qty") > 3), 1, 1, 1, 1),
    "find_one": Budget(lambda p: p.find_one(field("code") == "c3"), 1, 1, 1, 1),
    "count": Budget(lambda p: p.count(), 1, 1, 1, 1),
    "aggregate": Budget(
        lambda p: p.aggregate(field("qty") > 3, by="made", sum="qty", avg="qty"),
        1,
        1,
        1,
        1,
    ),
    "exists": Budget(lambda p: p.exists(1), 1, 1, 1, 1),
    "paginate": Budget(lambda p: p.paginate(size=10), 1, 1, 1, 1),
    "stream, a batch": Budget(lambda p: anext(p.stream()), 1, 1, 1, 1),
    "paginate, counted": Budget(
        lambda p: p.paginate(size=9, total="exact"), 2, 2, 4, 2
    ),
    "update": Budget(lambda p: p.update(1, {"qty": Inc(1)}), 1, 2, 1, 1),
    "update, guarded": Budget(
        lambda p: p.update(1, {"qty": 5}, when=field("qty") == 1), 1, 2, 1, 1
    ),
    "delete": Budget(lambda p: p.delete(1), 1, 1, 1, 1),
    "create_many": Budget(
        lambda p: p.create_many({"code": f"n{n}"} for n in range(1000)), 1, 1, 3, 1
    ),
    "create_many, returning": Budget(
        lambda p: p.create_many(
            ({"code": f"n{n}"} for n in range(1000)), returning=True
        ),
        1,
        1,
        3,
        1,
    ),
    "update_where": Budget(lambda p: p.update_where(ALL, {"qty": Inc(1)}), 1, 1, 1, 1),
    "delete_where": Budget(lambda p: p.delete_where(field("qty") > 3), 1, 1, 1, 1),
    "delete_where, expected": Budget(
        lambda p: p.delete_where(ALL, expect=60), 1, 1, 3, 3
    ),
    "upsert, new": Budget(lambda p: p.upsert(NEW, key="code"), 1, 2, 1, 1),
    "upsert, known": Budget(
        lambda p: p.upsert({"code": "c3", "qty": 9}, key="code"), 1, 2, 1, 1
    ),
    "upsert, adding": Budget(
        lambda p: p.upsert({"code": "c3", "qty": Inc(1)}, key="code"), 1, 2, 1, 1
    ),
    "upsert_many, adding": Budget(
        lambda p: p.upsert_many(
            [{"code": f"c{n}", "qty": Inc(n)} for n in range(1, 31)], key="code"
        ),
        1,
        60,
        3,
        3,
    ),
    "upsert_many": Budget(
        lambda p: p.upsert_many([{"code": f"n{n}"} for n in range(500)], key="code"),
        1,
        2,
        3,
        3,
    ),
}


@pytest.fixture
async def parts(url: str) -> AsyncIterator[Parts]:
    """Sixty parts, numbered from 1."""
    async with Database(url) as database:
        await new_tables(database.engine, Base.metadata)
        parts = Parts(database)
        await parts.create_many({"code": f"c{n}", "qty": n} for n in range(1, 61))
        yield parts


def engine_of(parts: Parts) -> Any:
    assert isinstance(parts.home, Database)
    return parts.home.engine


def home_of(parts: Parts) -> Database:
    assert isinstance(parts.home, Database)
    return parts.home


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.defect("R32")
@pytest.mark.defect("R36")
@pytest.mark.defect("R39")
@pytest.mark.defect("R41")
async def test_a_verb_keeps_to_its_budget(parts: Parts, name: str) -> None:
    budget = BUDGETS[name]
    is_mariadb = engine_of(parts).dialect.name in {"mysql", "mariadb"}

    with statements() as seen:
        await budget.verb(parts)

    assert seen.count == (budget.mariadb if is_mariadb else budget.returning), seen.sql


@pytest.mark.defect("R36")
async def test_a_batch_with_keys_of_the_client_is_one_statement(parts: Parts) -> None:
    labels = Repository[Label, UUID](parts.home, Label)

    with statements(max=1):
        await labels.create_many(Label(text=f"t{n}") for n in range(1000))

    assert await labels.count() == 1000


async def test_a_batch_to_be_returned_holds_what_the_database_made(
    parts: Parts,
) -> None:
    labels = Repository[Label, UUID](parts.home, Label)

    with statements(max=2):
        made = await parts.create_many(
            ({"code": f"n{n}"} for n in range(9)), returning=True
        )
        named = await labels.create_many(
            [Label(text="a"), Label(text="b")], returning=True
        )

    assert [(p.id, p.qty, p.made) for p in made] == [
        (61 + n, 0, "there") for n in range(9)
    ]
    assert await labels.get_many([label.id for label in named])


async def test_what_the_unit_has_loaded_costs_nothing_to_get(parts: Parts) -> None:
    async with parts.unit_of_work():
        held = await parts.get_by_id(1)
        with statements(max=0):
            assert await parts.get_by_id(1) is held


async def test_eager_relations_cost_a_create_what_they_cost_a_get(parts: Parts) -> None:
    class Nailed(SQLRepository[Crate, int]):
        load = (selectinload(Crate.nails),)

    plain = Repository[Crate, int](parts.home, Crate)
    for repository, read in ((plain, 2), (Nailed(home_of(parts)), 3)):
        with statements() as creating:
            crate = await repository.create({})
        with statements() as getting:
            await repository.get_by_id(crate.id)

        assert (creating.count, getting.count) == (1 + read, read)


async def test_an_entity_that_brings_its_eager_relations_is_read_no_more(
    parts: Parts,
) -> None:
    crates = Repository[Crate, int](parts.home, Crate)

    with statements() as seen:
        await crates.create(Crate(lid=None, bolts=[Bolt()]))

    assert seen.count == 2, seen.sql  # an INSERT into each table


@pytest.mark.parametrize("holds", [True, False])
async def test_a_delete_reads_again_what_the_unit_holds_and_it_may_reach(
    parts: Parts, holds: bool
) -> None:
    crates = Repository[Crate, int](parts.home, Crate)
    nails = Repository[Nail, int](parts.home, Nail)
    made = [await crates.create({}) for _ in range(3)]
    await nails.create_many({"crate_id": crate.id} for crate in made)

    async with crates.unit_of_work():
        held = await nails.find(ALL) if holds else []
        await parts.get_by_id(1)  # which no foreign key reaches
        with statements() as one:
            await crates.delete(made[0].id)
        with statements() as rest:
            await crates.delete_where(ALL)

    assert (one.count, rest.count) == ((2, 2) if held else (1, 1)), one.sql + rest.sql
    assert await nails.count() == 0


@pytest.mark.defect("R31")
async def test_exists_counts_nothing(parts: Parts) -> None:
    with statements() as seen:
        await parts.exists(1)

    assert "count" not in seen.sql[0].lower()


async def test_a_bulk_verb_reads_again_what_the_unit_has_loaded(parts: Parts) -> None:
    async with parts.unit_of_work():
        kept = await parts.get_by_id(1)
        gone = await parts.get_by_id(60)
        assert kept is not None

        with statements() as changing:
            await parts.update_where(ALL, {"qty": Inc(100)})
        qty = kept.qty
        with statements() as deleting:
            await parts.delete_where(field("id") > 50)

        assert (changing.count, deleting.count, qty) == (2, 1, 101), deleting.sql
        assert await parts.get_by_id(60) is None
        assert gone is not None


async def test_a_stream_sends_one_statement_a_batch(parts: Parts) -> None:
    with statements() as seen:
        found = [part.id async for part in parts.stream(batch_size=25)]

    assert found == list(range(1, 61))
    assert seen.count == 3


@pytest.mark.defect("R36")
@pytest.mark.parametrize(("ids", "count"), [(True, 2), (False, 100)])
async def test_rows_of_two_shapes_are_two_statements_where_they_bring_their_keys(
    parts: Parts, ids: bool, count: int
) -> None:
    items = [
        {"code": f"n{n}"} | ({"made": "here"} if n % 2 else {}) for n in range(100)
    ]
    keyed = [{"id": 1_000 + n, **item} for n, item in enumerate(items)]

    with statements() as seen:
        await parts.create_many(keyed if ids else items)

    new = await parts.find(field("id") > 60)
    assert seen.count == count
    assert [part.code for part in new] == [f"n{n}" for n in range(100)]


async def test_a_batch_larger_than_any_bind_limit_is_one_batch(parts: Parts) -> None:
    items = [{"code": f"big{n}", "qty": n} for n in range(34_000)]

    assert await parts.create_many(items) == 34_000
    assert await parts.upsert_many(items[:33_000], key="code") == 33_000
    assert await parts.count() == 34_060
    assert len(await parts.get_many(range(1, 33_001))) > 30_000
