"""What a MemoryDatabase does at a delete, held against what databases do."""

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from layerkit.repository import ALL, field
from layerkit.sql import VersionMixin
from tests.sql.test_deletes import KEYS, KINDS, VERBS, family
from tests.support.alike import Play, alike
from tests.support.profiles import on_servers

pytestmark = pytest.mark.unmeasured

# Deleting what is referred to


@pytest.mark.parametrize(
    ("url", "kind", "key"),
    on_servers(KINDS, [*KEYS, (False, "SET NULL"), (True, "NO ACTION")]),
    indirect=["url"],
    ids=str,
)
async def test_a_delete_leaves_the_rows_and_errors_that_databases_leave(
    url: str, kind: str, key: tuple[bool, str | None]
) -> None:
    nullable, ondelete = key
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
