"""What a MemoryDatabase lets refer to what, held against what databases do."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from layerkit.core.errors import AppException
from layerkit.repository import ALL, MemoryDatabase, Repository, field
from layerkit.sql import SoftDeleteMixin
from tests.support.alike import Play, alike

# Writing what refers


class Keyed(DeclarativeBase):
    """Hold a class with more than one key to refer to, and what refers to it."""


class Place(Keyed):
    __tablename__ = "family_parents"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str | None] = mapped_column(String(9), unique=True)
    row: Mapped[int | None] = mapped_column("row_no")
    seat: Mapped[int | None] = mapped_column("seat_no")
    __table_args__ = (UniqueConstraint("seat_no", "row_no", name="one_place"),)


class Ticket(Keyed):
    __tablename__ = "family_children"
    id: Mapped[int] = mapped_column(primary_key=True)
    place_id: Mapped[int | None] = mapped_column(
        "place", ForeignKey("family_parents.id")
    )
    code: Mapped[str | None] = mapped_column(
        String(9), ForeignKey("family_parents.code")
    )
    row: Mapped[int | None]
    seat: Mapped[int | None]
    __table_args__ = (
        ForeignKeyConstraint(
            ["seat", "row"],
            ["family_parents.seat_no", "family_parents.row_no"],
            name="of_place",
        ),
    )


async def places(play: Play) -> Repository[Any, Any]:
    play.of(Ticket)
    await play.of(Place).create_many(
        [{"id": 1, "code": "a", "row": 1, "seat": 2}, {"id": 2}]
    )
    return play.of(Ticket)


@pytest.mark.parametrize(
    "values",
    [
        {"place_id": 9},
        {"place_id": 2},
        {"code": "b"},
        {"code": "a"},
        {"row": 2, "seat": 1},
        {"row": 1, "seat": 2},
        {"row": 9, "seat": None},
        {"row": None, "seat": 9},
        {},
    ],
)
async def test_every_verb_that_writes_refuses_what_leads_nowhere(
    url: str, values: dict[str, Any]
) -> None:
    async def script(play: Play) -> None:
        tickets = await places(play)
        await tickets.create_many([{"id": 1}, {"id": 2}])
        new = {"id": 3, **values}
        await play.say(tickets.create(new))
        await tickets.delete(3)
        await play.say(tickets.create_many([{"id": 4}, new]))
        await tickets.delete(3)
        await play.say(tickets.create_many([new], returning=True))
        await tickets.delete(3)
        await play.say(tickets.upsert(new, key="id"))
        await tickets.delete(3)
        await play.say(tickets.upsert_many([new], key="id"))
        if values:
            await play.say(tickets.update(1, values))
            await play.say(tickets.update_where(ALL, values))
            await play.say(tickets.upsert({"id": 1, **values}, key="id"))

        async def change() -> None:
            async with play.home.unit_of_work():
                ticket = await tickets.get_by_id(2)
                for name, value in values.items():
                    setattr(ticket, name, value)

        await play.say(change())
        await play.rows(Ticket)

    await alike(url, Keyed, script)


# To its own class


def tree(ondelete: str | None, *, deferred: bool = False) -> type[Any]:
    class Own(DeclarativeBase): ...

    class Node(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        above_id: Mapped[int | None] = mapped_column(
            ForeignKey(
                "family_parents.id",
                ondelete=ondelete,
                deferrable=deferred or None,
                initially="DEFERRED" if deferred else None,
            )
        )

    return Node


@pytest.mark.parametrize("ondelete", [None, "CASCADE", "SET NULL"])
async def test_a_class_may_refer_to_itself(url: str, ondelete: str | None) -> None:
    node = tree(ondelete)

    async def script(play: Play) -> None:
        nodes = play.of(node)
        await play.say(nodes.create({"id": 1, "above_id": 1}))  # to its own row
        await play.say(nodes.create({"id": 2, "above_id": 3}))
        await play.say(nodes.create_many([{"id": 2, "above_id": 1}, {"id": 3}]))
        await play.say(nodes.create_many([{"id": 5, "above_id": 6}, {"id": 6}]))
        await play.say(nodes.update(3, {"above_id": 2}))
        await play.say(nodes.update(1, {"above_id": 3}))  # a circle
        await play.rows(node)
        await play.say(nodes.delete(2))
        await play.rows(node)
        if ondelete is None and url.startswith("mysql"):
            return  # it looks at each row, where others look once the statement is done
        await play.say(nodes.delete_where(field("id") <= 3))
        await play.rows(node)

    await alike(url, node, script)


# At the commit


@pytest.mark.parametrize("ondelete", [None, "RESTRICT", "CASCADE"])
async def test_a_deferred_key_is_checked_at_the_commit(
    url: str, ondelete: str | None
) -> None:
    if url.startswith("mysql"):
        pytest.skip("MariaDB defers nothing")
    node = tree(ondelete, deferred=True)

    async def script(play: Play) -> None:
        nodes = play.of(node)

        async def unit(*steps: Callable[[], Awaitable[Any]]) -> None:
            async with play.home.unit_of_work():
                for step in steps:
                    await step()

        def new(number: int, above: int | None) -> Callable[[], Awaitable[Any]]:
            return lambda: nodes.create({"id": number, "above_id": above})

        async def undone() -> None:
            async with play.home.unit_of_work() as unit:
                await nodes.create({"id": 8})
                with pytest.raises(KeyError):
                    async with unit.savepoint():
                        await nodes.create({"id": 9, "above_id": 99})
                        raise KeyError

        async def released() -> None:
            async with play.home.unit_of_work() as unit, unit.savepoint():
                await nodes.create({"id": 9, "above_id": 99})

        await play.say(unit(new(1, 2), new(2, None)))
        await play.say(unit(new(3, 9)))
        await play.say(unit(new(3, 9), lambda: nodes.delete(3)))
        await play.say(unit(new(3, 9), lambda: nodes.update(3, {"above_id": 1})))
        await play.say(unit(lambda: nodes.delete(2)))
        await play.rows(node)
        if ondelete is None:
            await play.say(unit(lambda: nodes.delete(2), new(2, None)))
            again = {"above_id": None}
            await play.say(
                unit(lambda: nodes.delete(2), lambda: nodes.update(1, again))
            )
        await play.say(undone())
        await play.say(released())
        await play.say(nodes.create({"id": 7, "above_id": 70}))
        await play.rows(node)
        await nodes.update_where(
            ALL, {"above_id": None}
        )  # else no table can be dropped

    await alike(url, node, script)


# What is no delete, and what is left out


async def test_a_parent_that_is_hidden_is_there(url: str) -> None:
    class Own(DeclarativeBase): ...

    class Parent(SoftDeleteMixin, Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("family_parents.id"))

    async def script(play: Play) -> None:
        await play.of(Parent).create({"id": 1})
        await play.of(Child).create({"id": 1, "parent_id": 1})
        await play.say(play.of(Parent).delete(1))
        await play.say(play.of(Child).create({"id": 2, "parent_id": 1}))
        await play.rows(Child)
        hidden = play.of(Parent).with_deleted()
        await play.say(hidden.delete_where(ALL))
        await play.rows(Child)

    await alike(url, Own, script)


async def test_a_relationship_on_a_condition_is_left_to_the_foreign_key() -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(9))
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("family_parents.id"))

    Parent.some = relationship(
        Child,
        primaryjoin=(Parent.id == Child.parent_id) & (Child.kind == "x"),
        cascade="all",
    )
    home = MemoryDatabase()
    parents = Repository[Any, int](home, Parent)
    children = Repository[Any, int](home, Child)
    await parents.create({"id": 1})
    await children.create({"id": 1, "kind": "y", "parent_id": 1})

    with pytest.raises(AppException) as refused:
        await parents.delete(1)

    assert refused.value.code == "CONFLICT"
    assert await children.count() == 1
