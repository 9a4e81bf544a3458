"""Values that others refer to and that change, in memory as on databases."""

from typing import Any

import pytest
from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.core.errors import AlreadyExistsError
from layerkit.repository import ALL, Inc, field
from tests.support.alike import Play, alike
from tests.support.profiles import on_servers


@pytest.mark.parametrize(
    ("url", "onupdate", "verb"),
    on_servers(
        [None, "CASCADE", "SET NULL", "RESTRICT"],
        ["update", "update_where", "attribute"],
    ),
    indirect=["url"],
)
async def test_what_refers_to_a_value_that_changes_goes_by_on_update(
    url: str, onupdate: str | None, verb: str
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str | None] = mapped_column(String(9), unique=True)
        note: Mapped[str | None] = mapped_column(String(9))

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str | None] = mapped_column(
            String(9), ForeignKey("family_parents.code", onupdate=onupdate), unique=True
        )

    class Grandchild(Own):
        __tablename__ = "family_firsts"
        code: Mapped[str] = mapped_column(
            String(9),
            ForeignKey("family_children.code", onupdate="CASCADE", ondelete="CASCADE"),
            primary_key=True,
        )

    async def script(play: Play) -> None:
        parents, children = play.of(Parent), play.of(Child)
        grandchildren = play.of(Grandchild)

        async def change(changes: dict[str, Any]) -> Any:
            if verb == "update":
                return (await parents.update(1, changes)) is not None
            if verb == "update_where":
                return await parents.update_where(field("id") == 1, changes)
            async with play.home.unit_of_work():
                parent = await parents.get_by_id(1)
                for name, value in changes.items():
                    setattr(parent, name, value)
            return None

        await parents.create_many([{"id": 1, "code": "a"}, {"id": 2, "code": "b"}])
        await children.create_many([{"id": 1, "code": "a"}, {"id": 2, "code": "b"}])
        await grandchildren.create({"code": "b"})
        if onupdate == "CASCADE":
            await grandchildren.create({"code": "a"})
        await play.say(change({"note": "n", "code": "a"}))
        await play.rows(Parent, Child, Grandchild)
        await play.say(change({"code": "c"}))
        await play.rows(Parent, Child, Grandchild)

        if onupdate != "CASCADE":
            await play.say(change({"code": None}))
        await play.rows(Parent, Child, Grandchild)

    await alike(url, Own, script)


@pytest.mark.parametrize("verb", ["update", "update_where"])
async def test_what_was_changed_first_refers_to_what_there_was_before_a_move(
    url: str, verb: str
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(String(9), unique=True)

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(String(9), ForeignKey("family_parents.code"))

    async def script(play: Play) -> None:
        parents, children = play.of(Parent), play.of(Child)
        await parents.create_many([{"id": 1, "code": "a"}, {"id": 2, "code": "b"}])
        await children.create({"id": 1, "code": "a"})

        async def work() -> None:
            async with play.home.unit_of_work():
                child: Any = await children.get_by_id(1)
                child.code = "x"  # which no parent has as yet
                if verb == "update":
                    await parents.update(2, {"code": "x"})
                else:
                    await parents.update_where(field("id") == 2, {"code": "x"})

        await play.say(work())
        await play.rows(Parent, Child)

    await alike(url, Own, script)


async def test_what_a_savepoint_has_undone_leads_to_nothing(url: str) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(String(9), unique=True)

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(
            String(9), ForeignKey("family_parents.code", onupdate="CASCADE")
        )

    async def script(play: Play) -> None:
        parents, children = play.of(Parent), play.of(Child)
        await parents.create_many([{"id": 1, "code": "a"}, {"id": 2, "code": "b"}])
        await children.create({"id": 1, "code": "a"})

        async def work() -> None:
            async with play.home.unit_of_work() as unit:
                with pytest.raises(AlreadyExistsError):
                    async with unit.savepoint():
                        await parents.update_where(ALL, {"code": "x"})
                await parents.create({"id": 3, "code": "c"})

        await play.say(work())
        await play.rows(Parent, Child)

    await alike(url, Own, script)


class Counted(DeclarativeBase):
    """Hold a class whose key follows another's number."""


class Shelf(Counted):
    __tablename__ = "family_parents"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)


class Volume(Counted):
    __tablename__ = "family_children"
    shelf: Mapped[int] = mapped_column(
        ForeignKey("family_parents.number", onupdate="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    serial: Mapped[int | None] = mapped_column(unique=True)
    __table_args__ = (Index("family_by_place", "place", "shelf"),)  # MariaDB's need


class Slip(Counted):
    """Refer to what of a volume stays as it is."""

    __tablename__ = "family_seconds"
    id: Mapped[int] = mapped_column(primary_key=True)
    serial: Mapped[int | None] = mapped_column(
        ForeignKey("family_children.serial", ondelete="CASCADE")
    )


class Leaf(Counted):
    __tablename__ = "family_firsts"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf: Mapped[int | None]
    place: Mapped[int | None]
    __table_args__ = (
        ForeignKeyConstraint(
            ["place", "shelf"],
            ["family_children.place", "family_children.shelf"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
    )


async def test_a_key_that_refers_moves_along(url: str) -> None:
    async def script(play: Play) -> None:
        shelves, volumes, leaves = (play.of(e) for e in (Shelf, Volume, Leaf))
        await shelves.create_many([{"id": n, "number": n + 1} for n in (1, 2)])
        await volumes.create_many(
            [
                {"shelf": n, "place": p, "serial": 10 * n + p}
                for n, p in ((3, 1), (2, 1), (2, 2))
            ]
        )
        await play.of(Slip).create({"serial": 21})
        await leaves.create_many(
            [{"id": n + p, "shelf": n, "place": p} for n, p in ((3, 1), (2, 1))]
        )
        await play.say(shelves.update_where(ALL, {"number": Inc(-1)}))
        await play.rows(Shelf, Volume, Slip, Leaf)

        async def undone() -> None:
            async with play.home.unit_of_work() as unit:
                with pytest.raises(KeyError):
                    async with unit.savepoint():
                        await shelves.update(1, {"number": 9})
                        await play.rows(Volume)
                        raise KeyError
                await play.rows(Volume, Leaf)

        await undone()
        await play.rows(Shelf, Volume, Slip, Leaf)

    await alike(url, Counted, script)


@pytest.mark.parametrize(
    "verb", ["update", "update_where", "upsert", "upsert_many", "attribute"]
)
@pytest.mark.parametrize("onupdate", ["CASCADE", "SET NULL"])
async def test_a_unit_holds_what_a_change_of_another_row_made_of_its_objects(
    url: str, onupdate: str, verb: str
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(String(9), unique=True)

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str | None] = mapped_column(
            String(9), ForeignKey("family_parents.code", onupdate=onupdate), unique=True
        )
        note: Mapped[str | None] = mapped_column(String(9))

    class Grandchild(Own):
        __tablename__ = "family_firsts"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str | None] = mapped_column(
            String(9), ForeignKey("family_children.code", onupdate="CASCADE")
        )

    async def script(play: Play) -> None:
        parents, children = play.of(Parent), play.of(Child)
        grandchildren = play.of(Grandchild)

        async def change(parent: Any, code: str) -> None:
            item = {"id": 1, "code": code}
            if verb == "update":
                await parents.update(1, {"code": code})
            elif verb == "update_where":
                await parents.update_where(field("id") == 1, {"code": code})
            elif verb == "upsert":
                await parents.upsert(item, key="id")
            elif verb == "upsert_many":
                await parents.upsert_many([item], key="id")
            else:
                parent.code = code
                await parents.count()  # which writes it before

        await parents.create_many([{"id": 1, "code": "a"}, {"id": 2, "code": "b"}])
        await children.create_many([{"id": 1, "code": "a"}, {"id": 2, "code": "b"}])
        if onupdate == "CASCADE":
            await grandchildren.create({"id": 1, "code": "a"})
        async with play.home.unit_of_work():
            parent: Any = await parents.get_by_id(1)
            held: list[Any] = await children.get_all()
            held += await grandchildren.get_all()
            held[0].note = "mine"
            await change(parent, "c")
            play.answers.append([(one.id, one.code) for one in held])
            assert await children.get_by_id(1) is held[0]
            held[1].note = "mine"
            if verb == "attribute":
                parent.code = "d"
            else:
                await change(parent, "d")
        play.answers.append([(one.id, one.code, one.id) for one in held])
        await play.rows(Parent, Child, Grandchild)

    await alike(url, Own, script)


async def test_an_object_whose_key_has_moved_along_is_let_go(url: str) -> None:
    async def script(play: Play) -> None:
        shelves, volumes = play.of(Shelf), play.of(Volume)
        await shelves.create_many([{"id": n, "number": n} for n in (1, 2)])
        await volumes.create_many([{"shelf": n, "place": n} for n in (1, 2)])
        async with play.home.unit_of_work():
            first = await volumes.get_by_id((1, 1))
            second = await volumes.get_by_id((2, 2))
            await shelves.update(1, {"number": 3})
            assert await volumes.get_by_id((2, 2)) is second
            assert await volumes.get_by_id((3, 1)) is not first
            await play.say(volumes.get_by_id((1, 1)))
        await play.rows(Shelf, Volume)

    await alike(url, Counted, script)
