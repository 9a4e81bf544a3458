"""What deleting does to what refers: by the mapping's cascades, or the foreign keys."""

from collections.abc import AsyncIterator
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

from layerkit.core.errors import ConflictError, UsageError
from layerkit.repository import ALL, Repository, field
from layerkit.sql import Database, SQLRepository, statements
from tests.support.alike import made
from tests.support.profiles import on_servers

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
        Parent.children = relationship(Child, **options)
    backref = "children" if kind == "backref" else None
    Child.parent = relationship(Parent, backref=backref, overlaps="children")
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


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("url", "kind", "key"), on_servers(KINDS, KEYS), indirect=["url"], ids=str
)
async def test_a_delete_does_what_the_mapping_and_the_tables_say(
    url: str, kind: str, key: tuple[bool, str | None]
) -> None:
    nullable, ondelete = key
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
    refused: ConflictError | None = None
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
        refused = error
    if refused is not None:
        assert refused.kind == "foreign_key"
        assert "family_children.parent_id" in str(refused)
        for remedy in ("passive_deletes=True", "ondelete=", "cascade="):
            assert remedy in str(refused)
        if hasattr(parents.model_class, "children"):
            assert "Parent.children" in str(refused)
        assert "family" not in str(refused.to_problem())
        assert await parents.count() == 2
        return "refused"
    assert await parents.count() == 1
    stored = await children.get_by_id(1)
    if stored is None:
        return "gone"
    assert stored.parent_id is None
    return "null"


# Shapes beside a parent and its children


class Base(DeclarativeBase):
    """Hold the tables of what is deleted in other shapes."""


tags_of_posts = Table(
    "deleting_tags_of_posts",
    Base.metadata,
    Column(
        "post_id", ForeignKey("deleting_posts.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("tag_id", ForeignKey("deleting_tags.id"), primary_key=True),
)


class Blog(Base):
    """Own posts by a cascade of the mapping, and a banner by the database."""

    __tablename__ = "deleting_blogs"
    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list["Post"]] = relationship(
        cascade="all, delete-orphan", order_by="Post.id"
    )
    banner: Mapped["Banner | None"] = relationship()
    visits: WriteOnlyMapped["Visit"] = relationship(passive_deletes=True)


class Post(Base):
    __tablename__ = "deleting_posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    blog_id: Mapped[int] = mapped_column(ForeignKey("deleting_blogs.id"))
    comments: Mapped[list["Comment"]] = relationship()
    tags: Mapped[list["Tag"]] = relationship(
        secondary=tags_of_posts, back_populates="posts"
    )


class Comment(Base):
    """Be the database's to delete, and answer another of its kind."""

    __tablename__ = "deleting_comments"
    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column(
        ForeignKey("deleting_posts.id", ondelete="CASCADE")
    )
    answers_id: Mapped[int | None] = mapped_column(
        ForeignKey("deleting_comments.id", ondelete="CASCADE")
    )
    answers: Mapped[list["Comment"]] = relationship()


class Tag(Base):
    __tablename__ = "deleting_tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list[Post]] = relationship(
        secondary=tags_of_posts, back_populates="tags"
    )


class Banner(Base):
    """Have the foreign key for its own key, which can't be blanked out."""

    __tablename__ = "deleting_banners"
    blog_id: Mapped[int] = mapped_column(
        ForeignKey("deleting_blogs.id", ondelete="CASCADE"), primary_key=True
    )


class Visit(Base):
    __tablename__ = "deleting_visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    blog_id: Mapped[int] = mapped_column(
        ForeignKey("deleting_blogs.id", ondelete="CASCADE")
    )


class Node(Base):
    """Be a tree, and own leaves by a cascade of the mapping."""

    __tablename__ = "deleting_nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    above_id: Mapped[int | None] = mapped_column(
        ForeignKey("deleting_nodes.id", ondelete="CASCADE")
    )
    below: Mapped[list["Node"]] = relationship()
    leaves: Mapped[list["Leaf"]] = relationship(cascade="all")


class Leaf(Base):
    __tablename__ = "deleting_leaves"
    id: Mapped[int] = mapped_column(primary_key=True)
    node_id: Mapped[int | None] = mapped_column(
        ForeignKey("deleting_nodes.id", ondelete="CASCADE")
    )


class Person(Base):
    """Be the parent of joined inheritance; what they wrote goes with them."""

    __tablename__ = "deleting_people"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    letters: Mapped[list["Letter"]] = relationship()
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012 - declarative's


class Editor(Person):
    __tablename__ = "deleting_editors"
    id: Mapped[int] = mapped_column(ForeignKey("deleting_people.id"), primary_key=True)
    drafts: Mapped[list["Draft"]] = relationship()
    __mapper_args__ = {"polymorphic_identity": "editor"}  # noqa: RUF012 - declarative's


class Letter(Base):
    __tablename__ = "deleting_letters"
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(
        ForeignKey("deleting_people.id", ondelete="CASCADE")
    )


class Draft(Base):
    __tablename__ = "deleting_drafts"
    id: Mapped[int] = mapped_column(primary_key=True)
    editor_id: Mapped[int | None] = mapped_column(
        ForeignKey("deleting_editors.id", ondelete="SET NULL")
    )


@pytest.fixture
async def shapes(url: str) -> AsyncIterator[Database]:
    async with made(url, Base) as database:
        yield database


def of(database: Any, entity: type[Any]) -> SQLRepository[Any, Any]:
    return SQLRepository[Any, Any](database, entity)


async def counts(database: Database, *entities: type[Any]) -> list[int]:
    return [await of(database, entity).count() for entity in entities]


async def blog(database: Database) -> None:
    """Store a blog with all that can hang on it, and a tag of another's."""
    comments = [Comment(id=1), Comment(id=2, post_id=1)]
    tag = Tag(id=1)
    await of(database, Blog).create(
        Blog(
            id=1,
            posts=[Post(id=1, comments=comments, tags=[tag]), Post(id=2)],
            banner=Banner(),
        )
    )
    await of(database, Comment).update(2, {"answers_id": 1})
    await of(database, Visit).create({"id": 1, "blog_id": 1})


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("holds", [True, False])
async def test_a_cascade_of_the_mapping_goes_on_as_one_of_the_database(
    shapes: Database, verb: str, holds: bool
) -> None:
    await blog(shapes)
    blogs = of(shapes, Blog)

    async with shapes.unit_of_work():
        held = (
            [
                *await of(shapes, Comment).find(ALL),
                *await of(shapes, Banner).find(ALL),
                *await of(shapes, Visit).find(ALL),
            ]
            if holds
            else []
        )
        await (blogs.delete(1) if verb == "delete" else blogs.delete_where(ALL))

        assert all(inspect(entity).deleted for entity in held)

    everything = (Blog, Post, Comment, Banner, Visit)
    assert await counts(shapes, *everything, Tag) == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("verb", VERBS)
async def test_what_all_is_left_to_the_database_is_one_statement(
    shapes: Database, verb: str
) -> None:
    await blog(shapes)
    posts = of(shapes, Post)

    with statements(max=1):
        await (posts.delete(1) if verb == "delete" else posts.delete_where(ALL))

    assert await counts(shapes, Comment, Tag) == [0, 1]


async def test_rows_between_two_classes_go_with_either_side(shapes: Database) -> None:
    await blog(shapes)

    assert await of(shapes, Tag).delete(1) is True  # its own foreign key says nothing

    async with shapes.unit_of_work():
        rows = await shapes.session().execute(tags_of_posts.select())
        assert rows.all() == []
    assert await counts(shapes, Post, Tag) == [2, 0]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("holds", [True, False])
async def test_a_tree_goes_down_to_its_leaves(
    shapes: Database, verb: str, holds: bool
) -> None:
    nodes = of(shapes, Node)
    await nodes.create_many(
        [Node(id=n, above_id=n - 1 or None, leaves=[Leaf(id=n)]) for n in range(1, 5)]
    )

    async with shapes.unit_of_work():
        held = await nodes.find(ALL) if holds else []
        if verb == "delete":
            await nodes.delete(2)
        else:
            assert await nodes.delete_where(field("id") >= 2) == 3
        assert [inspect(node).deleted for node in held] == [False, *[True] * 3][
            : len(held)
        ]

    assert await counts(shapes, Node, Leaf) == [1, 1]
    assert await nodes.delete_where(ALL) == 1


@pytest.mark.parametrize("verb", VERBS)
async def test_what_refers_to_either_table_of_a_class_is_left_to_the_database(
    shapes: Database, verb: str
) -> None:
    editors = of(shapes, Editor)
    await editors.create(Editor(id=1, letters=[Letter(id=1)], drafts=[Draft(id=1)]))

    async with shapes.unit_of_work():
        (draft,) = await of(shapes, Draft).find(ALL)
        await (editors.delete(1) if verb == "delete" else editors.delete_where(ALL))
        assert draft.editor_id is None

    assert await counts(shapes, Person, Letter, Draft) == [0, 0, 1]


async def test_a_delete_that_a_savepoint_undoes_leaves_all_as_it_was(
    shapes: Database,
) -> None:
    await blog(shapes)

    class Blogs(SQLRepository[Blog, int]):
        load = (selectinload(Blog.posts).selectinload(Post.comments),)

    blogs = Blogs(shapes)
    async with shapes.unit_of_work() as unit:
        held = await blogs.get_by_id(1)
        assert held is not None
        with pytest.raises(KeyError):
            async with unit.savepoint():
                assert await blogs.delete(1) is True
                raise KeyError
        again = await blogs.get_by_id(1)
        assert again is held
        assert [[c.id for c in post.comments] for post in again.posts] == [[1, 2], []]

    everything = (Blog, Post, Comment, Banner, Visit)
    assert await counts(shapes, *everything) == [1, 2, 2, 1, 1]


async def test_a_refused_delete_leaves_the_collection_as_it_was(url: str) -> None:
    parent_class, child_class = family("plain", False, None)

    class Listened(SQLRepository[Any, int]):
        load = (selectinload(parent_class.children),)

    event.listen(parent_class, "before_delete", lambda *_: None)
    async with made(url, parent_class) as database:
        parents = Listened(database, parent_class)
        await parents.create({"id": 1})
        await of(database, child_class).create({"id": 1, "parent_id": 1})

        async with database.unit_of_work() as unit:
            held: Any = await parents.get_by_id(1)
            with pytest.raises(ConflictError):
                async with unit.savepoint():
                    await parents.delete(1)
            assert [child.id for child in held.children] == [1]
            assert await parents.get_by_id(1) is held


async def test_listeners_hear_of_a_delete_whose_children_are_the_databases(
    url: str,
) -> None:
    parent_class, child_class = family("plain", False, "CASCADE")
    heard: list[int] = []
    event.listen(parent_class, "before_delete", lambda *a: heard.append(a[2].id))
    async with made(url, parent_class) as database:
        parents, children = of(database, parent_class), of(database, child_class)
        for number in (1, 2):
            await parents.create({"id": number})
            await children.create({"id": number, "parent_id": number})

        assert await parents.delete_where(ALL) == 2

        assert sorted(heard) == [1, 2]
        assert await children.count() == 0


@pytest.mark.parametrize("ondelete", ["CASCADE", "SET NULL"])
async def test_where_sqlite_checks_no_foreign_keys_the_mapping_goes_on_alone(
    tmp_path: Any, ondelete: str
) -> None:
    parent_class, child_class = family("plain", True, ondelete)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'bare.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(parent_class.metadata.create_all)
    maker = async_sessionmaker(engine)
    parents, children = of(maker, parent_class), of(maker, child_class)
    for number in (1, 2):
        await parents.create({"id": number})
        await children.create({"id": number, "parent_id": number})

    await parents.delete(1)
    await parents.delete_where(ALL)

    assert [c.parent_id for c in await children.find(ALL)] == [None, None]
    await engine.dispose()


@pytest.mark.parametrize("ondelete", ["CASCADE", None])
@pytest.mark.parametrize("verb", ["delete", "delete_where"])
async def test_where_sqlite_checks_no_foreign_keys_no_orphan_is_left(
    tmp_path: Any, ondelete: str | None, verb: str
) -> None:
    parent_class, child_class = family("plain", False, ondelete)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'bare.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(parent_class.metadata.create_all)
    maker = async_sessionmaker(engine)
    parents, children = of(maker, parent_class), of(maker, child_class)
    await parents.create({"id": 1})
    await children.create({"id": 1, "parent_id": 1})

    with pytest.raises(ConflictError, match=r"still referred to by \w+\.children"):
        await (parents.delete(1) if verb == "delete" else parents.delete_where(ALL))

    assert (await parents.count(), await children.count()) == (1, 1)
    await children.delete(1)
    assert await parents.delete(1)
    await engine.dispose()


async def test_a_child_that_leads_elsewhere_by_default_is_read_again(url: str) -> None:
    class Own(DeclarativeBase): ...

    class Shelf(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        books: Mapped[list["Volume"]] = relationship(back_populates="shelf")

    class Volume(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(Integer, primary_key=True)
        shelf_id: Mapped[int] = mapped_column(
            ForeignKey("family_parents.id", ondelete="SET DEFAULT"), server_default="1"
        )
        shelf: Mapped[Shelf] = relationship(back_populates="books")

    if url.startswith("mysql"):
        pytest.skip("InnoDB has no SET DEFAULT")
    async with made(url, Own) as database:
        shelves = Repository[Shelf, int](database, Shelf)
        await shelves.create_many([{"id": 1}, {"id": 2}])
        volumes = Repository[Volume, int](database, Volume)
        await volumes.create({"id": 1, "shelf_id": 2})
        async with database.unit_of_work():
            first, shelf = await shelves.get_by_id(1), await shelves.get_by_id(2)
            volume = await volumes.get_by_id(1)
            assert volume is not None
            assert volume.shelf is shelf
            assert await shelves.delete(2) is True

            assert (volume.shelf_id, volume.shelf) == (1, first)


async def test_a_callers_session_forgets_what_the_database_deleted(url: str) -> None:
    parent_class, child_class = family("plain", False, "CASCADE")
    async with made(url, parent_class) as database:
        engine: AsyncEngine = database.engine
        async with async_sessionmaker(engine)() as session, session.begin():
            parents, children = of(session, parent_class), of(session, child_class)
            await parents.create({"id": 1})
            child = await children.create({"id": 1, "parent_id": 1})

            await parents.delete(1)

            assert inspect(child).deleted
            assert await session.get(child_class, 1) is None


async def test_many_are_deleted_in_one_go_and_nothing_is_written_between(
    shapes: Database,
) -> None:
    blogs = of(shapes, Blog)
    for number in (1, 2, 3):
        post = Post(id=number, comments=[Comment(id=number)])
        await blogs.create(Blog(id=number, posts=[post], banner=Banner()))

    with statements() as seen:
        assert await blogs.delete_where(field("id") >= 2) == 2

    assert not any(sql.upper().startswith("UPDATE") for sql in seen.sql)
    assert await counts(shapes, Blog, Post, Comment, Banner) == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", ["plain", "viewonly", "passive all", "none"])
async def test_what_is_the_databases_alone_is_not_loaded(url: str, kind: str) -> None:
    parent_class, child_class = family(kind, False, "CASCADE")
    async with made(url, parent_class) as database:
        parents = of(database, parent_class)
        await parents.create({"id": 1})
        await of(database, child_class).create({"id": 1, "parent_id": 1})

        with statements(max=1):
            assert await parents.delete(1) is True


async def test_a_viewonly_relationship_costs_a_delete_nothing(url: str) -> None:
    parent_class, _ = family("viewonly", True, None)
    async with made(url, parent_class) as database:
        parents = of(database, parent_class)
        await parents.create({"id": 1})

        with statements(max=1):
            assert await parents.delete(1) is True


async def test_what_a_key_reaches_over_others_that_are_not_held_is_forgotten(
    shapes: Database,
) -> None:
    people = of(shapes, Person)
    await of(shapes, Node).create_many(
        [Node(id=1), Node(id=2, above_id=1, leaves=[Leaf(id=1)])]
    )
    await people.create(Person(id=1, letters=[Letter(id=1)]))

    async with shapes.unit_of_work():
        (leaf,) = await of(shapes, Leaf).find(ALL)
        (letter,) = await of(shapes, Letter).find(ALL)
        await of(shapes, Node).delete(1)
        assert inspect(leaf).deleted
        assert inspect(letter).persistent


async def test_a_rule_that_only_the_database_knows_is_seen_where_no_null_may_be(
    url: str,
) -> None:
    stored, _ = family("plain", False, "CASCADE")
    parent_class, child_class = family("plain", False, None)
    async with made(url, stored) as database:
        parents, children = of(database, parent_class), of(database, child_class)
        await parents.create({"id": 1})
        await children.create({"id": 1, "parent_id": 1})

        async with database.unit_of_work():
            child = await children.get_by_id(1)
            await parents.delete(1)
            assert inspect(child).deleted
            assert await children.get_by_id(1) is None


async def test_a_refusal_names_what_the_database_does_or_all_that_it_may_be(
    url: str,
) -> None:
    class Own(DeclarativeBase): ...

    class Parent(Own):
        __tablename__ = "family_parents"
        id: Mapped[int] = mapped_column(primary_key=True)
        first: Mapped[list["First"]] = relationship(passive_deletes="all")
        gone: Mapped[list["Gone"]] = relationship()

    class First(Own):
        __tablename__ = "family_firsts"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(
            ForeignKey("family_parents.id", name="first_of_parent")
        )

    class Second(Own):
        __tablename__ = "family_seconds"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(
            ForeignKey("family_parents.id", name="second_of_parent")
        )

    class Gone(Own):
        __tablename__ = "family_children"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(
            ForeignKey("family_parents.id", ondelete="CASCADE")
        )

    async with made(url, Own) as database:
        parents = of(database, Parent)
        for number, child in ((1, First), (2, Second)):
            await parents.create({"id": number})
            await of(database, child).create({"id": 1, "parent_id": number})

        told = []
        for number in (1, 2):
            with pytest.raises(ConflictError) as refused:
                await parents.delete(number)
            told.append(str(refused.value))

    first, second = "Parent.first (family_firsts.parent_id)", "family_seconds.parent_id"
    both = url.startswith("sqlite")  # which does not say which
    assert [first in text for text in told] == [True, both]
    assert [second in text for text in told] == [both, True]
    assert not any("gone" in text or "children" in text for text in told)


@pytest.mark.parametrize("verb", ["delete", "delete_where"])
async def test_rows_in_a_circle_are_refused_with_the_remedy(
    tmp_path: Any, verb: str
) -> None:
    class Own(DeclarativeBase): ...

    class Knot(Own):
        __tablename__ = "knots"
        id: Mapped[int] = mapped_column(primary_key=True)
        up_id: Mapped[int | None] = mapped_column(ForeignKey("knots.id"))
        ties: Mapped[list["Knot"]] = relationship()

    async with made(f"sqlite:///{tmp_path / 'knots.db'}", Own) as database:
        knots = Repository[Knot, int](database, Knot)
        await knots.create({"id": 1, "up_id": 1})

        with pytest.raises(UsageError, match="post_update=True"):
            await (knots.delete(1) if verb == "delete" else knots.delete_where(ALL))

        await knots.update(1, {"up_id": None})
        assert await knots.delete(1)
