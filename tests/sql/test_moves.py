"""What a session holds of rows that the database changes by ON UPDATE."""

from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
    selectinload,
)

from layerkit.repository import ALL, Repository
from layerkit.sql import SQLRepository, statements
from tests.support.alike import made


def family(onupdate: str | None) -> tuple[Any, Any]:
    """Return a parent with a code, and a child that refers to it."""

    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(String(9), unique=True)
        name: Mapped[str | None] = mapped_column(String(9))
        children: Mapped[list["Child"]] = relationship(back_populates="parent")

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str | None] = mapped_column(
            String(9), ForeignKey("family_parents.code", onupdate=onupdate)
        )
        parent: Mapped[Parent | None] = relationship(back_populates="children")

    return Parent, Child


@pytest.mark.parametrize("onupdate", ["CASCADE", "SET NULL"])
async def test_relationships_stay_where_the_values_follow_and_go_where_they_are_unset(
    url: str, onupdate: str
) -> None:
    parent_class, child_class = family(onupdate)

    class Parents(SQLRepository[Any, int]):
        load = (selectinload(parent_class.children),)

    class Children(SQLRepository[Any, int]):
        load = (selectinload(child_class.parent),)

    async with made(url, parent_class) as database:
        parents, children = (
            Parents(database, parent_class),
            Children(database, child_class),
        )
        await parents.create({"id": 1, "code": "a"})
        await children.create({"id": 1, "code": "a"})

        async with database.unit_of_work():
            parent: Any = await parents.get_by_id(1)
            child: Any = await children.get_by_id(1)
            assert child.parent is parent
            assert parent.children == [child]

            await Repository[Any, int](database, parent_class).update_where(
                ALL, {"code": "b"}
            )

            follows = onupdate == "CASCADE"
            assert child.code == ("b" if follows else None)
            assert child.parent is (parent if follows else None)
            assert ("children" in inspect(parent).dict) is follows
            parent = await parents.get_by_id(1)
            assert parent.children == ([child] if follows else [])


@pytest.mark.parametrize(
    ("onupdate", "changed", "more"),
    [(None, "code", 0), ("CASCADE", "name", 0), ("CASCADE", "code", 1)],
)
async def test_only_a_change_that_a_key_follows_costs_a_statement_more(
    url: str, onupdate: str | None, changed: str, more: int
) -> None:
    parent_class, child_class = family(onupdate)
    async with made(url, parent_class) as database:
        parents = Repository[Any, int](database, parent_class)
        children = Repository[Any, int](database, child_class)
        await parents.create({"id": 1, "code": "a"})
        code = "a" if onupdate else None  # else the change would be refused
        await children.create({"id": 1, "code": code})
        async with database.unit_of_work():
            held = await children.get_by_id(1)

            with statements() as sent:
                await parents.update(1, {changed: "b"})

            assert sent.count == (2 if url.startswith("mysql") else 1) + more
            assert held is not None
            assert held.code == ("b" if more else code)


async def test_a_table_that_is_defined_later_is_followed_too(url: str) -> None:
    parent_class, child_class = family("CASCADE")
    async with made(url, parent_class) as database:
        parents = Repository[Any, int](database, parent_class)
        await parents.create({"id": 1, "code": "a"})
        await parents.update(1, {"code": "b"})

    own: Any = child_class.__bases__[0]

    class Later(own):  # type: ignore[misc] # a base that a test has made
        __tablename__ = "family_seconds"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str | None] = mapped_column(
            String(9), ForeignKey("family_parents.code", onupdate="CASCADE")
        )

    async with made(url, parent_class) as database:
        parents = Repository[Any, int](database, parent_class)
        laters = Repository[Any, int](database, Later)
        await parents.create({"id": 1, "code": "a"})
        await laters.create({"id": 1, "code": "a"})
        async with database.unit_of_work():
            held = await laters.get_by_id(1)
            await parents.update(1, {"code": "b"})

            assert held is not None
            assert held.code == "b"


async def test_a_session_of_the_callers_own_follows_too(url: str) -> None:
    parent_class, child_class = family("CASCADE")
    async with (
        made(url, parent_class) as database,
        AsyncSession(database.engine) as session,
    ):
        parents = Repository[Any, int](session, parent_class)
        children = Repository[Any, int](session, child_class)
        async with session.begin():
            parent = await parents.create({"id": 1, "code": "a"})
            child = await children.create({"id": 1, "code": "a"})
            parent.code = "b"
            await parents.update(1, {"name": "n"})

            assert child.code == "b"


async def test_a_session_without_repositories_is_let_alone(url: str) -> None:
    parent_class, child_class = family("CASCADE")
    async with (
        made(url, parent_class) as database,
        AsyncSession(database.engine, expire_on_commit=False) as session,
    ):
        session.add(parent := parent_class(id=1, code="a"))
        await session.flush()
        session.add(child := child_class(id=1, code="a"))
        await session.flush()
        parent.code = "b"
        await session.commit()

        assert child.code == "a"
