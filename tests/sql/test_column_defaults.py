"""Defaults that their columns hold otherwise, or not at all: on every home alike."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Integer, Numeric, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.core.errors import ValidationError
from layerkit.repository import Home, MemoryDatabase, Repository, field
from layerkit.sql import Database

WIDE = Decimal("1.005")


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Offer(Base):
    """Have defaults that are rounded, and that are numbers of another class."""

    __tablename__ = "offers"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(5), unique=True)
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=WIDE)
    made: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=lambda: WIDE)
    rate: Mapped[float] = mapped_column(default=0)
    copied: Mapped[str] = mapped_column(
        String(5), default=lambda context: context.get_current_parameters()["code"]
    )


class Slip(Base):
    """Have a default that is too long, and a key that is made by a function."""

    __tablename__ = "slips"

    id: Mapped[str] = mapped_column(
        String(32), primary_key=True, default=lambda: uuid4().hex
    )
    text: Mapped[str] = mapped_column(String(3), default="abcdef")
    size: Mapped[int] = mapped_column(Integer, default="1")


class Note(Base):
    """Have a text that updates set, and that is too long."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    text: Mapped[str | None] = mapped_column(String(3), onupdate="abcdef")


class Tag(Base):
    """Have a default that asks SQLAlchemy's own context."""

    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(3))
    server: Mapped[str] = mapped_column(
        String(20), default=lambda context: context.dialect.name
    )


class Bill(Base):
    """Have a sum that each update sets."""

    __tablename__ = "bills"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(3))
    due: Mapped[Decimal | None] = mapped_column(Numeric(10, 2), onupdate=lambda: WIDE)
    word: Mapped[str] = mapped_column(
        String(3), default=lambda context: context.get_current_parameters()["text"] * 2
    )


@pytest.fixture
def offers(home: Home) -> Repository[Offer, int]:
    return Repository[Offer, int](home, Offer)


def shown(offer: Offer) -> list[Any]:
    return [offer.price, offer.made, repr(offer.rate), offer.copied]


HELD = [Decimal("1.01"), Decimal("1.01"), "0.0", "a"]


@pytest.mark.parametrize("give", [dict, Offer])
async def test_create_returns_what_the_column_holds(
    offers: Repository[Offer, int], give: type[Any]
) -> None:
    made = await offers.create(give(code="a"))
    read = await offers.get_by_id(made.id)

    assert read is not None
    assert (shown(made), shown(read)) == (HELD, HELD)
    assert await offers.count(field("price") == made.price) == 1


async def test_many_are_stored_as_one_is(offers: Repository[Offer, int]) -> None:
    await offers.create_many([{"code": "b"}])
    made = await offers.create_many([{"code": "a"}], returning=True)

    first, second = await offers.get_all()
    assert shown(first)[:3] == HELD[:3]
    assert [shown(made[0]), shown(second)] == [HELD, HELD]


@pytest.mark.parametrize("give", [dict, Offer])
async def test_an_upsert_stores_defaults_and_leaves_what_is_there(
    offers: Repository[Offer, int], give: type[Any]
) -> None:
    new = await offers.upsert(give(code="a"), key="code")
    first = shown(new)
    await offers.update(new.id, {"price": Decimal(7), "rate": 2.5})
    again = await offers.upsert(give(code="a"), key="code")

    assert first == HELD
    assert (again.price, again.rate) == (Decimal(7), 2.5)


async def test_a_default_that_is_given_is_left_alone(
    offers: Repository[Offer, int],
) -> None:
    made = await offers.create({"code": "a", "price": Decimal(2), "rate": 0.5})

    assert (made.price, made.rate) == (Decimal(2), 0.5)


async def test_a_default_beyond_its_column_is_refused_with_its_name(home: Home) -> None:
    slips = Repository[Slip, str](home, Slip)

    with pytest.raises(ValidationError, match="at most 3 characters") as refused:
        await slips.create({})

    assert refused.value.fields == ("text",)
    assert (await slips.create({"text": "abc", "size": 1})).text == "abc"
    assert len((await slips.get_all())[0].id) == 32


async def test_what_an_upsert_sets_beyond_its_column_is_refused_with_its_name(
    home: Home,
) -> None:
    notes = Repository[Note, int](home, Note)
    await notes.create({"id": 1, "size": 1})

    with pytest.raises(ValidationError, match="at most 3 characters") as refused:
        await notes.upsert({"id": 1, "size": 2}, key="id")

    assert refused.value.fields == ("text",)


async def test_a_default_of_another_class_is_left_to_the_database(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)
    slips = Repository[Slip, str](sqlite, Slip)

    made = await slips.create({"text": "a"})

    assert await slips.count(field("size") == 1) == 1
    assert len(made.id) == 32


async def test_a_default_that_asks_the_context_of_sqlalchemy_gets_it(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)

    made = await Repository[Tag, int](sqlite, Tag).create({"text": "a"})

    assert made.server == "sqlite"


async def test_memory_holds_what_functions_make_as_columns_do() -> None:
    bills = Repository[Bill, int](MemoryDatabase(), Bill)
    made = await bills.create({"text": "a"})
    updated = await bills.update(made.id, {"text": "b"})

    with pytest.raises(ValidationError, match="at most 3 characters"):
        await bills.create({"text": "abc"})

    assert updated is not None
    assert (updated.due, updated.word) == (Decimal("1.01"), "aa")
