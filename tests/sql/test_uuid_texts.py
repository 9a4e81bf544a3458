"""UUIDs that a class holds as texts: their own rows are found by them."""

from uuid import uuid4

from sqlalchemy import Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.repository import Home, Repository, field


class Base(DeclarativeBase):
    """Hold the table of this file."""


class Token(Base):
    """Have a UUID for its key, and another one."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    other: Mapped[str] = mapped_column(Uuid(as_uuid=False))
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
