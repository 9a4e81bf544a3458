"""What deleting does to what refers: by the mapping's cascades, or the foreign keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, Table, event, inspect
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    WriteOnlyMapped,
    mapped_column,
    relationship,
    selectinload,
)

from layerkit.core.errors import ConflictError
from layerkit.repository import ALL, Repository, field
from layerkit.sql import Database, SQLRepository, statements

Loaded = str
Outcome = str

KINDS: dict[str, dict[str, Any] | None] = {
    "plain": {},
    "passive": {"passive_deletes": True},
    "passive all": {"passive_deletes": "all"},
    "viewonly": {"viewonly": True},
    "cascade": {"cascade": "all"},
    "orphan": {"cascade": "all, delete-orphan"},
    "passive cascade": {"cascade": "all, delete", "passive_deletes": True},
    "backref": None,
    "none": None,
}
"""What the parent says of its children; the last two are said by the child alone."""

KEYS = [
    (True, None),
    (True, "CASCADE"),
    (True, "SET NULL"),
    (True, "RESTRICT"),
    (False, None),
    (False, "CASCADE"),
    (False, "RESTRICT"),
]
"""Whether the foreign key may be null, and what it says by ON DELETE."""

LOADED = ["nothing", "children", "collection"]
VERBS = ["delete", "delete_where"]


def family(kind: str, nullable: bool, ondelete: str | None) -> tuple[Any, Any]:
    """Return a parent and a child that refers to it."""

    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(
            ForeignKey("family_parents.id", ondelete=ondelete), nullable=nullable
        )

    options = KINDS[kind]
    if options is not None:
        Parent.children = relationship(Child, **options)  # type: ignore[attr-defined] # mapped late
    backref = "children" if kind == "backref" else None
    Child.parent = relationship(Parent, backref=backref, overlaps="children")  # type: ignore[attr-defined] # mapped late
    return Parent, Child


def outcome(kind: str, nullable: bool, ondelete: str | None, loaded: Loaded) -> Outcome:
    """Return what becomes of the children: gone, null, or the delete is refused."""
    knows = loaded == "collection"
    if kind in {"cascade", "orphan"} or (kind == "passive cascade" and knows):
        return "gone"
    if ondelete is not None:
        return {"CASCADE": "gone", "SET NULL": "null", "RESTRICT": "refused"}[ondelete]
    nulls = kind in {"plain", "backref"} or (kind == "passive" and knows)
    return "null" if nullable and nulls else "refused"


@asynccontextmanager
async def made(url: str, base: type[DeclarativeBase]) -> AsyncIterator[Database]:
    async with Database(url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(base.metadata.drop_all)
            await connection.run_sync(base.metadata.create_all)
        yield database
        async with database.engine.begin() as connection:
            await connection.run_sync(base.metadata.drop_all)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("nullable", "ondelete"), KEYS)
async def test_a_delete_does_what_the_mapping_and_the_tables_say(
    url: str, kind: str, nullable: bool, ondelete: str | None
) -> None:
    parent_class, child_class = family(kind, nullable, ondelete)
    is_listed = hasattr(parent_class, "children")

    async with made(url, parent_class) as database:
        children = SQLRepository[Any, int](database, child_class)
        for loaded in LOADED if is_listed else LOADED[:2]:
            for verb in VERBS:
                parents = SQLRepository[Any, int](database, parent_class)
                if loaded == "collection":

                    class Loading(SQLRepository[Any, int]):
                        load = (selectinload(parent_class.children),)

                    parents = Loading(database, parent_class)
                for number in (1, 2):
                    await parents.create({"id": number})
                    await children.create({"id": number, "parent_id": number})

                found = await deleted(parents, children, loaded, verb)

                case = (loaded, verb)
                assert (case, found) == (
                    case,
                    outcome(kind, nullable, ondelete, loaded),
                )
                untouched = await children.get_by_id(2)
                assert untouched is not None
                assert untouched.parent_id == 2
                await database.run(lambda _: emptied(database, child_class))
                await database.run(lambda _: emptied(database, parent_class))


async def emptied(database: Database, entity: Any) -> None:
    await database.session().execute(entity.__table__.delete())


async def deleted(parents: Any, children: Any, loaded: Loaded, verb: str) -> Outcome:
    """Delete the first parent, see what the unit holds, and what is stored after it."""
    try:
        async with parents.unit_of_work():
            parent = await parents.get_by_id(1)
            child = None
            if loaded != "nothing":
                child = await children.get_by_id(1)
                assert child.parent is parent
            if verb == "delete":
                assert await parents.delete(1) is True
            else:
                assert await parents.delete_where(field("id") == 1) == 1
            assert await parents.get_by_id(1) is None
            held = await children.get_by_id(1)
            if child is not None and held is None:
                assert inspect(child).deleted
            if child is not None and held is not None:
                assert held is child
                assert (child.parent_id, child.parent) == (None, None)
    except ConflictError as error:
        assert error.kind == "foreign_key"
        assert "family_children.parent_id" in str(error)
        for remedy in ("passive_deletes=True", "ondelete=", "cascade="):
            assert remedy in str(error)
        if hasattr(parents.model_class, "children"):
            assert "Parent.children" in str(error)
        assert "family" not in str(error.to_problem())
        assert await parents.count() == 2
        return "refused"
    assert await parents.count() == 1
    stored = await children.get_by_id(1)
    if stored is None:
        return "gone"
    assert stored.parent_id is None
    return "null"
