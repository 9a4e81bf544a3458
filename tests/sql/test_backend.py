"""The verbs in SQL: how many statements, which path, what the mapping asks for."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import REAL, ForeignKey, delete, event, inspect, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    StaleDataError,
    UsageError,
    ValidationError,
)
from layerkit.repository import ALL, Inc, Repository, adapter_for, field
from layerkit.sql import Database, SQLRepository
from tests.support.databases import forget_tables, new_tables
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
)
from tests.support.statements import sent


class AuthorRepository(SQLRepository[Author, int]):
    load = (selectinload(Author.books),)


async def count_sent(
    database: Database, work: Callable[[], Awaitable[object]]
) -> list[str]:
    async with database.unit_of_work():
        with sent(database.engine) as statements:
            await work()
        return statements


# How many statements


@pytest.mark.defect("R31")
@pytest.mark.defect("R39")
@pytest.mark.defect("R41")
async def test_each_verb_has_its_number_of_statements(database: Database) -> None:
    seats = Repository[Seat, Any](database, Seat)
    updates = 1 if database.engine.dialect.update_returning else 2
    await seats.create({"row": "A", "number": 1})
    key = ("A", 1)
    verbs: dict[str, tuple[int, Callable[[], Awaitable[object]]]] = {
        "create": (1, lambda: seats.create({"row": "B", "number": 1})),
        "get_by_id": (1, lambda: seats.get_by_id(key)),
        "update": (updates, lambda: seats.update(key, {"guest": "Ada"})),
        "guarded": (
            updates,
            lambda: seats.update(key, {"guest": "Bob"}, when=field("guest") == "Ada"),
        ),
        "exists": (1, lambda: seats.exists(key)),
        "find": (1, lambda: seats.find(field("guest") == "Bob")),
        "find_one": (1, lambda: seats.find_one(field("guest") == "Bob")),
        "get_all": (1, seats.get_all),
        "count": (1, seats.count),
        "page": (1, lambda: seats.paginate(size=1)),
        "counted page": (2, lambda: seats.paginate(size=1, total="exact")),
        "delete": (1, lambda: seats.delete(key)),
    }

    for name, (budget, verb) in verbs.items():
        statements = await count_sent(database, verb)
        assert len(statements) == budget, (name, statements)


async def test_create_needs_one_statement_for_server_defaults_too(
    database: Database,
) -> None:
    stamped = Repository[Stamped, Any](database, Stamped)
    made: list[Stamped] = []

    async def create() -> None:
        made.append(await stamped.create({"name": "a"}))

    statements = await count_sent(database, create)

    assert len(statements) == 1
    assert made[0].created_at is not None


async def test_an_entity_that_is_loaded_is_got_without_a_statement(
    database: Database,
) -> None:
    authors = Repository[Author, int](database, Author)
    author = await authors.create({"name": "Ada"})

    async with database.unit_of_work():
        first = await authors.get_by_id(author.id)
        with sent(database.engine) as statements:
            second = await authors.get_by_id(author.id)

    assert first is second
    assert statements == []


@pytest.mark.defect("R32")
async def test_delete_does_not_load_what_has_no_relationships(sqlite: Database) -> None:
    seats = Repository[Seat, Any](sqlite, Seat)
    await seats.create({"row": "A", "number": 1})

    statements = await count_sent(sqlite, lambda: seats.delete(("A", 1)))

    assert [s.split()[0] for s in statements] == ["DELETE"]


# Create


async def test_an_entity_of_the_unit_is_not_created_twice(database: Database) -> None:
    authors = Repository[Author, int](database, Author)

    with pytest.raises(AlreadyExistsError) as refused:
        async with database.unit_of_work():
            author = await authors.create({"name": "Ada"})
            await authors.create(author)

    assert refused.value.fields == ("id",)


@pytest.mark.parametrize("verb", ["create", "create_many"])
async def test_an_entity_that_is_flushed_is_not_created_twice(
    database: Database, verb: str
) -> None:
    managers = Repository[Manager, int](database, Manager)

    with pytest.raises(AlreadyExistsError) as refused:
        async with database.unit_of_work():
            manager = await managers.create({"name": "Ada", "budget": 5})
            items: Any = manager if verb == "create" else [manager]
            await getattr(managers, verb)(items)

    assert refused.value.fields == ("id",)


async def test_the_key_of_a_held_entity_is_refused_and_nothing_warned_of(
    database: Database,
) -> None:
    seats = Repository[Seat, Any](database, Seat)
    await seats.create({"row": "A", "number": 1})

    with pytest.raises(AlreadyExistsError) as refused:
        async with database.unit_of_work():
            await seats.get_by_id(("A", 1))
            await seats.create({"row": "A", "number": 1})

    assert refused.value.fields == ("row", "number")


async def test_a_held_entity_that_others_have_deleted_can_be_created_again(
    database: Database,
) -> None:
    seats = Repository[Seat, Any](database, Seat)
    await seats.create({"row": "A", "number": 1, "guest": "Ada"})

    async with database.unit_of_work():
        held = await seats.get_by_id(("A", 1))
        removing = delete(Seat).execution_options(synchronize_session=False)
        await database.session().execute(removing)
        again = await seats.create({"row": "A", "number": 1, "guest": "Bob"})

        assert again is held
        assert again.guest == "Bob"


async def test_an_entity_that_is_stored_already_is_not_created_again(
    database: Database,
) -> None:
    authors = Repository[Author, int](database, Author)
    author = await authors.create({"name": "Ada"})

    with pytest.raises(AlreadyExistsError):
        await authors.create(author)

    assert await authors.count() == 1


async def test_an_entity_brings_what_it_refers_to(database: Database) -> None:
    authors = AuthorRepository(database)

    await authors.create(Author(name="Ada", books=[Book(title="b1"), Book(title="b2")]))

    found = await authors.get_by_id(1)
    assert found is not None
    assert [book.title for book in found.books] == ["b1", "b2"]


async def test_defaults_of_the_mapping_are_filled_in(database: Database) -> None:
    stamped = Repository[Stamped, Any](database, Stamped)

    created = await stamped.create({})
    found = await stamped.get_by_id(created.id)

    assert found is not None
    assert (found.name, found.level, found.touched) == ("unnamed", 3, 0)
    assert found.created_at is not None
    assert created.updated_at is None


# Update


@pytest.mark.defect("R27")
async def test_update_returns_what_the_mapping_and_the_server_made(
    database: Database,
) -> None:
    stamped = Repository[Stamped, Any](database, Stamped)
    created = await stamped.create({"name": "a"})

    updated = await stamped.update(created.id, {"name": "b"})

    assert updated is not None
    assert (updated.name, updated.touched, updated.level) == ("b", 9, 3)
    assert updated.updated_at is not None
    assert updated.created_at == created.created_at


async def test_update_by_flush_gives_the_same(sqlite: Database) -> None:
    sqlite.engine.sync_engine.dialect.update_returning = False
    stamped = Repository[Stamped, Any](sqlite, Stamped)
    created = await stamped.create({"name": "a"})

    async with sqlite.unit_of_work():
        held = await stamped.get_by_id(created.id)
        with sent(sqlite.engine) as statements:
            updated = await stamped.update(
                created.id, {"name": "b", "level": Inc(2)}, when=field("level") == 3
            )
        assert updated is held
    assert updated is not None
    assert (updated.name, updated.level, updated.touched) == ("b", 5, 9)
    assert updated.updated_at is not None
    assert [s.split()[0] for s in statements] == ["SELECT", "UPDATE"]
    with pytest.raises(ConflictError):
        await stamped.update(created.id, {"name": "c"}, when=field("level") == 3)
    assert await stamped.update(created.id, {}) is not None


async def test_create_without_returning_leaves_nothing_unread(sqlite: Database) -> None:
    dialect = sqlite.engine.sync_engine.dialect
    dialect.insert_returning = dialect.insert_executemany_returning = False
    stamped = Repository[Stamped, Any](sqlite, Stamped)

    async with sqlite.unit_of_work():
        created = await stamped.create({"name": "a"})
        assert created.created_at is not None


@pytest.mark.defect("R9")
@pytest.mark.defect("R26")
async def test_update_keeps_a_column_that_was_not_loaded(database: Database) -> None:
    books = Repository[Book, int](database, Book)
    book = await books.create({"title": "a", "text": "long"})

    await books.update(book.id, {"title": "b"})
    async with database.unit_of_work():
        loaded = await books.get_by_id(book.id)
        assert loaded is not None
        assert "text" in inspect(loaded).unloaded
        loaded.title = "c"

    stored = await books.find_one((field("text") == "long") & (field("title") == "c"))
    assert stored is not None


async def test_a_column_that_was_not_loaded_raises_with_its_name(
    database: Database,
) -> None:
    books = Repository[Book, int](database, Book)
    book = await books.create({"title": "a", "text": "long"})

    outside = await books.get_by_id(book.id)
    assert outside is not None
    with pytest.raises(UsageError, match=r"Book\.text was not loaded.*`load`"):
        _ = outside.text
    async with database.unit_of_work():
        inside = await books.get_by_id(book.id)
        assert inside is not None
        with pytest.raises(UsageError, match=r"Book\.text was not loaded.*refresh"):
            _ = inside.text
        database.session().expire(inside)
        with pytest.raises(UsageError, match="expired"):
            _ = inside.title


async def test_update_stores_an_attribute_that_was_changed_before_it(
    database: Database,
) -> None:
    authors = Repository[Author, int](database, Author)
    created = await authors.create({"name": "Ada", "rank": 1})

    async with database.unit_of_work():
        author = await authors.get_by_id(created.id)
        assert author is not None
        author.rank = 5
        updated = await authors.update(created.id, {"rank": Inc(1), "name": "Bob"})
        assert updated is author

    found = await authors.get_by_id(created.id)
    assert found is not None
    assert (found.name, found.rank) == ("Bob", 6)


async def test_columns_of_other_names_are_used_by_their_attributes(
    database: Database,
) -> None:
    seats = Repository[Seat, Any](database, Seat)
    await seats.create({"row": "A", "number": 1, "guest": "Ada", "night": 1})

    updated = await seats.update(("A", 1), {"guest": "Bob", "night": Inc(1)})
    found = await seats.find(
        (field("guest") == "Bob") & (field("row") == "A"), field("night").desc()
    )

    assert updated is not None
    assert (updated.guest, updated.night) == ("Bob", 2)
    assert [seats.id_of(seat) for seat in found] == [("A", 1)]


async def test_an_imperative_mapping_is_stored_changed_and_removed(
    database: Database,
) -> None:
    tickets = Repository[Ticket, str](database, Ticket)

    await tickets.create({"code": "x", "price": 2})
    await tickets.create(Ticket("y"))
    updated = await tickets.update("x", {"price": 3})

    assert updated is not None
    assert updated.price == 3
    assert [ticket.code for ticket in await tickets.get_all()] == ["x", "y"]
    assert await tickets.delete("x") is True


# The flush path


@pytest.mark.defect("R10")
async def test_a_version_of_the_mapping_moves_with_each_update(
    database: Database,
) -> None:
    things = Repository[Versioned, int](database, Versioned)
    created = await things.create({"name": "a"})

    updated = await things.update(created.id, {"name": "b", "hits": Inc(2)})

    assert updated is not None
    assert (updated.name, updated.hits, updated.version) == ("b", 2, 2)


@pytest.mark.defect("R10")
async def test_a_stale_version_is_refused_by_the_commit(database: Database) -> None:
    things = Repository[Versioned, int](database, Versioned)
    created = await things.create({"name": "a"})

    with pytest.raises(StaleDataError) as stale:
        async with database.unit_of_work() as unit:
            mine = await things.get_by_id(created.id)
            assert mine is not None
            # As another would have between the reading and the commit.
            await database.session().execute(
                Versioned.__table__.update().values(version=7)  # type: ignore[attr-defined] # a Table
            )
            mine.name = "mine"
            assert unit is not None

    found = await things.get_by_id(created.id)
    assert found is not None
    assert (found.name, found.version) == ("a", 1)
    assert stale.value.retryable


async def test_validators_see_what_update_writes(database: Database) -> None:
    things = Repository[Checked, int](database, Checked)
    created = await things.create({"name": " a "})

    updated = await things.update(created.id, {"name": "  b  "})

    assert created.name == "a"
    assert updated is not None
    assert updated.name == "b"


async def test_events_of_the_mapping_run_on_update(database: Database) -> None:
    seen: list[str] = []

    def before(_mapper: Any, _connection: Any, target: Any) -> None:
        seen.append(target.code)

    event.listen(Ticket, "before_update", before)
    try:
        tickets = Repository[Ticket, str](database, Ticket)
        await tickets.create(Ticket("x"))
        await tickets.update("x", {"price": 5})
    finally:
        event.remove(Ticket, "before_update", before)

    assert seen == ["x"]


async def test_joined_inheritance_is_written_to_both_tables(database: Database) -> None:
    managers = Repository[Manager, int](database, Manager)
    employees = Repository[Employee, int](database, Employee)
    created = await managers.create({"name": "Ada", "budget": 5})
    await employees.create({"name": "Bob"})

    updated = await managers.update(created.id, {"name": "Eve", "budget": Inc(1)})

    assert updated is not None
    assert (updated.name, updated.budget, updated.kind) == ("Eve", 6, "manager")
    assert [m.name for m in await managers.find(field("budget") == 6)] == ["Eve"]
    everyone = await employees.get_all()
    assert [(type(e).__name__, e.name) for e in everyone] == [
        ("Manager", "Eve"),
        ("Employee", "Bob"),
    ]
    assert await managers.delete(created.id) is True
    assert await employees.count() == 1


# Relationships


async def test_a_relationship_that_was_not_loaded_raises_with_its_name(
    database: Database,
) -> None:
    authors = Repository[Author, int](database, Author)
    books = Repository[Book, int](database, Book)
    ada = await authors.create({"name": "Ada"})
    book = await books.create({"title": "b", "author_id": ada.id})

    async with database.unit_of_work():
        author = await authors.get_by_id(ada.id)
        found = (await books.find(ALL))[0]
        assert author is not None
        with pytest.raises(UsageError, match=r"Author\.books was not.*`load`.*refresh"):
            _ = author.books
        assert found.author is author  # the identity map has it
    outside = await books.get_by_id(book.id)
    assert outside is not None
    with pytest.raises(UsageError, match=r"Book\.author was not loaded.*`load`"):
        _ = outside.author


@pytest.mark.parametrize("verb", ["create", "update"])
async def test_a_relationship_of_what_was_written_raises_with_its_name_or_is_there(
    database: Database, verb: str
) -> None:
    authors = Repository[Author, int](database, Author)
    books = Repository[Book, int](database, Book)
    ada = await authors.create({"name": "Ada"})
    book = await books.create({"title": "b", "author_id": ada.id})

    async with database.unit_of_work():
        written = (
            await books.create({"title": "c", "author_id": ada.id})
            if verb == "create"
            else await books.update(book.id, {"title": "c"})
        )
        assert written is not None
        with pytest.raises(UsageError, match=r"Book\.author"):
            _ = written.author


async def test_load_names_what_every_read_brings(database: Database) -> None:
    authors = AuthorRepository(database)
    for name in ("Ada", "Bob"):
        await authors.create(Author(name=name, books=[Book(title=f"by {name}")]))

    got = await authors.get_by_id(1)
    found = await authors.find(field("name") == "Bob")
    everyone = await authors.get_all()
    page = await authors.paginate(size=1, offset=1)

    assert got is not None
    assert [book.title for book in got.books] == ["by Ada"]
    assert found[0].books[0].title == "by Bob"
    assert [len(author.books) for author in everyone] == [1, 1]
    assert page.items[0].books[0].title == "by Bob"


async def test_what_is_changed_or_upserted_brings_what_load_names(
    database: Database,
) -> None:
    authors = AuthorRepository(database)
    await authors.create(Author(name="Ada", books=[Book(title="a"), Book(title="b")]))

    updated = await authors.update(1, {"rank": 1})
    known = await authors.upsert({"name": "Ada", "rank": 2}, key="name")
    new = await authors.upsert({"name": "Bob"}, key="name")

    assert updated is not None
    assert [len(author.books) for author in (updated, known, new)] == [2, 2, 0]


async def test_an_update_leaves_loaded_relationships_as_they_are(
    database: Database,
) -> None:
    authors = Repository[Author, int](database, Author)
    await authors.create(Author(name="Ada", books=[Book(title="a")]))

    async with database.unit_of_work():
        ada = (await AuthorRepository(database).find(ALL))[0]
        kept = ada.books[0]
        assert await authors.update(ada.id, {"rank": 1}) is ada
        assert ada.books == [kept]

    assert ada.rank == 1


async def test_an_update_drops_the_relationship_that_it_leads_elsewhere(
    database: Database,
) -> None:
    class Books(SQLRepository[Book, int]):
        load = (joinedload(Book.author),)

    plain, books = Repository[Book, int](database, Book), Books(database)
    for name in ("Ada", "Bob"):
        await Repository(database, Author).create({"name": name})
    await books.create({"title": "a", "author_id": 1})

    async with database.unit_of_work():
        book = await books.get_by_id(1)
        assert book is not None
        assert book.author is not None
        await plain.update(1, {"author_id": 2})
        with pytest.raises(UsageError, match=r"Book\.author"):
            _ = book.author
        await books.update(1, {"author_id": 2})
        moved = book.author
        await books.update(1, {"author_id": 1})

    assert moved is not None
    assert (moved.name, book.author.name) == ("Bob", "Ada")


async def test_an_option_of_ones_own_goes_before_the_mapping(sqlite: Database) -> None:
    class Own(DeclarativeBase):
        pass

    class Hull(Own):
        __tablename__ = "hulls"
        id: Mapped[int] = mapped_column(primary_key=True)
        sails: Mapped[list["Sail"]] = relationship(lazy="selectin")

    class Sail(Own):
        __tablename__ = "sails"
        id: Mapped[int] = mapped_column(primary_key=True)
        hull_id: Mapped[int] = mapped_column(ForeignKey("hulls.id"))

    class Hulls(SQLRepository[Hull, int]):
        load = (joinedload(Hull.sails),)

    await sqlite.create_all(Own.metadata)
    hulls = Hulls(sqlite)
    await hulls.create(Hull(sails=[Sail(), Sail()]))

    with sent(sqlite.engine) as statements:
        found = await hulls.find(ALL)

    assert len(found[0].sails) == 2
    assert len(statements) == 1


@pytest.mark.defect("R34")
async def test_a_joined_load_changes_neither_count_nor_limit(
    database: Database,
) -> None:
    class Joined(SQLRepository[Author, int]):
        load = (joinedload(Author.books),)

    authors = Joined(database)
    for name in ("Ada", "Bob", "Eve"):
        books = [Book(title=f"{n}") for n in range(3)]
        await authors.create(Author(name=name, books=books))

    page = await authors.paginate(size=2, total="exact")

    assert [(a.name, len(a.books)) for a in page.items] == [("Ada", 3), ("Bob", 3)]
    assert (page.total, page.has_next, await authors.count()) == (3, True, 3)


async def test_what_the_mapping_loads_eagerly_is_there(sqlite: Database) -> None:
    class Eager(DeclarativeBase):
        pass

    class Wheel(Eager):
        __tablename__ = "wheels"
        id: Mapped[int] = mapped_column(primary_key=True)
        car_id: Mapped[int] = mapped_column(ForeignKey("cars.id"))
        car: Mapped["Car"] = relationship(back_populates="wheels", lazy="joined")

    class Car(Eager):
        __tablename__ = "cars"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        wheels: Mapped[list[Wheel]] = relationship(
            back_populates="car", lazy="selectin"
        )
        doors: Mapped[list["Door"]] = relationship()

    class Door(Eager):
        __tablename__ = "doors"
        id: Mapped[int] = mapped_column(primary_key=True)
        car_id: Mapped[int] = mapped_column(ForeignKey("cars.id"))

    await sqlite.create_all(Eager.metadata)
    cars, wheels = Repository(sqlite, Car), Repository(sqlite, Wheel)
    await cars.create(Car(wheels=[Wheel(), Wheel()]))

    async with sqlite.unit_of_work():
        car = await cars.get_by_id(1)
        assert car is not None
        assert len(car.wheels) == 2
        with pytest.raises(UsageError, match=r"Car\.doors"):
            _ = car.doors
    wheel = await wheels.get_by_id(1)
    updated = await cars.update(1, {"name": "a"})

    assert wheel is not None
    assert wheel.car.id == 1
    assert updated is not None
    assert (updated.name, len(updated.wheels)) == ("a", 2)


async def test_cascades_of_the_mapping_run_on_delete(database: Database) -> None:
    authors = Repository[Author, int](database, Author)
    books = Repository[Book, int](database, Book)
    ada = await authors.create(
        Author(name="Ada", books=[Book(title="1"), Book(title="2")])
    )

    assert await authors.delete(ada.id) is True
    assert await authors.delete(ada.id) is False
    assert await books.count() == 0


async def test_a_deleted_entity_is_gone_for_the_rest_of_its_unit(
    database: Database,
) -> None:
    loans = Repository[Seat, Any](database, Seat)
    await loans.create({"row": "A", "number": 1})

    async with database.unit_of_work():
        seat = await loans.get_by_id(("A", 1))
        assert seat is not None
        seat.guest = "lost"
        assert await loans.delete(("A", 1)) is True
        assert await loans.get_by_id(("A", 1)) is None

    assert await loans.count() == 0


# SQL of one's own


async def test_select_and_all_run_a_statement_of_ones_own(database: Database) -> None:
    class Authors(AuthorRepository):
        async def with_books(self) -> list[Author]:
            return await self.all(
                self.select().join(Author.books).order_by(Author.name.desc())
            )

    authors = Authors(database)
    for name in ("Ada", "Bob"):
        await authors.create(
            Author(name=name, books=[Book(title="1"), Book(title="2")])
        )
    await authors.create({"name": "Eve"})

    found = await authors.with_books()

    assert [(author.name, len(author.books)) for author in found] == [
        ("Bob", 2),
        ("Ada", 2),
    ]


async def test_a_statement_that_the_database_refuses_is_a_usage_error(
    database: Database,
) -> None:
    authors = AuthorRepository(database)
    nowhere = select(Author).where(Author.__table__.c.name.op("@@@@")("x"))

    with pytest.raises(UsageError, match="refused a statement"):
        await authors.all(nowhere)


# What drivers refuse


@pytest.mark.defect("R33")
async def test_a_missing_reference_is_distinguished_from_a_duplicate(
    database: Database,
) -> None:
    loans = Repository[Loan, int](database, Loan)

    with pytest.raises(ConflictError) as refused:
        await loans.create({"book_id": 99})

    assert refused.value.kind == "foreign_key"
    if database.engine.dialect.name != "sqlite":  # SQLite does not say which
        assert refused.value.constraint == "loan_of_book"
        assert refused.value.fields == ("book_id",)


async def test_what_is_still_referred_to_is_not_deleted(database: Database) -> None:
    books = Repository[Book, int](database, Book)
    loans = Repository[Loan, int](database, Loan)
    book = await books.create({"title": "a"})
    await loans.create({"book_id": book.id})

    with pytest.raises(ConflictError) as refused:
        await books.delete(book.id)

    assert refused.value.kind == "foreign_key"
    assert await books.count() == 1


async def test_an_unnamed_reference_names_its_field(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite does not say which reference is missing")
    books = Repository[Book, int](database, Book)

    with pytest.raises(ConflictError) as refused:
        await books.create({"title": "a", "author_id": 99})

    assert (refused.value.kind, refused.value.fields) == ("foreign_key", ("author_id",))


@pytest.mark.defect("R8")
async def test_a_broken_check_names_its_rule(database: Database) -> None:
    books = Repository[Book, int](database, Book)
    loans = Repository[Loan, int](database, Loan)
    book = await books.create({"title": "a"})

    with pytest.raises(ValidationError, match="copies_positive"):
        await loans.create({"book_id": book.id, "copies": 0})


@pytest.mark.defect("R8")
async def test_a_null_past_the_checks_names_its_field(database: Database) -> None:
    loans = Repository[Loan, int](database, Loan)

    with pytest.raises(ValidationError) as refused:
        async with database.unit_of_work():
            database.session().add(Loan(book_id=None))
            await loans.count()

    assert refused.value.fields == ("book_id",)


async def test_a_composite_duplicate_names_its_fields(database: Database) -> None:
    seats = Repository[Seat, Any](database, Seat)
    await seats.create({"row": "A", "number": 1, "guest": "Ada", "night": 1})

    with pytest.raises(AlreadyExistsError) as by_rule:
        await seats.create({"row": "A", "number": 2, "guest": "Ada", "night": 1})
    with pytest.raises(AlreadyExistsError) as by_key:
        await seats.create({"row": "A", "number": 1})

    assert by_rule.value.constraint == "one_seat_a_night"
    assert by_rule.value.fields == ("guest", "night")
    assert by_key.value.fields == ("row", "number")


async def test_a_duplicate_key_of_a_parent_table_names_the_key(
    database: Database,
) -> None:
    managers = Repository[Manager, int](database, Manager)
    await managers.create({"id": 1, "name": "Ada"})

    with pytest.raises(AlreadyExistsError) as refused:
        await managers.create({"id": 1, "name": "Bob"})

    assert refused.value.fields == ("id",)


@pytest.mark.parametrize(
    "values",
    [{"note": "too long"}, {"copies": 2**40}, {"copies": 2**70}, {"note": "\ud800"}],
    ids=["long", "big", "huge", "surrogate"],
)
async def test_a_value_that_does_not_fit_is_bad_data_and_is_not_shown(
    database: Database, values: dict[str, Any]
) -> None:
    lenient = {("sqlite", "note", "too long"), ("sqlite", "copies", 2**40)}
    (name, value), dialect = *values.items(), database.engine.dialect.name
    if (dialect, name, value) in lenient:
        pytest.skip("SQLite takes it")
    books = Repository[Book, int](database, Book)
    loans = Repository[Loan, int](database, Loan)
    book = await books.create({"title": "a"})

    with pytest.raises(ValidationError) as refused:
        await loans.create({"book_id": book.id, **values})

    assert repr(value).strip("'") not in str(refused.value)
    assert await loans.count() == 0


async def test_a_missing_table_is_named_with_what_to_do(database: Database) -> None:
    forget_tables(database.engine)
    async with database.engine.begin() as connection:
        await connection.run_sync(Ticket.__table__.drop)  # type: ignore[attr-defined] # a Table
    tickets = Repository[Ticket, str](database, Ticket)

    with pytest.raises(UsageError, match=r"tickets.*create_all"):
        await tickets.count()


def test_what_repositories_need_is_made_once_a_home_and_class(sqlite: Database) -> None:
    class Loading(SQLRepository[Author, int]):
        load = (selectinload(Author.books),)

    first, second = (
        Repository[Author, int](sqlite, Author),
        SQLRepository(sqlite, Author),
    )
    loading, again = Loading(sqlite), Loading(sqlite)

    assert first._backend is second._backend
    assert loading._backend is again._backend
    assert loading._backend is not first._backend


async def test_who_listens_later_is_heard_by_repositories_made_then(
    sqlite: Database,
) -> None:
    await Repository[Author, int](sqlite, Author).create_many([{"name": "Ada"}])
    heard: list[str] = []

    def note(_: object, __: object, author: Author) -> None:
        heard.append(author.name)

    event.listen(Author, "before_insert", note)
    try:
        await Repository[Author, int](sqlite, Author).create_many([{"name": "Bob"}])
        await SQLRepository(sqlite, Author).create_many([{"name": "Eve"}])
    finally:
        event.remove(Author, "before_insert", note)

    assert heard == ["Bob", "Eve"]


class NarrowBase(DeclarativeBase):
    pass


class Narrow(NarrowBase):
    __tablename__ = "narrow"

    id: Mapped[int] = mapped_column(primary_key=True)
    rate: Mapped[float] = mapped_column(REAL)


async def test_only_a_sum_of_a_narrow_float_takes_more_than_one_statement() -> None:
    async with Database("sqlite://") as database:
        backend = database.backend(adapter_for(Narrow))

        assert backend.at_once("update", {"rate": 1.5})
        assert not backend.at_once("update", {"rate": Inc(1)})


async def test_a_sum_beyond_a_narrow_float_is_refused(database: Database) -> None:
    await new_tables(database.engine, NarrowBase.metadata)
    rows = Repository[Narrow, int](database, Narrow)
    row = await rows.create({"rate": 3e38})
    more = {"rate": Inc(3e38)}

    with pytest.raises(ValidationError, match="rate"):
        await rows.update(row.id, more)
    with pytest.raises(ValidationError, match="rate"):
        async with rows.unit_of_work():
            await rows.update(row.id, more)
    with pytest.raises(ValidationError, match="rate"):
        await rows.update_where(ALL, more)

    assert [found.rate for found in await rows.get_all()] == [row.rate]
