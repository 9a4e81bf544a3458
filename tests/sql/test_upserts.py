"""Upserts where no statement returns what it has written, as on MySQL."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Numeric, String, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import ALL, AlreadyExistsError, Inc, NotSupportedError, Repository, field
from layerkit.repository import UniqueRule, Upsert, adapter_for
from layerkit.sql import Database, MappedAdapter
from layerkit.sql.queries import Queries
from layerkit.sql.upserts import Upserts
from tests.support.databases import new_tables
from tests.support.entities import Base, MappedRecord

CODE = adapter_for(MappedRecord).unique[0]


class Counters(DeclarativeBase):
    """Hold the table of counters."""


class Counter(Counters):
    __tablename__ = "upsert_counters"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    plain: Mapped[int | None]
    scalar: Mapped[int] = mapped_column(default=5)
    called: Mapped[Decimal] = mapped_column(
        Numeric(9, 2), default=lambda: Decimal("1.5")
    )
    served: Mapped[int] = mapped_column(server_default="7")
    quoted: Mapped[float] = mapped_column(server_default=text("'0.5'"))
    cents: Mapped[Decimal] = mapped_column(Numeric(9, 2), server_default="2.50")
    made: Mapped[int] = mapped_column(server_default=text("(1 + 1)"))


@pytest.fixture
async def records(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Records on a database that ignores an insert which any unique rule refuses.

    That is what the statement for MySQL does with rules that are not meant.
    """

    def ignoring(*_: object) -> Any:
        return insert(MappedRecord).on_conflict_do_nothing()

    monkeypatch.setattr(Upserts, "statement", ignoring)
    monkeypatch.setattr(
        Upserts, "returns", property(lambda _: False, lambda *_: None), raising=False
    )
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        yield Repository[MappedRecord, int](database, MappedRecord)


async def test_what_was_stored_is_found(records: Any) -> None:
    stored = await records.upsert({"code": "a", "qty": 1}, key="code")
    await records.upsert_many([{"code": "b"}, {"code": "c"}], key="code")

    assert (stored.code, stored.qty) == ("a", 1)
    assert await records.count() == 3


async def test_what_the_statement_has_left_alone_is_changed_after_it(
    records: Any,
) -> None:
    made = await records.create({"code": "a"})

    stored = await records.upsert({"code": "a", "qty": 5}, key="code")
    await records.upsert_many([{"code": "a", "qty": 6}, {"code": "b"}], key="code")

    found = await records.get_by_id(made.id)
    assert (stored.id, found.qty, found.version) == (made.id, 6, 3)


async def test_another_unique_rule_that_was_in_the_way_is_reported(
    records: Any,
) -> None:
    made = await records.create({"code": "a"})

    with pytest.raises(AlreadyExistsError) as refused:
        await records.upsert({"id": made.id + 1, "code": "a"}, key="id")
    with pytest.raises(AlreadyExistsError):
        await records.upsert_many([{"id": made.id + 1, "code": "a"}], key="id")

    assert refused.value.fields == ("code",)
    assert await records.count() == 1


async def test_what_is_hidden_is_left_alone_and_reported(records: Any) -> None:
    await records.create({"code": "a", "tenant": "others"})
    mine = records.scoped(field("tenant") == "mine")

    with pytest.raises(AlreadyExistsError):
        await mine.upsert({"code": "a", "qty": 5}, key="code")
    with pytest.raises(AlreadyExistsError):
        await mine.upsert_many([{"code": "a", "qty": 5}], key="code")

    assert (await records.find_one(field("code") == "a")).qty == 0


async def test_what_was_left_alone_for_another_unique_rule_is_added_to_after_it(
    records: Any,
) -> None:
    first = await records.create({"code": "a", "qty": 1})
    second = await records.create({"code": "b", "qty": 1})
    rows = [{"id": second.id, "code": "a", "qty": Inc(4)}]

    stored = await records.upsert(rows[0], key="code")
    await records.upsert_many(rows, key="code")

    assert (stored.id, stored.qty) == (first.id, 5)
    assert [(await records.get_by_id(r.id)).qty for r in (first, second)] == [9, 1]


async def test_a_row_that_was_inserted_is_not_added_to_again(records: Any) -> None:
    stored = await records.upsert({"id": 7, "code": "a", "qty": Inc(4)}, key="code")

    assert stored.qty == 4


class Nothing:
    """Stand for a statement that has done nothing."""

    def values(self, _: object) -> Any:
        return text("SELECT 1")


async def test_what_was_in_the_way_and_is_gone_since_is_no_obstacle(
    records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upserts, "statement", lambda *_: Nothing())

    stored = await records.upsert({"code": "a", "qty": 5}, key="code")

    assert (stored.code, stored.qty, await records.count()) == ("a", 5, 1)


def upserts(rule: UniqueRule = CODE) -> Upserts[Any]:
    adapter = adapter_for(MappedRecord)
    assert isinstance(adapter, MappedAdapter)
    queries = Queries(adapter, mysql.dialect, ())
    return Upserts(queries, rule, field("version") == 1)


async def test_an_upsert_that_adds_starts_from_the_default_of_the_column(
    url: str,
) -> None:
    async with Database(url) as database:
        await new_tables(database.engine, Counters.metadata)
        counters = Repository[Counter, int](database, Counter)
        names = ("plain", "scalar", "called", "served", "quoted", "cents")
        hit: dict[str, Any] = {"name": "a"} | dict.fromkeys(names, Inc(2))

        first = await counters.upsert(hit, key="name")
        began = [getattr(first, name) for name in names]
        await counters.upsert_many([hit, {**hit, "name": "b"}], key="name")
        found = await counters.find(ALL, field("name").asc())

        again = [[getattr(counter, name) for name in names] for counter in found]
        assert began == [2, 7, Decimal("3.5"), 9, 2.5, Decimal("4.5")]
        assert again == [[4, 9, Decimal("5.5"), 11, 4.5, Decimal("6.5")], began]
        with pytest.raises(NotSupportedError, match=r"Counter\.made"):
            await counters.upsert({"name": "a", "made": Inc(1)}, key="name")


def test_mysql_changes_only_what_is_meant() -> None:
    item = Upsert(MappedRecord(code="a", qty=1), {"qty": 1}, ("a",))

    writing = upserts()
    [(_, rows)] = writing.groups([item])
    statement = writing.statement(item.changes)

    text = " ".join(str(statement.compile(dialect=mysql.dialect())).split())
    assert rows[0]["qty"] == 1
    assert "ON DUPLICATE KEY UPDATE" in text
    same = "CAST(records.code AS BINARY) = CAST(VALUES(code) AS BINARY)"
    guard = f"records.version = %s AND {same}"
    assert f"qty = if({guard}, VALUES(qty), records.qty)" in text
    assert f"version = if({guard}, records.version + %s, records.version)" in text


def test_mysql_changes_nothing_where_there_is_nothing_to_change() -> None:
    statement = upserts().statement({})

    text = str(statement.compile(dialect=mysql.dialect()))
    assert text.endswith("ON DUPLICATE KEY UPDATE code = records.code")


async def test_a_lock_on_sqlite_is_one_on_everything(sqlite: Database) -> None:
    await sqlite.create_all(Base.metadata)
    records = Repository[MappedRecord, int](sqlite, MappedRecord)
    made = await records.create({"code": "a"})

    async with records.unit_of_work():
        assert await records.get_by_id(made.id, lock="wait") is not None
        with pytest.raises(NotSupportedError, match="locks the whole database"):
            await records.find(field("id") > 0, lock="skip_locked")


async def test_locked_rows_are_waited_for_or_left_out(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return  # see above
    await new_tables(database.engine, Base.metadata)
    records = Repository[MappedRecord, int](database, MappedRecord)
    await records.create_many([{"code": "a"}, {"code": "b"}])

    async with database.engine.connect() as other, other.begin():
        locked = select(MappedRecord.id).where(MappedRecord.code == "a")
        await other.execute(locked.with_for_update())
        async with records.unit_of_work():
            free = await records.find(field("qty") == 0, lock="skip_locked")

    assert [record.code for record in free] in (["b"], [])
