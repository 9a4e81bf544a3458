"""What a type checker sees of everyday code; mypy strict and pyright read this file.

What must be refused carries a ``type: ignore`` that would be reported if it were not.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, assert_type

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

from layerkit import (
    ALL,
    BaseRepository,
    BaseService,
    Event,
    InMemoryEventBus,
    InMemoryRepository,
    MemoryDatabase,
    Page,
    Payload,
    Repository,
    ResponseSchema,
    ServiceFactory,
    UsageError,
)
from layerkit import field as by
from layerkit.fastapi import Inject
from layerkit.repository import Total
from layerkit.sql import SQLRepository

E = TypeVar("E")


@dataclass
class Book:
    title: str
    id: int | None = None


@dataclass
class Shelf:
    name: str
    id: int = field(init=False)


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "typed_authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class BookRepository(Repository[Book, int]):
    async def titled(self, title: str) -> Book | None:
        return await self.find_one(by("title") == title)


class ShelfRepository(Repository[Shelf, int]):
    pass


class AuthorRepository(SQLRepository[Author, int]):
    async def named(self, name: str) -> list[Author]:
        return await self.all(self.select().where(Author.name == name))


class BookService(BaseService[Book, int]):
    async def shout(self, book_id: int) -> str:
        return (await self.get_entity(book_id)).title.upper()


class BookSold(Payload, event_type="book.sold"):
    book_id: int


class BookOut(ResponseSchema[int]):
    title: str


class Port(Protocol):
    async def titled(self, title: str) -> Book | None: ...


class Textbook(BaseRepository[Book, int]):
    """The six verbs as the textbook has them; each overrides ours without a cast."""

    @override
    async def create(self, entity: Book) -> Book:
        return entity

    @override
    async def get_by_id(self, entity_id: int) -> Book | None:
        return None

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[Book]:
        return []

    @override
    async def update(self, entity_id: int, update_data: dict[str, Any]) -> Book | None:
        return None

    @override
    async def delete(self, entity_id: int) -> bool:
        return False

    @override
    async def exists(self, entity_id: int) -> bool:
        return False


class Careful(Repository[Book, int]):
    """Overrides verbs that take an id, None included."""

    @override
    async def exists(self, entity_id: int | None) -> bool:
        return await super().exists(entity_id)


@pytest.fixture
def books() -> BookRepository:
    return BookRepository(MemoryDatabase())


async def test_an_entity_is_asked_for_by_its_own_id(books: BookRepository) -> None:
    emma = await books.create({"title": "Emma"})

    assert_type(emma, Book)
    assert_type(emma.id, int | None)
    assert_type(await books.get_by_id(emma.id), Book | None)
    assert_type(await books.update(emma.id, {"title": "E."}), Book | None)
    assert_type(await books.get_many([emma.id]), list[Book])
    assert_type(await books.exists(emma.id), bool)
    assert_type(await books.delete(emma.id), bool)
    with pytest.raises(UsageError, match="deleted_at"):
        assert_type(await books.restore(emma.id), Book | None)
    assert_type(await Careful(MemoryDatabase()).exists(emma.id), bool)


async def test_an_id_of_another_type_is_refused(books: BookRepository) -> None:
    service = BookService(books)

    with pytest.raises(UsageError):
        await books.get_by_id("1")  # type: ignore[arg-type] # what is tested
    with pytest.raises(UsageError):
        await books.get_many(["1"])  # type: ignore[list-item] # what is tested
    with pytest.raises(UsageError):
        await service.get_entity("1")  # type: ignore[arg-type] # what is tested


async def test_a_key_that_the_home_fills_needs_no_none() -> None:
    shelves = ShelfRepository(MemoryDatabase())

    top = await shelves.create(Shelf("top"))

    assert_type(top.id, int)
    assert_type(await shelves.get_by_id(top.id), Shelf | None)
    assert top.id == 1


async def test_a_page_that_was_asked_for_a_total_has_one(books: BookRepository) -> None:
    chosen: Total = "none"
    base: BaseRepository[Book, int] = books

    assert_type(await books.paginate(total="exact"), Page[Book, int])
    assert_type((await books.paginate(total="exact")).total, int)
    assert_type((await books.paginate(total=100)).total, int)
    assert_type((await base.paginate(ALL, size=5, total="exact")).total, int)
    assert_type((await Textbook().paginate(total=5)).total, int)
    assert_type((await books.paginate()).total, int | None)
    assert_type((await books.paginate(total="none")).total, int | None)
    assert_type((await books.paginate(total=total_of(chosen))).total, int | None)
    assert_type((await books.paginate(total="exact")).items, list[Book])
    with pytest.raises(UsageError):
        await books.paginate(total="all")  # type: ignore[call-overload] # what is tested


def total_of(chosen: Total) -> Total:
    return chosen


async def test_a_page_with_a_total_is_a_page(books: BookRepository) -> None:
    page: Page[Book] = await books.paginate(total="exact")
    made: Page[int] = Page([1], total=1)

    def shown(page: Page[E]) -> list[E]:
        return page.items

    assert_type(shown(page), list[Book])
    assert_type(shown(await books.paginate(total=5)), list[Book])
    assert (page.total, made.total) == (0, 1)


async def test_verbs_of_many_are_typed(books: BookRepository) -> None:
    assert_type(await books.titled("Emma"), Book | None)
    assert_type(await books.get_all(), list[Book])
    assert_type(await books.find(ALL, by("title").asc()), list[Book])
    assert_type(await books.find_one(ALL), Book | None)
    assert_type(await books.count(), int)
    assert_type(await books.create_many([Book("Emma"), {"title": "Persuasion"}]), int)
    assert_type(await books.upsert(Book("Lady Susan", id=9), key="id"), Book)
    assert_type(await books.update_where(ALL, {"title": "x"}), int)
    assert_type(await books.delete_where(ALL), int)
    assert_type(books.scoped(by("title") == "Emma"), BookRepository)
    async for book in books.stream():
        assert_type(book, Book)
    async with books.unit_of_work(read_only=True):
        assert_type([b.title for b in await books.get_all()], list[str])


def test_repositories_keep_their_types(books: BookRepository) -> None:
    port: Port = books
    memory = InMemoryRepository[Book, int](model_class=Book)

    assert_type(books.model_class, type[Book])
    assert_type(memory.model_class, type[Book])
    assert port is books


async def authors_of(authors: AuthorRepository) -> list[Author]:
    ada = await authors.get_by_id(1)
    assert_type(ada, Author | None)
    assert_type(await authors.all(authors.select()), list[Author])
    return await authors.named("Ada")


async def test_a_service_is_typed_by_its_entity(books: BookRepository) -> None:
    service = BookService(books)

    emma = await service.create_entity(Book("Emma"))

    assert_type(emma, Book)
    assert_type(await service.get_entity(emma.id), Book)
    assert_type(await service.list_entities(limit=5), list[Book])
    assert_type(await service.update_entity(emma.id, {"title": "E."}), Book)
    assert_type(service.repository, BaseRepository[Book, int])
    async with service.unit_of_work(read_only=True):
        assert await service.shout(1) == "E."
    await service.delete_entity(emma.id)


async def test_a_scope_gives_what_it_is_asked_for(books: BookRepository) -> None:
    factory = ServiceFactory().value(books).value(books, key=Port).scoped(BookService)

    async with factory, factory.scope() as scope:
        assert_type(await scope.get(BookRepository), BookRepository)
        assert_type(await scope.get(Port), Port)
        assert_type(await factory.get(BookRepository), BookRepository)


async def test_a_handler_is_typed_by_its_function(books: BookRepository) -> None:
    async def count(event: Event[BookSold], service: BookService) -> int:
        return event.data.book_id + len(await service.list_entities())

    async def log(event: Event, service: BookService) -> None:
        service.logger.info(event.event_type)

    factory = ServiceFactory().value(BookService(books))
    bus = InMemoryEventBus()
    counting, logging = factory.handler(count), factory.handler(log)
    bus.subscribe("book.lost", logging)
    event = Event(event_type="book.sold", data=BookSold(book_id=1))

    async with factory:
        assert_type(await counting(event), int)
        await logging(Event(event_type="book.lost", data={}))


async def show(book_id: int, service: Inject[BookService]) -> BookOut:
    assert_type(service, BookService)
    return BookOut.model_validate(await service.get_entity(book_id))


async def test_what_is_injected_is_the_service_itself(books: BookRepository) -> None:
    await books.create({"title": "Emma"})

    shown = await show(1, BookService(books))

    assert_type(shown.id, int)
    assert shown.model_dump() == {"id": 1, "title": "Emma"}


async def test_handlers_get_events_of_their_payload() -> None:
    bus = InMemoryEventBus()
    sold: list[int] = []

    async def note(event: Event[BookSold]) -> None:
        assert_type(event.data, BookSold)
        sold.append(event.data.book_id)

    def log(event: Event) -> None:
        assert_type(event.data, dict[str, Any])

    bus.subscribe(BookSold, note)
    bus.subscribe("book.lost", log)
    await bus.publish(BookSold(book_id=1), Event(event_type="book.lost", data={}))

    assert sold == [1]
