"""UUIDs that a class holds as texts, and intervals: one form on every home."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Interval, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository import Home, Repository, field


class Base(DeclarativeBase):
    """Hold the table of this file."""


class Token(Base):
    """Have a UUID for its key, and another one."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    other: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    lasts: Mapped[timedelta | None] = mapped_column(Interval)
    size: Mapped[int] = mapped_column(default=0)


async def test_every_verb_finds_the_row_of_a_uuid_that_is_a_text(home: Home) -> None:
    tokens = Repository[Token, str](home, Token)
    key, other = str(uuid4()), str(uuid4())
    await tokens.create({"id": key, "other": other})
    await tokens.create({"id": str(uuid4()), "other": str(uuid4())})

    found = [
        await tokens.get_by_id(key),
        await tokens.find_one(field("other") == other),
        await tokens.find_one(field("other").in_([other])),
        await tokens.update(key, {"size": 1}, when=field("other") == other),
        *(await tokens.get_many([key])),
    ]

    assert [token and token.id for token in found] == [key] * 5
    assert await tokens.delete(key)


@pytest.mark.parametrize("spelled", [str.upper, lambda text: UUID(text).hex])
async def test_a_uuid_is_held_and_sought_in_one_spelling(
    home: Home, spelled: Any
) -> None:
    tokens = Repository[Token, str](home, Token)
    key, other = str(uuid4()), str(uuid4())

    made = await tokens.create({"id": spelled(key), "other": spelled(other)})
    found = [
        await tokens.get_by_id(spelled(key)),
        await tokens.find_one(field("other") == spelled(other)),
        await tokens.find_one(field("other").in_([spelled(other)])),
    ]

    for token in (made, *found):
        assert token
        assert (token.id, token.other) == (key, other)


async def test_what_is_no_uuid_is_refused(home: Home) -> None:
    tokens = Repository[Token, str](home, Token)
    key = str(uuid4())
    await tokens.create({"id": key, "other": key})

    for work in (
        lambda: tokens.create({"id": str(uuid4()), "other": "x"}),
        lambda: tokens.create_many([{"id": "x", "other": key}]),
        lambda: tokens.update(key, {"other": "x\0"}),
        lambda: tokens.upsert({"id": key, "other": "x"}, key="id"),
        lambda: tokens.count(field("other") == "x"),
        lambda: tokens.get_by_id("x"),
    ):
        with pytest.raises(ValidationError, match="must be a UUID"):
            await work()

    assert await tokens.count() == 1


@pytest.mark.parametrize(
    "lasts", [timedelta(0), timedelta(days=-400, seconds=1), timedelta(days=50_000)]
)
async def test_an_interval_is_read_back_and_found(home: Home, lasts: timedelta) -> None:
    tokens = Repository[Token, str](home, Token)
    key = str(uuid4())

    await tokens.create({"id": key, "other": key, "lasts": lasts})
    found = await tokens.find_one(field("lasts") == lasts)

    assert found
    assert found.lasts == lasts


async def test_what_is_no_interval_or_one_too_long_is_refused(home: Home) -> None:
    tokens = Repository[Token, str](home, Token)
    key = str(uuid4())
    await tokens.create({"id": key, "other": key})

    for lasts in ("P1D", 5, timedelta.max, timedelta.min):
        with pytest.raises(ValidationError) as refused:
            await tokens.create({"id": str(uuid4()), "other": key, "lasts": lasts})
        assert refused.value.fields == ("lasts",)
        with pytest.raises(ValidationError):
            await tokens.update(key, {"lasts": lasts})
    with pytest.raises(ValidationError, match="from 1970"):
        await tokens.count(field("lasts") == timedelta.max)
    with pytest.raises(UsageError, match="holds timedelta"):
        await tokens.count(field("lasts") == "P1D")
