"""Batches that are returned: whose keys they get, on SQLite."""

import pytest
from sqlalchemy import ForeignKey, insert
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from layerkit import AlreadyExistsError, Repository, ValidationError
from layerkit.sql import Database, SQLRepository, statements
from tests.support.entities import Base, MappedItem
from tests.support.library import Author, Book


class Forest(DeclarativeBase):
    """Hold the table of trees."""


class Node(Forest):
    __tablename__ = "batch_nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("batch_nodes.id"))
    parent: Mapped["Node | None"] = relationship(remote_side="Node.id")


class Items(Repository[MappedItem, int]): ...


async def test_a_batch_past_the_last_key_of_sqlite_is_refused_and_not_mixed_up() -> (
    None
):
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        items = Items(database)
        last = insert(items.model_class).values(id=2**63 - 1, name="last")
        async with database.engine.begin() as connection:
            await connection.execute(last)

        async with items.unit_of_work() as unit:
            with pytest.raises(ValidationError):
                async with unit.savepoint():
                    rows = [{"name": f"n{n}"} for n in range(9)]
                    await items.create_many(rows, returning=True)

        assert await items.count() == 1


async def test_a_session_of_ones_own_on_sqlite_keeps_the_budget_and_its_engine() -> (
    None
):
    engine = create_async_engine("sqlite+aiosqlite://")
    usual = engine.dialect.insertmanyvalues_implicit_sentinel
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        items = Items(session)
        with statements(max=2):
            await items.create_many([{"name": "b"}, {"name": "a"}], returning=True)
            rows = [{"name": "d"}, {"name": "c"}]
            made = await items.create_many(rows, returning=True)

        assert [(item.id, item.name) for item in made] == [(3, "d"), (4, "c")]
        connection = await session.connection()
        assert connection.dialect.insertmanyvalues_implicit_sentinel == usual
    await engine.dispose()


async def test_a_batch_that_brings_others_or_keys_gets_its_keys_one_by_one(
    sqlite: Database,
) -> None:
    authors = Repository[Author, int](sqlite, Author)
    books = Repository[Book, int](sqlite, Book)
    async with books.unit_of_work():
        ann = Author(name="Ann")
        rows = [Book(title="b", author=ann), Book(title="a", author=ann)]
        made = await books.create_many(rows, returning=True)
        named = await authors.create_many(
            [Author(id=70, name="x"), Author(name="y"), Author(id=60, name="z")],
            returning=True,
        )

    assert [(book.id, book.title) for book in made] == [(1, "b"), (2, "a")]
    assert [author.id for author in named] == [70, 71, 60]
    assert await authors.count() == 4


async def test_what_else_is_new_in_the_unit_does_not_come_in_between(
    sqlite: Database,
) -> None:
    authors = SQLRepository[Author, int](sqlite, Author)
    async with authors.unit_of_work():
        authors.db_session.add(Author(name="first"))
        made = await authors.create_many([{"name": "b"}, {"name": "a"}], returning=True)

    assert [(author.id, author.name) for author in made] == [(2, "b"), (3, "a")]


async def test_a_parent_in_the_batch_of_its_child_is_stored_first() -> None:
    async with Database("sqlite://") as database:
        await database.create_all(Forest.metadata)
        nodes = Repository[Node, int](database, Node)
        root = Node()

        made = await nodes.create_many([Node(parent=root), root], returning=True)

        assert [(node.id, node.parent_id) for node in made] == [(2, 1), (1, None)]


async def test_a_batch_with_what_is_stored_already_is_refused(sqlite: Database) -> None:
    authors = Repository[Author, int](sqlite, Author)
    stored = await authors.create({"name": "Ada"})

    with pytest.raises(AlreadyExistsError):
        await authors.create_many([Author(name="Bob"), stored], returning=True)

    assert await authors.count() == 1
