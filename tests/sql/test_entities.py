"""Mapped classes: what is read off the mapping, how they live in memory, copies."""

import asyncio
import contextvars
import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    Sequence,
    String,
    TypeDecorator,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    attribute_keyed_dict,
    mapped_column,
    relationship,
    selectinload,
)
from sqlalchemy.types import UserDefinedType
from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    NotSupportedError,
    StaleDataError,
    UsageError,
    ValidationError,
)
from layerkit.repository import (
    ALL,
    Inc,
    MemoryDatabase,
    Repository,
    UniqueRule,
    adapter_for,
    copy_of,
    field,
)
from layerkit.sql import Database, SoftDeleteMixin, SQLRepository
from layerkit.unit_of_work import current_unit
from tests.support.library import (
    Author,
    Book,
    Checked,
    Employee,
    Loan,
    Manager,
    Seat,
    Stamped,
    Ticket,
    Versioned,
    columns,
)


class Base(DeclarativeBase):
    pass


class Colour(enum.Enum):
    RED = "red"


class Upper(TypeDecorator[str]):
    impl = String
    cache_ok = True


class Odd(UserDefinedType[Any]):
    cache_ok = True

    @override
    def get_col_spec(self, **_: Any) -> str:
        return "ODD"


class Kinds(Base):
    __tablename__ = "kinds"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    text: Mapped[str]
    flag: Mapped[bool] = mapped_column(Boolean(create_constraint=True))
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    day: Mapped[date]
    raw: Mapped[bytes]
    colour: Mapped[Colour] = mapped_column(Enum(Colour, create_constraint=True))
    data: Mapped[Any] = mapped_column(JSON)
    upper: Mapped[str] = mapped_column(Upper(10))
    odd: Mapped[Any] = mapped_column(Odd())
    vector: Mapped[Any] = mapped_column(TSVECTOR())


def in_memory(entity: type[Any]) -> Any:
    return Repository(MemoryDatabase(), entity)


# What is read off the mapping


def test_kinds_are_those_of_the_columns() -> None:
    kinds = {name: info.kind for name, info in adapter_for(Kinds).fields.items()}

    assert kinds == {
        "id": UUID,
        "text": str,
        "flag": bool,
        "amount": Decimal,
        "day": date,
        "raw": bytes,
        "colour": Colour,
        "data": None,
        "upper": None,
        "odd": None,
        "vector": None,
    }


def test_what_nothing_generates_is_required() -> None:
    def required(entity: type[Any]) -> list[str]:
        fields = adapter_for(entity).fields.values()
        return [info.name for info in fields if info.required]

    assert required(Seat) == ["row", "number"]
    assert required(Author) == ["name"]
    assert required(Stamped) == []
    assert required(Versioned) == ["name"]
    assert "id" not in required(Manager)


def test_keys_and_rules_go_by_attribute_names() -> None:
    adapter = adapter_for(Seat)

    assert adapter.key == ("row", "number")
    assert adapter.unique == (UniqueRule("one_seat_a_night", ("guest", "night")),)
    assert adapter_for(Author).unique == (UniqueRule("authors_name_key", ("name",)),)
    assert adapter_for(Author).integer_key == "id"
    assert adapter.integer_key is None


def test_a_unique_index_is_a_rule_unless_it_is_of_its_own_kind() -> None:
    class Own(DeclarativeBase): ...

    class Indexed(Own):
        __tablename__ = "indexed"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(String(50), index=True)
        other: Mapped[str] = mapped_column()
        __table_args__ = (
            Index("by_slug", "slug", unique=True),
            Index("by_text", func.lower(text("other")), unique=True),
            Index("by_lower", func.lower(other), unique=True),
            Index("by_some", "other", unique=True, sqlite_where=text("id > 5")),
        )

    assert adapter_for(Indexed).unique == (UniqueRule("by_slug", ("slug",)),)
    with pytest.raises(NotSupportedError, match="unique index on a condition"):
        in_memory(Indexed)


async def test_a_unique_index_of_its_own_kind_is_named_with_its_fields(
    sqlite: Database,
) -> None:
    class Own(DeclarativeBase): ...

    class Login(Own):
        __tablename__ = "logins"
        id: Mapped[int] = mapped_column(primary_key=True)
        mail: Mapped[str] = mapped_column()
        is_old: Mapped[bool] = mapped_column(default=False)
        __table_args__ = (
            Index("one_mail", func.lower(mail), unique=True, sqlite_where=~is_old),
        )

    await sqlite.create_all(Own.metadata)
    logins = Repository[Login, int](sqlite, Login)
    await logins.create_many([{"mail": "a"}, {"mail": "A", "is_old": True}])

    with pytest.raises(AlreadyExistsError) as taken:
        await logins.create({"mail": "A"})

    assert (taken.value.constraint, taken.value.fields) == ("one_mail", ("mail",))
    with pytest.raises(UsageError, match="not unique by mail"):
        await logins.upsert({"mail": "a"}, key="mail")


async def test_validators_run_in_memory_as_they_do_in_sql() -> None:
    rows = in_memory(Checked)
    made = await rows.create({"name": " a "})

    updated = await rows.update(made.id, {"name": " b "})
    async with rows.unit_of_work():
        held = await rows.get_by_id(made.id)
        held.name = " c "
        await rows.count()
        seen = held.name

    assert (made.name, updated.name, seen) == ("a", "b", "c")
    assert await rows.update_where(ALL, {"name": " d "}) == 1
    assert [row.name for row in await rows.get_all()] == ["d"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", 5),
        ("author_id", "1"),
        ("author_id", True),
        ("nope", 1),
        ("author", None),
        ("text", b"x"),
    ],
)
async def test_a_bad_field_is_refused_by_name(
    sqlite: Database, name: str, value: object
) -> None:
    for home in (sqlite, MemoryDatabase()):
        books: Any = Repository(home, Book)
        with pytest.raises(ValidationError) as on_create:
            await books.create({"title": "a", name: value})
        with pytest.raises(ValidationError) as on_update:
            await books.update(1, {name: value})
        assert on_create.value.fields == on_update.value.fields == (name,)


async def test_missing_and_null_fields_are_refused_by_name(sqlite: Database) -> None:
    for home in (sqlite, MemoryDatabase()):
        authors: Any = Repository(home, Author)
        for values in ({}, {"name": None}):
            with pytest.raises(ValidationError, match="Author needs name") as refused:
                await authors.create(values)
            assert refused.value.fields == ("name",)
        with pytest.raises(ValidationError, match="Author needs name"):
            await authors.create(Author(rank=1))


async def test_a_version_is_not_written_by_callers(sqlite: Database) -> None:
    for home in (sqlite, MemoryDatabase()):
        things: Any = Repository(home, Versioned)
        created = await things.create({"name": "a"})

        with pytest.raises(ValidationError, match="version") as refused:
            await things.update(created.id, {"version": 7})

        assert refused.value.fields == ("version",)


async def test_a_constructor_of_ones_own_is_used_and_its_errors_pass() -> None:
    class Strict(Base):
        __tablename__ = "strict"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

        def __init__(self, name: str) -> None:
            if name == "bad":
                raise TypeError("mine")
            self.name = name.upper()

    stricts = in_memory(Strict)

    assert (await stricts.create({"name": "a"})).name == "A"
    with pytest.raises(TypeError, match="mine"):
        await stricts.create({"name": "bad"})
    with pytest.raises(ValidationError, match="does not take id"):
        await stricts.create({"name": "a", "id": 5})
    with pytest.raises(ValidationError, match="needs name"):
        await stricts.create({})


async def test_a_mapped_dataclass_is_made_by_its_constructor(sqlite: Database) -> None:
    class DataBase(MappedAsDataclass, DeclarativeBase):
        pass

    class Point(DataBase):
        __tablename__ = "points"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        x: Mapped[int]
        y: Mapped[int] = mapped_column(default=0)

    await sqlite.create_all(DataBase.metadata)
    for home in (sqlite, MemoryDatabase()):
        points: Any = Repository(home, Point)
        created = await points.create({"x": 1})
        await points.create(Point(x=2, y=5))

        assert (created.id, created.x, created.y) == (1, 1, 0)
        assert (await points.get_by_id(2)).y == 5
        with pytest.raises(ValidationError, match="needs x"):
            await points.create({"y": 1})


# In memory


async def test_defaults_of_the_mapping_are_filled_in() -> None:
    stamped = in_memory(Stamped)
    given = Stamped(name="a")

    created = await stamped.create(given)

    assert created is given
    assert isinstance(created.id, UUID)
    assert (created.level, created.touched, created.updated_at) == (3, 0, None)
    assert created.created_at.tzinfo is not None
    assert (await stamped.get_by_id(created.id)).created_at == created.created_at


async def test_a_default_may_look_at_the_other_values_of_its_row(
    sqlite: Database,
) -> None:
    class Own(DeclarativeBase): ...

    class Post(SoftDeleteMixin, Own):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column("title_of_it", unique=True)
        stars: Mapped[int | None]
        slug: Mapped[str] = mapped_column(
            default=lambda context: context.get_current_parameters()[
                "title_of_it"
            ].lower(),
            onupdate=lambda context: context.current_parameters["title_of_it"].lower(),
        )

    await sqlite.create_all(Own.metadata)
    for home in (sqlite, MemoryDatabase()):
        posts = Repository[Post, int](home, Post)

        post = await posts.create({"title": "A"})
        updated = await posts.update(post.id, {"title": "B"})
        await posts.create_many([{"title": "C"}])

        found = await posts.get_all()
        assert updated is not None
        assert [row.slug for row in found] == ["b", "c"]
    posts = Repository[Post, int](sqlite, Post)
    with pytest.raises(NotSupportedError, match=r"Post\.slug"):
        await posts.upsert({"title": "B", "stars": 1}, key="title")


async def test_what_the_database_sets_is_unknown_to_a_scope(sqlite: Database) -> None:
    class Own(DeclarativeBase): ...

    class Box(Own):
        __tablename__ = "boxes"
        id: Mapped[int] = mapped_column(primary_key=True)
        size: Mapped[int] = mapped_column(server_default=text("3"))

    await sqlite.create_all(Own.metadata)
    large = Repository[Box, int](sqlite, Box).scoped(field("size") >= 2)

    with pytest.raises(ValidationError, match="outside of the scope"):
        await large.create({})

    assert (await large.create({"size": 2})).size == 2


@pytest.mark.defect("R27")
async def test_every_update_does_what_the_mapping_says() -> None:
    stamped = in_memory(Stamped)
    created = await stamped.create({})

    updated = await stamped.update(created.id, {"name": "b"})
    async with stamped.unit_of_work():
        (await stamped.get_by_id(created.id)).name = "c"
    found = await stamped.get_by_id(created.id)

    assert (updated.touched, found.touched, found.name) == (9, 9, "c")
    assert updated.updated_at is not None
    assert found.updated_at >= updated.updated_at


async def test_now_is_filled_in_whoever_says_it() -> None:
    class Clocked(Base):
        __tablename__ = "clocked"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        naive: Mapped[datetime] = mapped_column(DateTime, server_default=func.now())
        by_text: Mapped[datetime] = mapped_column(
            DateTime(timezone=True), server_default=text("CURRENT_TIMESTAMP")
        )
        by_call: Mapped[datetime] = mapped_column(
            DateTime(timezone=True), server_default=func.current_timestamp()
        )
        default: Mapped[datetime] = mapped_column(
            DateTime(timezone=True), default=func.now(), onupdate=func.now()
        )

    clocked = in_memory(Clocked)
    before = datetime.now(UTC)
    created = await clocked.create({})
    updated = await clocked.update(1, {"name": "a"})

    assert created.naive.tzinfo is None
    assert before <= created.naive.replace(tzinfo=UTC) <= datetime.now(UTC)
    assert before <= created.by_text <= datetime.now(UTC)
    assert before <= created.by_call <= datetime.now(UTC)
    assert created.default <= updated.default
    assert updated.naive == created.naive


def unportable() -> dict[str, type[Any]]:
    class OnlySQL(DeclarativeBase):
        pass

    class Check(OnlySQL):
        __tablename__ = "check_"
        id: Mapped[int] = mapped_column(primary_key=True)
        __table_args__ = (CheckConstraint("id > 0"),)

    class ServerDefault(OnlySQL):
        __tablename__ = "server_default"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(server_default=text("7"))

    class SQLDefault(OnlySQL):
        __tablename__ = "sql_default"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(default=func.random())

    class SQLOnUpdate(OnlySQL):
        __tablename__ = "sql_onupdate"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int | None] = mapped_column(
            onupdate=select(func.max(1)).scalar_subquery()
        )

    class ComputedColumn(OnlySQL):
        __tablename__ = "computed"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(Computed("id + 1"))

    made = {cls.__name__: cls for cls in OnlySQL.__subclasses__()}
    return {**made, "Employee": Employee, "Manager": Manager, "Loan": Loan}


UNPORTABLE = unportable()


@pytest.mark.parametrize("name", UNPORTABLE)
def test_what_only_a_database_can_do_is_refused_by_name(name: str) -> None:
    with pytest.raises(NotSupportedError, match=f"{name} has .*sqlite://"):
        Repository(MemoryDatabase(), UNPORTABLE[name])


async def test_a_key_that_the_database_counts_is_counted_in_memory() -> None:
    class Identified(Base):
        __tablename__ = "identified"
        id: Mapped[int] = mapped_column(Identity(), primary_key=True)

    class Sequenced(Base):
        __tablename__ = "sequenced"
        id: Mapped[int] = mapped_column(Sequence("s"), primary_key=True)

    for entity in (Identified, Sequenced):
        things = in_memory(entity)
        assert [(await things.create({})).id for _ in range(2)] == [1, 2]


async def test_rules_of_column_types_are_no_reason_to_refuse() -> None:
    kinds = in_memory(Kinds)
    values = {
        "id": uuid4(),
        "text": "a",
        "flag": True,
        "amount": Decimal("1.50"),
        "day": date(2026, 1, 1),
        "raw": b"x",
        "colour": Colour.RED,
        "data": {"a": [1]},
        "upper": "U",
        "odd": True,
        "vector": "a",
    }
    await kinds.create(values)

    found = await kinds.get_by_id(values["id"])
    found.data["a"].append(2)

    assert columns(found) == {**values, "data": {"a": [1, 2]}}
    assert (await kinds.get_by_id(values["id"])).data == {"a": [1]}


async def test_a_column_of_another_name_is_stored_by_its_attribute() -> None:
    seats = in_memory(Seat)
    await seats.create({"row": "A", "number": 1, "guest": "Ada", "night": 1})

    await seats.update(("A", 1), {"night": Inc(1)})

    assert (await seats.find_one(field("guest") == "Ada")).night == 2
    with pytest.raises(AlreadyExistsError) as refused:
        await seats.create({"row": "A", "number": 2, "guest": "Ada", "night": 2})
    assert refused.value.constraint == "one_seat_a_night"
    assert refused.value.fields == ("guest", "night")


async def test_an_imperative_mapping_lives_in_memory() -> None:
    tickets = in_memory(Ticket)

    await tickets.create({"code": "x", "price": 2})
    await tickets.update("x", {"price": 3})

    assert (await tickets.get_by_id("x")).price == 3


async def test_a_deferred_column_is_there_in_memory() -> None:
    books = in_memory(Book)
    await books.create({"title": "a", "text": "long"})

    assert (await books.get_by_id(1)).text == "long"


async def test_a_relationship_in_memory_raises_with_its_name() -> None:
    authors = in_memory(Author)
    await authors.create({"name": "Ada"})

    found = await authors.get_by_id(1)

    with pytest.raises(UsageError, match="books"):
        _ = found.books


async def test_an_entity_that_brings_others_is_refused_in_memory() -> None:
    authors = in_memory(Author)

    with pytest.raises(NotSupportedError, match=r"Author\.books"):
        await authors.create(Author(name="Ada", books=[Book(title="b")]))
    await authors.create(Author(name="Bob", books=[]))
    with pytest.raises(NotSupportedError, match=r"Author\.books"):
        async with authors.unit_of_work():
            bob = await authors.find_one(field("name") == "Bob")
            bob.name = "Eve"
            inspect(bob).dict["books"] = [Book(title="b")]

    assert [author.name for author in await authors.get_all()] == ["Bob"]


@pytest.mark.defect("R10")
@pytest.mark.defect("R44")
async def test_a_version_of_the_mapping_moves_in_memory() -> None:
    things = in_memory(Versioned)
    created = await things.create({"name": "a"})
    updated = await things.update(created.id, {"hits": Inc(1)})
    async with things.unit_of_work():
        (await things.get_by_id(created.id)).name = "b"

    assert (created.version, updated.version) == (1, 2)
    assert (await things.get_by_id(created.id)).version == 3


async def outside(work: Any) -> Any:
    """Run *work* as another task would, whose context has no unit."""
    return await asyncio.create_task(work, context=contextvars.Context())


@pytest.mark.defect("R10")
async def test_a_stale_version_is_refused_by_the_commit_in_memory() -> None:
    things = in_memory(Versioned)
    await things.create({"name": "a"})

    with pytest.raises(StaleDataError) as stale:
        async with things.unit_of_work():
            mine = await things.get_by_id(1)
            await outside(things.update(1, {"hits": 5}))
            mine.name = "mine"

    assert stale.value.retryable  # as a whole, where it is read again
    found = await things.get_by_id(1)
    assert (found.name, found.hits, found.version) == ("a", 5, 2)


async def test_what_another_unit_has_removed_does_not_come_back() -> None:
    authors = in_memory(Author)
    await authors.create({"name": "Ada"})

    with pytest.raises(StaleDataError):
        async with authors.unit_of_work():
            ada = await authors.get_by_id(1)
            await outside(authors.delete(1))
            ada.rank = 5

    assert await authors.count() == 0


async def test_two_units_that_change_other_fields_keep_both() -> None:
    authors = in_memory(Author)
    await authors.create({"name": "Ada"})

    async with authors.unit_of_work():
        ada = await authors.get_by_id(1)
        await outside(authors.update(1, {"name": "Eve"}))
        ada.rank = 5

    found = await authors.get_by_id(1)
    assert (found.name, found.rank) == ("Eve", 5)


# Copies


@pytest.mark.defect("R20")
async def test_a_copy_is_detached_with_what_was_loaded(sqlite: Database) -> None:
    class Authors(SQLRepository[Author, int]):
        load = (selectinload(Author.books),)

    authors = Authors(sqlite)
    await authors.create(Author(name="Ada", books=[Book(title="b")]))
    async with authors.unit_of_work():
        ada = await authors.get_by_id(1)
        assert ada is not None
        copied = copy_of(ada)
        copied.name = "changed"
        copied.books[0].title = "changed"
        copied.books.append(Book(title="new"))

        assert inspect(copied).detached
        assert (ada.name, [book.title for book in ada.books]) == ("Ada", ["b"])

    stored = await authors.get_by_id(1)
    assert stored is not None
    assert [book.title for book in stored.books] == ["b"]
    assert current_unit() is None


async def test_what_was_not_loaded_raises_in_a_copy_too(sqlite: Database) -> None:
    books = Repository[Book, int](sqlite, Book)
    book = await books.create({"title": "b", "text": "long"})
    found = await books.get_by_id(book.id)
    assert found is not None

    copied = copy_of(found)

    for name in ("text", "author"):
        with pytest.raises(UsageError, match=name):
            getattr(copied, name)


def test_a_copy_of_a_new_entity_is_new() -> None:
    author = Author(name="Ada", books=[Book(title="b")])

    copied = copy_of(author)

    assert inspect(copied).transient
    assert copied.books[0] is not author.books[0]
    assert copied.rank is None


def test_collections_of_every_kind_are_copied() -> None:
    class Kept(DeclarativeBase):
        pass

    class Tag(Kept):
        __tablename__ = "tags"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        post_id: Mapped[int] = mapped_column(ForeignKey("posts.id"))

    class Post(Kept):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        as_set: Mapped[set[Tag]] = relationship(viewonly=True)
        as_dict: Mapped[dict[str, Tag]] = relationship(
            collection_class=attribute_keyed_dict("name")
        )
        best: Mapped[Tag | None] = relationship(viewonly=True, uselist=False)

    tag = Tag(name="a")
    post = Post(as_dict={"a": tag}, as_set={tag}, best=None)

    copied = copy_of(post)

    assert copied.as_dict["a"] is not tag
    assert copied.as_set == {copied.as_dict["a"]}
    assert copied.best is None
    assert copied.as_dict["a"].name == "a"


def test_a_copy_has_deep_copies_of_its_values() -> None:
    kinds = Kinds(data={"a": [1]})

    copied = copy_of(kinds)
    copied.data["a"].append(2)

    assert kinds.data == {"a": [1]}


def test_an_unmapped_attribute_is_no_field() -> None:
    assert "books" not in adapter_for(Author).fields
    with pytest.raises(UsageError, match="Author has no field 'books'"):
        adapter_for(Author).info("books")
