"""Members of StrEnum and IntEnum in columns of texts and numbers: plain everywhere."""

import enum
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from sqlalchemy import JSON, String
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.repository import ALL, Home, Repository, field


class Base(DeclarativeBase):
    """Hold the table of this file."""


class Tag(Base):
    """Have what a member of an Enum may be given for."""

    __tablename__ = "members_tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    size: Mapped[int]
    doc: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSON))


class Name(enum.StrEnum):
    """Be a text as well."""

    A = "a"


class OldName(str, enum.Enum):  # noqa: UP042 - its str() is the name, that of a StrEnum the value
    """Be a text as well, as it was done before StrEnum."""

    A = "a"


class Size(enum.IntEnum):
    """Be a number as well."""

    ONE = 1


Tags: TypeAlias = Repository[Tag, int]


async def set_in_unit(tags: Tags, values: dict[str, Any]) -> Tag | None:
    async with tags.unit_of_work():
        tag = await tags.get_by_id(1)
        for name, value in values.items():
            setattr(tag, name, value)
        await tags.count()
    return tag


WRITES: dict[str, Callable[[Tags, dict[str, Any]], Awaitable[Any]]] = {
    "create": lambda tags, values: tags.create(values),
    "create of an entity": lambda tags, values: tags.create(Tag(**values)),
    "create_many": lambda tags, values: tags.create_many([values], returning=True),
    "update": lambda tags, values: tags.update(1, values),
    "upsert": lambda tags, values: tags.upsert({"id": 1} | values, key="id"),
    "a tracked change": set_in_unit,
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("name", [Name.A, OldName.A], ids=["new", "old"])
async def test_a_member_is_held_as_its_plain_value(
    home: Home, write: str, name: str
) -> None:
    tags = Repository[Tag, int](home, Tag)
    docs = {"list": [name, Size.ONE, 1.5, None, True], name: {"size": Size.ONE}}
    if "create" not in write:
        await tags.create({"id": 1, "name": "b", "size": 2, "doc": {}})

    made = await WRITES[write](tags, {"name": name, "size": Size.ONE, "doc": docs})
    [stored] = await tags.find(field("name") == name)

    for tag in (made[0] if isinstance(made, list) else made, stored):
        held = [tag.name, tag.size, *tag.doc["list"], *tag.doc, tag.doc["a"]["size"]]
        assert held == ["a", 1, "a", 1, 1.5, None, True, "list", "a", 1]
        kinds = [str, int, str, int, float, type(None), bool, str, str, int]
        assert [type(value) for value in held] == kinds
    assert len(await tags.find(ALL)) == 1


async def test_a_member_that_is_a_key_of_a_document_is_plain_too(home: Home) -> None:
    tags = Repository[Tag, int](home, Tag)

    made = await tags.create({"name": "n", "size": 1, "doc": {Name.A: 1}})

    assert [type(name) for name in made.doc] == [str]
