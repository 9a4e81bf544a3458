"""What a MemoryDatabase does by foreign keys, held against what databases do."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
)

from layerkit.core.errors import AlreadyExistsError, AppException
from layerkit.repository import ALL, Home, Inc, MemoryDatabase, Repository, field
from layerkit.sql import SoftDeleteMixin, VersionMixin
from tests.sql.test_deletes import KEYS, KINDS, VERBS, family, made

Answer: TypeAlias = object
Script: TypeAlias = Callable[["Play"], Awaitable[None]]


class Play:
    """Let a script use one home, and write down what it says."""

    def __init__(self, home: Home, *, names: bool, constraints: bool) -> None:
        self.home = home
        self._names, self._constraints = names, constraints
        self.answers: list[Answer] = []

    def of(self, entity: type[Any]) -> Repository[Any, Any]:
        return Repository[Any, Any](self.home, entity)

    async def say(self, asked: Awaitable[Any]) -> Any:
        """Note what was answered; an error by all that a caller can tell it by."""
        try:
            answer = await asked
        except AppException as error:
            told = error.to_problem()
            shown: list[Answer] = [type(error).__name__, error.code, error.status_code]
            shown += [getattr(error, "kind", None), error.retryable, error.public]
            if self._names:
                shown.append(told.get("fields"))
            if self._constraints:
                shown.append(getattr(error, "constraint", None))
            self.answers.append(shown)
            return None
        is_plain = isinstance(answer, int | str | tuple | None)
        self.answers.append(answer if is_plain else type(answer).__name__)
        return answer

    async def rows(self, *entities: type[Any]) -> None:
        """Note all that is stored of *entities*."""
        for entity in entities:
            found = await self.of(entity).get_all()
            names = entity.__mapper__.column_attrs.keys()
            self.answers.append(
                [{name: getattr(one, name) for name in names} for one in found]
            )


async def alike(url: str, base: type[DeclarativeBase], script: Script) -> list[Answer]:
    """Play *script* in memory and on a database, and compare what they say.

    SQLite does not tell what was refused, and PostgreSQL alone names constraints so.
    """
    names, constraints = "sqlite" not in url, url.startswith("postgresql")
    said: list[list[Answer]] = []
    async with made(url, base) as database:
        for home in (database, MemoryDatabase()):
            play = Play(home, names=names, constraints=constraints)
            await script(play)
            said.append(play.answers)
    stored, meant = said
    assert meant == stored
    return meant


# Deleting what is referred to


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("nullable", "ondelete"), [*KEYS, (False, "SET NULL"), (True, "NO ACTION")]
)
async def test_a_delete_leaves_the_rows_and_errors_that_databases_leave(
    url: str, kind: str, nullable: bool, ondelete: str | None
) -> None:
    if url.startswith("mysql") and (nullable, ondelete) == (False, "SET NULL"):
        pytest.skip("MariaDB refuses the table")
    parent_class, child_class = family(kind, nullable, ondelete)

    async def script(play: Play) -> None:
        parents, children = play.of(parent_class), play.of(child_class)
        for verb in VERBS:
            for number in (1, 2, 3):
                await parents.create({"id": number})
                if number < 3:
                    await children.create({"id": number, "parent_id": number})
            await play.say(parents.delete(3))
            if verb == "delete":
                await play.say(parents.delete(1))
            else:
                await play.say(parents.delete_where(field("id") == 1))
            await play.rows(parent_class, child_class)
            await children.delete_where(ALL)
            await parents.delete_where(ALL)

    await alike(url, parent_class, script)


@pytest.mark.parametrize("kind", ["plain", "none"])
@pytest.mark.parametrize("ondelete", [None, "CASCADE", "SET NULL"])
async def test_a_unit_sees_what_a_delete_did_and_a_savepoint_undoes_it(
    url: str, kind: str, ondelete: str | None
) -> None:
    parent_class, child_class = family(kind, True, ondelete)

    async def script(play: Play) -> None:
        parents, children = play.of(parent_class), play.of(child_class)
        await parents.create_many([{"id": 1}, {"id": 2}])
        await children.create({"id": 1, "parent_id": 1})

        async def work() -> None:
            async with play.home.unit_of_work() as unit:
                child: Any = await children.get_by_id(1)
                with pytest.raises(KeyError):
                    async with unit.savepoint():
                        await children.create({"id": 2, "parent_id": 1})
                        await play.say(parents.delete(1))
                        await play.rows(child_class)
                        raise KeyError
                await play.say(children.get_by_id(1))
                same: Any = await children.get_by_id(1)
                assert same is child
                play.answers.append(same.parent_id)
                same.parent_id = 2
                await play.say(parents.delete(1))
                await play.rows(parent_class, child_class)
                await play.say(parents.delete(2))
                await play.say(children.get_by_id(1))

        await play.say(work())
        await play.rows(parent_class, child_class)

    await alike(url, parent_class, script)


async def test_an_object_whose_row_went_along_is_let_go(url: str) -> None:
    parent_class, child_class = family("none", False, "CASCADE")

    async def script(play: Play) -> None:
        parents, children = play.of(parent_class), play.of(child_class)
        await parents.create_many([{"id": 1}, {"id": 2}])
        await children.create({"id": 1, "parent_id": 1})

        async def work() -> None:
            async with play.home.unit_of_work():
                child: Any = await children.get_by_id(1)
                await parents.delete(1)
                child.parent_id = 2  # of a row that is gone
                await play.say(children.get_by_id(1))
                await play.say(children.update(1, {"parent_id": 2}))
                await play.say(children.create({"id": 1, "parent_id": 2}))

        await play.say(work())
        await play.rows(child_class)

    await alike(url, parent_class, script)


async def test_what_the_mapping_sets_to_null_is_an_update_and_the_tables_is_none(
    url: str,
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        first: Mapped[list["First"]] = relationship()

    class First(VersionMixin, Own):
        __tablename__ = "family_firsts"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("family_parents.id"))
        changes: Mapped[str] = mapped_column(String(9), default="new", onupdate="old")

    class Second(VersionMixin, Own):
        __tablename__ = "family_seconds"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(
            ForeignKey("family_parents.id", ondelete="SET NULL")
        )
        changes: Mapped[str] = mapped_column(String(9), default="new", onupdate="old")

    async def script(play: Play) -> None:
        await play.of(Parent).create({"id": 1})
        await play.of(First).create({"id": 1, "parent_id": 1})
        await play.of(Second).create({"id": 1, "parent_id": 1})
        await play.say(play.of(Parent).delete(1))
        await play.rows(First, Second)

    answers = await alike(url, Own, script)

    of_mapping = {"id": 1, "parent_id": None, "changes": "old", "version": 2}
    of_table = {"id": 1, "parent_id": None, "changes": "new", "version": 1}
    assert answers == [True, [of_mapping], [of_table]]


class Shapes(DeclarativeBase):
    """Hold the tables of what refers in other shapes."""


tags_of_posts = Table(
    "referring_tags",
    Shapes.metadata,
    Column("post_id", ForeignKey("referring_posts.id"), primary_key=True),
    Column(
        "tag_id",
        ForeignKey("referring_labels.id", ondelete="CASCADE"),
        primary_key=True,
    ),
)


class Blog(Shapes):
    """Own posts by the mapping, and a banner by the database."""

    __tablename__ = "referring_blogs"
    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list["Post"]] = relationship(cascade="all, delete-orphan")
    banner: Mapped["Banner | None"] = relationship()


class Post(Shapes):
    __tablename__ = "referring_posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    blog_id: Mapped[int] = mapped_column(ForeignKey("referring_blogs.id"))
    comments: Mapped[list["Comment"]] = relationship()
    labels: Mapped[list["Label"]] = relationship(
        secondary=tags_of_posts, back_populates="posts"
    )


class Comment(Shapes):
    """Be the database's to delete, and answer another of its kind."""

    __tablename__ = "referring_comments"
    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column(
        ForeignKey("referring_posts.id", ondelete="CASCADE")
    )
    answers_id: Mapped[int | None] = mapped_column(
        ForeignKey("referring_comments.id", ondelete="CASCADE")
    )


class Banner(Shapes):
    """Have the foreign key for its own key."""

    __tablename__ = "referring_banners"
    blog_id: Mapped[int] = mapped_column(
        ForeignKey("referring_blogs.id", ondelete="CASCADE"), primary_key=True
    )


class Label(Shapes):
    __tablename__ = "referring_labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list[Post]] = relationship(
        secondary=tags_of_posts, back_populates="labels"
    )


class Tagging(Shapes):
    """Be the rows between posts and labels, as a class."""

    __table__ = tags_of_posts


class Note(Shapes):
    """Hang on a banner, whose key is a blog's."""

    __tablename__ = "referring_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    banner_id: Mapped[int | None] = mapped_column(
        ForeignKey("referring_banners.blog_id", ondelete="SET NULL")
    )


EVERYTHING = (Blog, Post, Comment, Banner, Label, Tagging, Note)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("entity", [Blog, Post, Label, Banner, Comment])
async def test_a_delete_goes_on_over_any_number_of_classes(
    url: str, entity: type[Any], verb: str
) -> None:
    async def script(play: Play) -> None:
        for kind in EVERYTHING:
            play.of(kind)
        await play.of(Blog).create_many([{"id": 1}, {"id": 2}])
        await play.of(Post).create_many(
            [{"id": n, "blog_id": b} for n, b in ((1, 1), (2, 1), (3, 2))]
        )
        await play.of(Comment).create_many(
            [
                {"id": 1, "post_id": 1},
                {"id": 2, "post_id": 1, "answers_id": 1},
                {"id": 3, "post_id": 3, "answers_id": 2},
            ]
        )
        await play.of(Banner).create_many([{"blog_id": 1}, {"blog_id": 2}])
        await play.of(Note).create_many([{"id": 1, "banner_id": 1}, {"id": 2}])
        await play.of(Label).create_many([{"id": 1}, {"id": 2}])
        await play.of(Tagging).create_many(
            [{"post_id": p, "tag_id": t} for p, t in ((1, 1), (1, 2), (3, 1))]
        )
        some = play.of(entity)
        if verb == "delete":
            await play.say(some.delete(1))
        else:  # databases count differently what goes by another row of the statement
            await some.delete_where(ALL)
        await play.rows(*EVERYTHING)

    await alike(url, Shapes, script)


async def test_a_many_to_one_with_a_cascade_takes_what_it_refers_to_along(
    url: str,
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("family_parents.id"))
        parent: Mapped[Parent] = relationship(
            cascade="all, delete-orphan", single_parent=True
        )

    async def script(play: Play) -> None:
        play.of(Child)
        await play.of(Parent).create_many([{"id": 1}, {"id": 2}])
        await play.of(Child).create_many(
            [{"id": 1, "parent_id": 1}, {"id": 2, "parent_id": 2}]
        )
        await play.say(play.of(Child).delete(1))
        await play.rows(Parent, Child)

    assert await alike(url, Own, script) == [
        True,
        [{"id": 2}],
        [{"id": 2, "parent_id": 2}],
    ]


async def test_a_child_of_two_is_deleted_once_and_nulled_for_the_other(
    url: str,
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        owned: Mapped[list["Child"]] = relationship(
            foreign_keys="Child.owner_id", cascade="all"
        )
        named: Mapped[list["Child"]] = relationship(foreign_keys="Child.other_id")

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        owner_id: Mapped[int | None] = mapped_column(ForeignKey("family_parents.id"))
        other_id: Mapped[int | None] = mapped_column(ForeignKey("family_parents.id"))

    async def script(play: Play) -> None:
        await play.of(Parent).create_many([{"id": 1}, {"id": 2}])
        await play.of(Child).create_many(
            [
                {"id": 1, "owner_id": 1, "other_id": 1},
                {"id": 2, "owner_id": 1, "other_id": 2},
                {"id": 3, "owner_id": 2, "other_id": 1},
            ]
        )
        await play.say(play.of(Parent).delete(1))
        await play.rows(Parent, Child)

    await alike(url, Own, script)


async def test_of_two_relationships_by_one_key_the_one_that_deletes_wins(
    url: str,
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        every: Mapped[list["Child"]] = relationship()
        owned: Mapped[list["Child"]] = relationship(cascade="all", overlaps="every")

    class Child(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("family_parents.id"))

    async def script(play: Play) -> None:
        await play.of(Parent).create({"id": 1})
        await play.of(Child).create({"id": 1, "parent_id": 1})
        await play.say(play.of(Parent).delete(1))
        await play.rows(Parent, Child)

    assert await alike(url, Own, script) == [True, [], []]


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


@pytest.mark.parametrize("verb", ["update", "update_where", "attribute"])
@pytest.mark.parametrize("onupdate", [None, "CASCADE", "SET NULL", "RESTRICT"])
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
            String(9),
            ForeignKey("family_parents.code", onupdate=onupdate),
            unique=True,
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
