"""Collections in columns: what changes inside of them is written, as in memory."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import JSON, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

from layerkit.core.errors import ConflictError, UnitOfWorkError
from layerkit.repository import MemoryDatabase, Repository, field
from layerkit.sql import Database, VersionMixin, statements
from tests.support.databases import new_tables


class Base(DeclarativeBase):
    pass


class Words(TypeDecorator[list[str]]):
    """Words in one text, with blanks between."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: list[str] | None, _: Any) -> str | None:
        return None if value is None else " ".join(value)

    @override
    def process_result_value(self, value: str | None, _: Any) -> list[str] | None:
        return None if value is None else value.split()


class Basket(VersionMixin, Base):
    __tablename__ = "baskets"

    id: Mapped[int] = mapped_column(primary_key=True)
    lines: Mapped[Any] = mapped_column(JSON, default=list)
    words: Mapped[Any] = mapped_column(Words, nullable=True)
    notes: Mapped[Any] = mapped_column(MutableDict.as_mutable(JSON), nullable=True)
    origin: Mapped[Any] = mapped_column(INET().with_variant(Text, "sqlite", "mysql"))


Baskets = Repository[Basket, int]


@pytest.fixture(params=["memory", "sql"])
async def baskets(
    request: pytest.FixtureRequest, url: str
) -> AsyncIterator[Repository[Basket, int]]:
    if request.param == "memory":
        yield Repository[Basket, int](MemoryDatabase(), Basket)
        return
    async with Database(url) as database:
        await new_tables(database.engine, Base.metadata)
        yield Repository[Basket, int](database, Basket)


async def new_basket(baskets: Baskets, **values: Any) -> Basket:
    return await baskets.create(Basket(origin="10.0.0.1", **values))


async def found(baskets: Baskets, basket: Basket) -> Basket:
    read = await baskets.get_by_id(basket.id)
    assert read is not None
    return read


@pytest.mark.defect("R44")
async def test_a_change_inside_of_a_collection_is_stored(baskets: Baskets) -> None:
    basket = await new_basket(
        baskets, lines=[{"sku": "a", "qty": 1}], words=["one"], notes={"to": {}}
    )

    async with baskets.unit_of_work():
        read = await found(baskets, basket)
        read.lines[0]["qty"] = 2
        read.words.append("two")
        read.notes["to"]["city"] = "Rome"

    stored = await found(baskets, basket)
    assert stored.lines == [{"sku": "a", "qty": 2}]
    assert (stored.words, stored.notes) == (["one", "two"], {"to": {"city": "Rome"}})
    assert (basket.version, stored.version) == (1, 2)


async def test_verbs_of_the_unit_see_it(baskets: Baskets) -> None:
    async with baskets.unit_of_work():
        basket = await new_basket(baskets)
        basket.lines.append(1)
        (read,) = await baskets.find(field("version") == 2)
        read.lines.append(2)
        with pytest.raises(ConflictError):
            await baskets.delete(basket.id, when=field("version") == 2)
        updated = await baskets.update(basket.id, {"words": []})
        assert updated is basket is read
        updated.words.append("three")

    stored = await found(baskets, basket)
    assert (stored.lines, stored.words, stored.version) == ([1, 2], ["three"], 5)


async def test_a_savepoint_takes_it_back(baskets: Baskets) -> None:
    basket = await new_basket(baskets, lines=[1])

    async with baskets.unit_of_work() as unit:
        read = await found(baskets, basket)
        read.lines.append(2)
        with pytest.raises(ConflictError):
            async with unit.savepoint():
                read.lines.append(3)
                await baskets.delete(basket.id, when=field("version") == 1)
        read.lines.append(4)

    assert (await found(baskets, basket)).lines == [1, 2, 4]


async def test_a_savepoint_that_ends_well_keeps_it(baskets: Baskets) -> None:
    basket = await new_basket(baskets)

    async with baskets.unit_of_work() as unit:
        read = await found(baskets, basket)
        async with unit.savepoint():
            read.lines.append(1)

    assert (await found(baskets, basket)).lines == [1]


async def test_a_read_only_unit_refuses_it(baskets: Baskets) -> None:
    basket = await new_basket(baskets)

    with pytest.raises(UnitOfWorkError, match="read-only"):
        async with baskets.unit_of_work(read_only=True):
            (await found(baskets, basket)).lines.append(1)

    assert (await found(baskets, basket)).lines == []


async def test_an_inner_block_that_fails_over_it_makes_the_unit_rollback_only(
    baskets: Baskets,
) -> None:
    basket = await new_basket(baskets)

    with pytest.raises(UnitOfWorkError, match="can only roll back"):
        async with baskets.unit_of_work():
            read = await found(baskets, basket)
            with pytest.raises(LookupError):
                async with baskets.unit_of_work():
                    read.lines.append(1)
                    raise LookupError

    assert (await found(baskets, basket)).lines == []


async def test_a_collection_that_stays_is_not_written(baskets: Baskets) -> None:
    basket = await new_basket(baskets, lines=[1], notes={"a": [2]})

    with statements() as sent:
        async with baskets.unit_of_work():
            read = await found(baskets, basket)
            read.lines.append(2)
            read.lines.remove(2)
            await baskets.count()

    assert not any(sql.startswith("UPDATE") for sql in sent.sql)
    assert (await found(baskets, basket)).version == 1


async def test_what_was_deleted_meanwhile_stays_so(baskets: Baskets) -> None:
    basket = await new_basket(baskets)

    async with baskets.unit_of_work():
        read = await found(baskets, basket)
        await baskets.delete(basket.id)
        read.lines.append(1)

    assert await baskets.count() == 0


async def test_a_session_of_ones_own_keeps_nothing_of_it(sqlite: Database) -> None:
    await sqlite.create_all(Base.metadata)
    sessions = async_sessionmaker(sqlite.engine, expire_on_commit=False)
    async with sessions() as session:
        baskets = Repository[Basket, int](session, Basket)
        async with baskets.unit_of_work():
            basket = await new_basket(baskets)
            basket.lines.append(1)

        basket.lines.append(2)
        await session.commit()

    stored = await found(Repository[Basket, int](sqlite, Basket), basket)
    assert stored.lines == [1]
