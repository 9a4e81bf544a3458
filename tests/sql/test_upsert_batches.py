"""Upserts of several rows at once: one after the other, on every home."""

from typing import Any

import pytest
from sqlalchemy import JSON, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import AlreadyExistsError, Repository
from layerkit.repository import Home
from layerkit.sql import statements


class Base(DeclarativeBase):
    """Hold the table of this file."""


class Part(Base):
    """Have values that are no constants, and two unique rules."""

    __tablename__ = "upsert_batch_parts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20), unique=True)
    code: Mapped[str | None] = mapped_column(String(20), unique=True)
    note: Mapped[dict[str, Any] | None] = mapped_column(JSON)


@pytest.fixture
def parts(home: Home) -> Repository[Part, int]:
    return Repository[Part, int](home, Part)


async def test_values_without_a_hash_are_stored_and_changed(
    parts: Repository[Part, int],
) -> None:
    await parts.create({"name": "b", "note": {"old": [1]}})

    rows: list[dict[str, Any]] = [
        {"name": "a", "note": {"x": [1, 2]}},
        {"name": "b", "note": {"y": {}}},
        {"name": "c", "note": None},
    ]
    with statements(max=4):  # on MariaDB two for each set of columns
        assert await parts.upsert_many(rows, key="name") == 3

    stored = {p.name: p.note for p in await parts.get_all()}
    assert stored == {row["name"]: row["note"] for row in rows}


@pytest.mark.parametrize("code", ["z", None])
async def test_a_value_that_a_later_row_gives_free_is_taken_before(
    parts: Repository[Part, int], code: str | None
) -> None:
    await parts.create({"id": 2, "name": "x"})
    rows: list[dict[str, Any]] = [
        {"id": 1, "name": "x", "code": code},
        {"id": 2, "name": None, "code": "y"},
    ]

    async with parts.unit_of_work():
        with pytest.raises(AlreadyExistsError) as refused:
            await parts.upsert_many(rows, key="id")

    assert set(refused.value.fields) - {code and "code"} == {"name"}
    assert [(p.id, p.name, p.code) for p in await parts.get_all()] == [(2, "x", None)]
    assert await parts.upsert_many(rows[::-1], key="id") == 2
    assert [(p.id, p.name) for p in await parts.get_all()] == [(1, "x"), (2, None)]
