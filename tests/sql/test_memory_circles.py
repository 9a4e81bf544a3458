"""Deleting rows that refer to each other in a circle, in memory as in databases."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from layerkit.core.errors import UsageError
from layerkit.repository import ALL, MemoryDatabase, Repository, field
from tests.sql.test_deletes import VERBS
from tests.support.alike import Play, alike

pytestmark = [
    pytest.mark.filterwarnings("ignore:Can't sort tables for DROP"),
    # SQLAlchemy says so where the database has gone round the circle by itself.
    pytest.mark.filterwarnings("ignore:DELETE statement on table"),
]

ON_DELETE = [None, "CASCADE", "SET NULL"]
CASCADE: dict[str, Any] = {"cascade": "all"}
FIRST: dict[str, Any] = {"post_update": True}


def no_relationship(_left: Any, _right: Any) -> None: ...


def to_one(left: Any, right: Any) -> None:
    left.right = relationship(right, foreign_keys=left.right_id)
    right.left = relationship(left, foreign_keys=right.left_id)


def to_one_that_cascades(left: Any, right: Any) -> None:
    left.right = relationship(right, foreign_keys=left.right_id, **CASCADE)
    right.left = relationship(left, foreign_keys=right.left_id)


def to_many(left: Any, right: Any) -> None:
    left.rights = relationship(right, foreign_keys=right.left_id)
    right.lefts = relationship(left, foreign_keys=left.right_id)


def to_many_that_cascades(left: Any, right: Any) -> None:
    left.rights = relationship(right, foreign_keys=right.left_id, **CASCADE)
    right.lefts = relationship(left, foreign_keys=left.right_id, **CASCADE)


def against_a_foreign_key(left: Any, right: Any) -> None:
    left.rights = relationship(right, foreign_keys=right.left_id, **CASCADE)


def against_one_to_look_at(left: Any, right: Any) -> None:
    against_a_foreign_key(left, right)
    left.right = relationship(right, foreign_keys=left.right_id, viewonly=True)


def both_ways(left: Any, right: Any) -> None:
    against_a_foreign_key(left, right)
    left.right = relationship(right, foreign_keys=left.right_id)


def set_to_null_first(left: Any, right: Any) -> None:
    against_a_foreign_key(left, right)
    left.right = relationship(right, foreign_keys=left.right_id, **FIRST)


def set_to_null_first_from_the_other_side(left: Any, right: Any) -> None:
    against_a_foreign_key(left, right)
    right.lefts = relationship(left, foreign_keys=left.right_id, **FIRST)


def against_one_that_nobody_loads(left: Any, right: Any) -> None:
    left.rights = relationship(
        right, foreign_keys=right.left_id, lazy="write_only", passive_deletes=True
    )
    left.right = relationship(right, foreign_keys=left.right_id, **CASCADE)


def against_one_that_is_left_to_the_database(left: Any, right: Any) -> None:
    left.rights = relationship(right, foreign_keys=right.left_id)
    left.right = relationship(right, foreign_keys=left.right_id, **CASCADE)


TWO = [
    no_relationship,
    to_one,
    to_one_that_cascades,
    to_many,
    to_many_that_cascades,
    against_a_foreign_key,
    against_one_to_look_at,
    both_ways,
    set_to_null_first,
    set_to_null_first_from_the_other_side,
    against_one_that_nobody_loads,
    against_one_that_is_left_to_the_database,
]


def circle(relate: Callable[[Any, Any], None], ondelete: str | None) -> tuple[Any, Any]:
    """Return two classes that refer to each other."""

    class Own(DeclarativeBase): ...

    class Left(Own):
        __tablename__ = "circle_lefts"
        id: Mapped[int] = mapped_column(primary_key=True)
        right_id: Mapped[int | None] = mapped_column(
            ForeignKey("circle_rights.id", ondelete=ondelete, name="left_right")
        )

    class Right(Own):
        __tablename__ = "circle_rights"
        id: Mapped[int] = mapped_column(primary_key=True)
        left_id: Mapped[int | None] = mapped_column(
            ForeignKey("circle_lefts.id", ondelete=ondelete, name="right_left")
        )

    relate(Left, Right)
    return Left, Right


def verbs(url: str) -> list[str]:
    """Return how to delete; MariaDB looks at each row of a statement by itself."""
    return VERBS if url.startswith("mysql") else [*VERBS, "all"]


async def said(play: Play, deleting: Any, *entities: Any) -> None:
    """Note what a delete answers and leaves, where all databases count alike."""
    await play.say(deleting)
    if isinstance(play.answers[-1], int):
        play.answers[-1] = bool(play.answers[-1])
    await play.rows(*entities)


@pytest.mark.parametrize("relate", TWO)
@pytest.mark.parametrize("ondelete", ON_DELETE)
async def test_a_circle_of_two_classes_is_deleted_or_refused_as_databases_do(
    url: str, relate: Callable[[Any, Any], None], ondelete: str | None
) -> None:
    left, right = circle(relate, ondelete)

    async def script(play: Play) -> None:
        lefts, rights = play.of(left), play.of(right)
        for verb in verbs(url):
            await lefts.create_many([{"id": number} for number in (1, 2, 3)])
            await rights.create_many([{"id": n, "left_id": n} for n in (1, 2)])
            await lefts.update(1, {"right_id": 1})
            await lefts.update(3, {"right_id": 2})
            for some, number in ((lefts, 2), (rights, 2), (lefts, 1), (rights, 1)):
                if verb == "delete":
                    await said(play, some.delete(number), left, right)
                elif verb == "delete_where":
                    where = field("id") == number
                    await said(play, some.delete_where(where), left, right)
            if verb == "all":
                await said(play, lefts.delete_where(ALL), left, right)
            await rights.update_where(ALL, {"left_id": None})
            await lefts.update_where(ALL, {"right_id": None})
            await rights.delete_where(ALL)
            await lefts.delete_where(ALL)

    await alike(url, left, script)


ONE: dict[str, dict[str, Any]] = {
    "none": {},
    "up": {"up": {}},
    "up that cascades": {"up": CASCADE},
    "up, set to null first": {"up": CASCADE | FIRST},
    "down": {"down": {}},
    "down that cascades": {"down": CASCADE},
    "down, set to null first": {"down": CASCADE | FIRST},
    "down, left to the database": {"down": {"passive_deletes": True}},
    "down, cascades there": {"down": CASCADE | {"passive_deletes": True}},
    "both": {"up": {"back_populates": "down"}, "down": {"back_populates": "up"}},
    "both that cascade": {
        "up": {"back_populates": "down"},
        "down": {"back_populates": "up", "cascade": "all"},
    },
    "write only": {"down": {"lazy": "write_only", "passive_deletes": True}},
}


@pytest.mark.parametrize("relationships", ONE)
@pytest.mark.parametrize("ondelete", ON_DELETE)
@pytest.mark.unmeasured
async def test_a_circle_in_one_class_is_deleted_or_refused_as_databases_do(
    url: str, relationships: str, ondelete: str | None
) -> None:
    class Own(DeclarativeBase): ...

    class Node(Own):
        __tablename__ = "circle_nodes"
        id: Mapped[int] = mapped_column(primary_key=True)
        up_id: Mapped[int | None] = mapped_column(
            ForeignKey("circle_nodes.id", ondelete=ondelete)
        )

    for name, options in ONE[relationships].items():
        sides: dict[str, Any] = {"remote_side": Node.id} if name == "up" else {}
        setattr(Node, name, relationship(Node, **sides, **options))

    async def script(play: Play) -> None:
        nodes = play.of(Node)
        for verb in verbs(url):
            await nodes.create_many([{"id": number} for number in (1, 2, 3, 4)])
            for number, up in ((1, 2), (2, 1), (3, 3), (4, 3)):
                await nodes.update(number, {"up_id": up})
            # MariaDB refuses a row that refers to itself, too.
            for number in (4, 1) if url.startswith("mysql") else (4, 1, 3):
                if verb == "delete":
                    await said(play, nodes.delete(number), Node)
                elif verb == "delete_where":
                    where = field("id") == number
                    await said(play, nodes.delete_where(where), Node)
            if verb == "all":
                await said(play, nodes.delete_where(ALL), Node)
            await nodes.update_where(ALL, {"up_id": None})
            await nodes.delete_where(ALL)

    await alike(url, Own, script)


async def test_a_circle_over_a_reference_that_the_mapping_sets_to_null_is_one(
    url: str,
) -> None:
    class Own(DeclarativeBase): ...

    class Left(Own):
        __tablename__ = "circle_lefts"
        id: Mapped[int] = mapped_column(primary_key=True)
        right_id: Mapped[int | None] = mapped_column(
            ForeignKey("circle_rights.id", name="left_right")
        )
        right: Mapped["Right | None"] = relationship(foreign_keys=right_id)
        rights: Mapped[list["Right"]] = relationship(foreign_keys="Right.left_id")
        middles: Mapped[list["Middle"]] = relationship(cascade="all")

    class Middle(Own):
        __tablename__ = "circle_middles"
        id: Mapped[int] = mapped_column(primary_key=True)
        left_id: Mapped[int | None] = mapped_column(ForeignKey("circle_lefts.id"))
        right_id: Mapped[int | None] = mapped_column(ForeignKey("circle_rights.id"))
        right: Mapped["Right | None"] = relationship(cascade="all")

    class Right(Own):
        __tablename__ = "circle_rights"
        id: Mapped[int] = mapped_column(primary_key=True)
        left_id: Mapped[int | None] = mapped_column(
            ForeignKey("circle_lefts.id", name="right_left")
        )

    async def script(play: Play) -> None:
        lefts, middles, rights = play.of(Left), play.of(Middle), play.of(Right)
        await lefts.create({"id": 1})
        await rights.create({"id": 1, "left_id": 1})
        await middles.create({"id": 1, "left_id": 1, "right_id": 1})
        await lefts.update(1, {"right_id": 1})
        await said(play, lefts.delete(1), Left, Middle, Right)
        await lefts.update(1, {"right_id": None})
        await said(play, lefts.delete(1), Left, Middle, Right)

    answers = await alike(url, Own, script)

    assert answers[4:] == [True, [], [], []]


async def test_a_refused_circle_says_the_remedy_and_deletes_nothing() -> None:
    left, right = circle(both_ways, None)
    home = MemoryDatabase()
    lefts, rights = Repository[Any, int](home, left), Repository[Any, int](home, right)
    await lefts.create({"id": 1})
    await rights.create({"id": 1, "left_id": 1})
    await lefts.update(1, {"right_id": 1})

    with pytest.raises(UsageError, match=r"in a circle.*post_update=True"):
        await lefts.delete(1)

    assert (await lefts.count(), await rights.count()) == (1, 1)


async def test_a_key_that_waits_for_the_commit_keeps_no_row_of_a_circle(
    url: str,
) -> None:
    class Own(DeclarativeBase): ...

    class Left(Own):
        __tablename__ = "circle_lefts"
        id: Mapped[int] = mapped_column(primary_key=True)
        right_id: Mapped[int | None] = mapped_column(
            ForeignKey(
                "circle_rights.id",
                name="left_right",
                deferrable=True,
                initially="DEFERRED",
            )
        )
        rights: Mapped[list["Right"]] = relationship(
            foreign_keys="Right.left_id", cascade="all"
        )

    class Right(Own):
        __tablename__ = "circle_rights"
        id: Mapped[int] = mapped_column(primary_key=True)
        left_id: Mapped[int | None] = mapped_column(
            ForeignKey("circle_lefts.id", name="right_left")
        )

    if url.startswith("mysql"):
        pytest.skip("MariaDB has no deferred foreign keys")

    async def script(play: Play) -> None:
        play.of(Right)
        await play.of(Left).create({"id": 1})
        await play.of(Right).create({"id": 1, "left_id": 1})
        await play.of(Left).update(1, {"right_id": 1})
        await said(play, play.of(Left).delete(1), Left, Right)

    assert await alike(url, Own, script) == [True, [], []]


async def test_rows_that_hold_nulls_go_by_no_row_in_a_circle(url: str) -> None:
    class Own(DeclarativeBase): ...

    class Part(Own):
        __tablename__ = "circle_parts"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[int | None] = mapped_column(unique=True)
        whole: Mapped[int | None] = mapped_column(ForeignKey("circle_parts.code"))
        parts: Mapped[list["Part"]] = relationship(cascade="all")

    async def script(play: Play) -> None:
        parts = play.of(Part)
        await parts.create_many([{"id": 1}, {"id": 2}])
        await said(play, parts.delete(1), Part)
        await said(play, parts.delete(2), Part)

    assert (await alike(url, Own, script))[::2] == [True, True]
