"""RedisDatabase: indexes and what they serve, races, keys, and what is refused."""

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from typing import Annotated, Any

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.crc import key_slot
from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotSupportedError,
    StaleDataError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.redis import RedisDatabase, RedisRepository
from layerkit.repository import (
    ALL,
    Inc,
    Indexed,
    Key,
    MemoryDatabase,
    Repository,
    Specification,
    Unique,
    adapter_for,
    field,
)
from tests.support.entities import MappedItem


@dataclass
class Book:
    title: str
    shelf: Annotated[str | None, Indexed()] = None
    copies: Annotated[int, Indexed()] = 1
    isbn: Annotated[str | None, Unique()] = None
    row: Annotated[int | None, Unique("place")] = None
    seat: Annotated[int | None, Unique("place")] = None
    id: int | None = None


@dataclass
class Account:
    name: str
    balance: int = 0
    version: int = 0
    id: int | None = None


@dataclass
class Note:
    tenant: Annotated[str, Key()]
    number: Annotated[int, Key()]
    text: str = ""


@dataclass
class Member:
    email: Annotated[str, Unique(live=True)]
    team: Annotated[str, Indexed()] = "a"
    deleted_at: datetime | None = None
    id: int | None = None


@pytest.fixture
def books(database: RedisDatabase) -> RedisRepository[Book, int]:
    return RedisRepository(database, Book)


@pytest.fixture
def accounts(database: RedisDatabase) -> RedisRepository[Account, int]:
    return RedisRepository(database, Account)


@pytest.fixture
def notes(database: RedisDatabase) -> RedisRepository[Note, Any]:
    return RedisRepository(database, Note)


async def fill(books: Repository[Book, int]) -> None:
    for place, title in enumerate("abcdef"):
        await books.create(
            Book(
                title,
                shelf="xyz"[place % 3] if place < 5 else None,
                copies=place,
                isbn=f"isbn-{title}",
                row=place,
                seat=1,
            )
        )


def titles(found: list[Book]) -> str:
    return "".join(book.title for book in found)


# What indexes serve


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (field("shelf") == "x", "ad"),
        (field("shelf").in_(["x", "y"]), "abde"),
        (field("shelf").in_([]), ""),
        (field("title").in_([]), ""),
        (field("shelf").is_null(), "f"),
        ((field("shelf") == "x") & (field("copies") == 3), "d"),
        ((field("shelf") == "x") & (field("title") == "a"), "a"),
        ((field("shelf") == "x") & (field("copies") > 1), "d"),
        (field("shelf").in_(["x", "y"]) & (field("title") > "a"), "bde"),
        ((field("shelf") == "x") | (field("isbn") == "isbn-b"), "abd"),
        (field("isbn") == "isbn-c", "c"),
        (field("isbn") == "nobody's", ""),
        (field("isbn").in_(["isbn-c", "isbn-a"]), "ac"),
        ((field("row") == 2) & (field("seat") == 1), "c"),
        ((field("row") == 2) & (field("seat") == 2), ""),
        (field("id") == 2, "b"),
        (field("id").in_([2, 3, 99]), "bc"),
        (field("id").is_null(), ""),
        (field("id") > 4, "ef"),
        (field("id") >= 4, "def"),
        (field("id") < 2, "a"),
        (field("id") <= 2, "ab"),
        (field("id").between(2, 3), "bc"),
        ((field("id") < 2) | (field("id") > 5), "af"),
        ((field("id") < 2) | ~(field("id") < 6), "af"),
        (~(field("id") == 2), "acdef"),
        ((field("id") > 2) & (field("shelf") == "x"), "d"),
        (ALL, "abcdef"),
    ],
    ids=str,
)
async def test_a_filter_on_keys_and_indexes_needs_no_scan(
    books: RedisRepository[Book, int], where: Specification, expected: str
) -> None:
    await fill(books)

    assert titles(await books.find(where)) == expected
    assert await books.count(where) == len(expected)
    assert titles(await books.find(where, limit=1)) == expected[:1]
    backward = await books.find(where, order_by=field("id").desc(), skip=1, limit=2)
    assert titles(backward) == expected[::-1][1:3]


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        (field("title") == "a", "filter by title"),
        (field("title").startswith("a"), "filter by title"),
        (~(field("shelf") == "x"), "filter by shelf"),
        ((field("title") == "a") | (field("shelf") == "x"), "filter by shelf, title"),
        (field("copies") > 1, "filter by copies"),
        ((field("id") > 1) & (field("title") == "a"), "filter by title"),
        ((field("row") == 1) & (field("title") == "a"), "filter by row, title"),
    ],
    ids=str,
)
async def test_a_filter_without_an_index_is_refused_with_the_remedies(
    books: RedisRepository[Book, int], where: Specification, fields: str
) -> None:
    with pytest.raises(NotSupportedError, match=f"{fields} of Book") as refused:
        await books.find(where)

    assert "Indexed()" in str(refused.value)
    assert "allow_scan=True" in str(refused.value)


async def test_an_aggregate_reads_what_an_index_serves_or_all_of_a_class(
    books: RedisRepository[Book, int],
) -> None:
    await fill(books)

    some = await books.aggregate(field("shelf") == "x", sum="copies")
    every = await books.aggregate(by="shelf")

    found = await books.find(field("shelf") == "x")
    assert [row.sum["copies"] for row in some] == [sum(book.copies for book in found)]
    assert sum(row.count or 0 for row in every) == await books.count()
    with pytest.raises(NotSupportedError, match="filter by title of Book"):
        await books.aggregate(field("title") == "a")


async def test_an_order_without_an_index_needs_a_filter_with_one(
    books: RedisRepository[Book, int],
) -> None:
    await fill(books)

    found = await books.find(field("shelf") == "x", order_by=field("title").desc())

    assert titles(found) == "da"
    with pytest.raises(NotSupportedError, match="order by title of Book"):
        await books.find(ALL, order_by=field("title").desc())


async def test_a_scan_that_is_permitted_reads_everything(
    client: Redis, redis_prefix: str
) -> None:
    database = RedisDatabase(client, prefix=redis_prefix, allow_scan=True)
    books = RedisRepository[Book, int](database, Book)
    await fill(books)

    assert titles(await books.find(field("title") > "d")) == "ef"
    assert titles(await books.find(ALL, order_by=field("title").desc())) == "fedcba"


class Counting(Redis):
    """Count the documents that are asked for."""

    documents = 0

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        asked = [arg for arg in args if isinstance(arg, bytes) and b":doc:" in arg]
        if args[0] in {"GET", "MGET"}:
            self.documents += len(asked)
        result: Any = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py's
        return result


async def test_a_page_reads_its_own_documents_only(
    redis_url: str, redis_prefix: str
) -> None:
    async with Counting.from_url(redis_url) as client:
        assert isinstance(client, Counting)
        books = RedisRepository[Book, int](
            RedisDatabase(client, prefix=redis_prefix), Book
        )
        await books.create_many([Book(str(n), shelf="x") for n in range(1200)])

        client.documents = 0
        first = await books.paginate(size=10)
        second = await books.paginate(size=10, cursor=first.next_cursor)
        on_shelf = await books.find(field("shelf") == "x", limit=10)

        assert [book.id for book in second.items] == list(range(11, 21))
        assert [book.id for book in on_shelf] == list(range(1, 11))
        assert client.documents == 11 + 11 + 10
        assert await books.count() == 1200
        assert client.documents == 11 + 11 + 10
        assert len([book async for book in books.stream()]) == 1200
        backward = await books.find(ALL, order_by=field("id").desc(), limit=700)
        assert [book.id for book in backward] == list(range(1200, 500, -1))
        assert await books.count(field("id") > 100, cap=1000) == 1000


async def test_a_unit_finds_what_it_has_written_among_what_is_stored(
    books: RedisRepository[Book, int],
) -> None:
    await fill(books)

    async with books.unit_of_work():
        await books.delete(1)
        await books.update(2, {"shelf": "x"})
        await books.create(Book("g", shelf="x"))
        await books.update(4, {"shelf": None})

        assert titles(await books.find(field("shelf") == "x")) == "bg"
        assert titles(await books.find(ALL, limit=2)) == "bc"
        assert await books.count() == 6
        assert await books.count(cap=4) == 4

    assert titles(await books.find(field("shelf") == "x")) == "bg"
    assert await books.count(cap=4) == 4


# Composite keys, generated keys


async def test_composite_keys_are_sorted_and_looked_up_part_by_part(
    notes: RedisRepository[Note, Any],
) -> None:
    keys = [("a", 2), ("a", 10), ("a\1", 1), ("ab", 1), ("b", -5), ("b", 3)]
    for tenant, number in reversed(keys):
        await notes.create(Note(tenant, number))

    async def found(where: Specification, **options: Any) -> list[tuple[str, int]]:
        return [(n.tenant, n.number) for n in await notes.find(where, **options)]

    assert await found(ALL) == keys
    assert await found(field("tenant") == "a") == keys[:2]
    assert await found(field("tenant") > "a") == keys[2:]
    assert await found(field("tenant") <= "a") == keys[:2]
    assert await found(field("tenant").in_(["a", "a\1"])) == keys[:3]
    assert await found(field("number") == 1) == [("a\1", 1), ("ab", 1)]
    assert await found((field("tenant") == "b") & (field("number") == 3)) == keys[5:]
    down = field("tenant").desc(), field("number").desc()
    assert await found(ALL, order_by=down, limit=2) == keys[:3:-1]
    assert [await notes.exists(key) for key in (("a", 10), ("a", 1))] == [True, False]
    found_many = await notes.get_many([("b", 3), ("a", 2)])
    assert [(n.tenant, n.number) for n in found_many] == [("b", 3), ("a", 2)]
    with pytest.raises(NotSupportedError, match="order by number, tenant of Note"):
        await notes.find(ALL, order_by=field("number").asc())
    with pytest.raises(NotSupportedError, match="order by number, tenant of Note"):
        await notes.find(ALL, order_by=(field("tenant").asc(), field("number").desc()))


async def test_generated_keys_go_on_from_a_given_one(
    books: RedisRepository[Book, int],
) -> None:
    await books.create(Book("a", id=2**60))
    await books.create(Book("b", id=7))
    await books.create(Book("c", id=-3))
    with pytest.raises(ValidationError, match="id must be from"):
        await books.create(Book("d", id=2**63))

    created = await books.create(Book("e"))

    assert created.id == 2**60 + 1
    assert titles(await books.get_all()) == "cbae"


async def test_a_generated_key_that_is_taken_is_refused_by_the_commit(
    client: Redis, redis_prefix: str, books: RedisRepository[Book, int]
) -> None:
    await fill(books)
    await client.delete(f"{{{redis_prefix}}}:Book:last")

    with pytest.raises(AlreadyExistsError) as refused:
        await books.create(Book("z"))

    assert refused.value.fields == ("id",)
    assert titles(await books.get_all()) == "abcdef"


async def test_a_key_that_has_no_place_is_refused(
    notes: RedisRepository[Note, Any],
) -> None:
    with pytest.raises(
        ValidationError, match="number of a Note can't be stored"
    ) as refused:
        await notes.create(Note("a", 10**5_000))

    assert refused.value.fields == ("number",)


# Unique values


async def test_unique_values_move_between_entities_in_one_unit(
    books: RedisRepository[Book, int],
) -> None:
    await fill(books)

    async with books.unit_of_work():
        await books.update(1, {"isbn": "free"})
        await books.update(2, {"isbn": "isbn-a"})
        await books.update(1, {"isbn": "isbn-b"})
        await books.delete(3)
        await books.create(Book("g", isbn="isbn-c"))

    for isbn, title in {"isbn-a": "b", "isbn-b": "a", "isbn-c": "g"}.items():
        assert titles(await books.find(field("isbn") == isbn)) == title
    with pytest.raises(AlreadyExistsError):
        await books.create(Book("h", isbn="isbn-a"))
    await books.create(Book("i", isbn="free"))


async def test_a_soft_deleted_entity_gives_its_live_value_free(
    database: RedisDatabase,
) -> None:
    members = RedisRepository[Member, int](database, Member)
    first = await members.create(Member("a@b"))
    assert first.id is not None
    await members.delete(first.id)

    second = await members.create(Member("a@b", team="b"))

    assert [m.id for m in await members.get_all()] == [second.id]
    assert await members.count() == 1
    assert [m.id for m in await members.find(field("email") == "a@b")] == [second.id]
    assert [m.id for m in await members.find(field("team") == "a")] == []
    everyone = members.with_deleted()
    assert await everyone.count() == 2
    with pytest.raises(NotSupportedError, match="filter by email"):
        await everyone.find(field("email") == "a@b")
    with pytest.raises(AlreadyExistsError):
        await members.restore(first.id)


# Two units at once


async def test_the_second_of_two_units_on_one_document_loses(
    books: RedisRepository[Book, int],
) -> None:
    await fill(books)

    with pytest.raises(ConflictError, match="same Book meanwhile") as lost:
        async with books.unit_of_work():
            await books.update(1, {"copies": Inc(1)})
            await books.create(Book("lost", isbn="lost"))
            await elsewhere(lambda: books.update(1, {"title": "z"}))

    assert lost.value.kind == "serialization"
    assert lost.value.retryable
    found = await books.get_by_id(1)
    assert found is not None
    assert (found.title, found.copies) == ("z", 0)
    assert await books.count(field("isbn") == "lost") == 0
    assert await books.count() == 6


async def elsewhere(verb: Callable[[], Any]) -> None:
    """Run *verb* as another task would, outside of the open unit."""

    async def run() -> None:
        await verb()

    await asyncio.create_task(run(), context=contextvars.Context())


async def test_a_version_that_moved_before_the_commit_is_stale(
    accounts: RedisRepository[Account, int],
) -> None:
    await accounts.create(Account("a"))

    with pytest.raises(StaleDataError):
        async with accounts.unit_of_work():
            await accounts.update(1, {"balance": 1})
            await elsewhere(lambda: accounts.update(1, {"balance": 5}))
    with pytest.raises(StaleDataError):
        async with accounts.unit_of_work():
            account = await accounts.get_by_id(1)
            assert account is not None
            account.balance = 2
            await elsewhere(lambda: accounts.update(1, {"balance": 6}))
    with pytest.raises(StaleDataError):
        async with accounts.unit_of_work():
            await accounts.update(1, {"balance": 1})
            await elsewhere(lambda: accounts.delete(1))

    assert await accounts.count() == 0


@pytest.mark.defect("R10")
async def test_what_was_computed_from_an_older_reading_is_a_lost_race(
    books: RedisRepository[Book, int],
) -> None:
    async def by_attribute(book: Book) -> None:
        book.copies += 1

    async def by_update(book: Book) -> None:
        await books.update(1, {"copies": book.copies + 1})

    async def by_deletion(_: Book) -> None:
        await books.delete(1)

    await fill(books)

    for write in (by_attribute, by_update, by_deletion):
        with pytest.raises(ConflictError, match="same Book meanwhile") as lost:
            async with books.unit_of_work():
                [book] = await books.find(field("id") == 1)
                await elsewhere(lambda: books.update(1, {"copies": Inc(10)}))
                await write(book)
        assert lost.value.retryable

    found = await books.get_by_id(1)
    assert found is not None
    assert found.copies == 30


async def test_what_came_after_it_was_missed_is_a_lost_race(
    books: RedisRepository[Book, int],
) -> None:
    with pytest.raises(ConflictError, match="same Book meanwhile"):
        async with books.unit_of_work():
            assert await books.get_by_id(1) is None
            await elsewhere(lambda: books.create(Book("a", id=1)))
            await books.update(1, {"title": "b"})

    assert titles(await books.get_all()) == "a"


class Overtaken(Redis):
    """Let a rival in, once, where a unique value was found to be free."""

    rival: Callable[[], Any] | None = None

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        result: Any = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py's
        if result is None and b":unique:" in args[1] and self.rival is not None:
            rival, self.rival = self.rival, None
            await elsewhere(rival)
        return result


@pytest.mark.defect("R30")
async def test_an_upsert_that_is_overtaken_changes_what_came_meanwhile(
    redis_url: str, redis_prefix: str, books: RedisRepository[Book, int]
) -> None:
    async with Overtaken.from_url(redis_url) as client:
        assert isinstance(client, Overtaken)
        home = RedisDatabase(client, prefix=redis_prefix)
        client.rival = lambda: books.create(Book("first", isbn="1", copies=3))

        changed = await RedisRepository[Book, int](home, Book).upsert(
            {"title": "second", "isbn": "1"}, key="isbn"
        )

    assert client.rival is None
    assert await books.get_all() == [changed]
    assert (changed.title, changed.copies) == ("second", 3)


async def test_a_unit_that_was_overtaken_is_run_again(
    accounts: RedisRepository[Account, int], books: RedisRepository[Book, int]
) -> None:
    await accounts.create(Account("a"))
    await fill(books)
    rivals = iter(
        [
            lambda: accounts.update(1, {"balance": Inc(10)}),
            lambda: books.update(1, {"copies": Inc(10)}),
        ]
    )

    async def work(_: object) -> None:
        account, book = await accounts.get_by_id(1), await books.get_by_id(1)
        assert account is not None
        assert book is not None
        account.balance += 1
        book.copies += 1
        if rival := next(rivals, None):
            await elsewhere(rival)

    await accounts.home.run(work)

    [account], [book] = await accounts.get_all(), await books.get_all(limit=1)
    assert (account.balance, book.copies) == (11, 11)


async def test_a_document_that_went_before_the_commit_is_a_lost_race(
    books: RedisRepository[Book, int],
) -> None:
    await fill(books)

    with pytest.raises(ConflictError) as lost:
        async with books.unit_of_work():
            await books.delete(1)
            await elsewhere(lambda: books.delete(1))

    assert lost.value.kind == "serialization"


@pytest.mark.parametrize("taken", [{"isbn": "taken"}, {"id": 50}])
async def test_a_value_that_is_taken_before_the_commit_is_refused_there(
    books: RedisRepository[Book, int], taken: dict[str, Any]
) -> None:
    with pytest.raises(AlreadyExistsError) as refused:
        async with books.unit_of_work():
            await books.create(Book("a", **taken))
            await elsewhere(lambda: books.create(Book("b", **taken)))

    assert refused.value.fields == tuple(taken)
    assert refused.value.constraint in {"unique_isbn", "primary key"}
    assert titles(await books.get_all()) == "b"


async def test_racing_verbs_lose_nothing_and_raise_nothing(
    accounts: RedisRepository[Account, int], books: RedisRepository[Book, int]
) -> None:
    await accounts.create(Account("a"))

    await asyncio.gather(
        *(accounts.update(1, {"balance": Inc(1)}) for _ in range(20)),
        *(books.upsert({"title": str(n), "isbn": "one"}, key="isbn") for n in range(9)),
        *(books.upsert(Book(str(n), id=77), key="id") for n in range(9)),
    )

    account = await accounts.get_by_id(1)
    assert account is not None
    assert (account.balance, account.version) == (20, 21)
    assert await books.count() == 2


async def test_an_expected_version_is_no_race(
    accounts: RedisRepository[Account, int],
) -> None:
    await accounts.create(Account("a"))

    results = await asyncio.gather(
        *(accounts.update(1, {"balance": Inc(1)}, expected_version=1) for _ in "abc"),
        return_exceptions=True,
    )

    assert [type(r) for r in results].count(StaleDataError) == 2


async def test_a_verb_that_always_loses_gives_up(
    database: RedisDatabase, books: RedisRepository[Book, int]
) -> None:
    await fill(books)
    tries = 0

    async def verb(_: object) -> None:
        nonlocal tries
        tries += 1
        await books.update(1, {"copies": Inc(1)})
        await elsewhere(lambda: books.update(1, {"copies": Inc(1)}))

    with pytest.raises(ConflictError):
        await database.alone(verb, writes=True)

    assert tries == 50


async def test_rows_that_a_look_at_a_unique_value_reads_stay_as_they_were_read(
    client: Redis, redis_prefix: str, books: RedisRepository[Book, int]
) -> None:
    await fill(books)
    others = RedisRepository[Book, int](
        RedisDatabase(client, prefix=redis_prefix), Book
    )

    with pytest.raises(ConflictError) as lost:
        async with books.unit_of_work():
            transaction: Any = books.home.transaction()
            row = await transaction.row(adapter_for(Book), (1,))
            await others.update(1, {"title": "z", "isbn": "new"})
            fresh = {**row, "isbn": "new"}
            await transaction.write(adapter_for(Book), (1,), fresh, row)

    assert lost.value.kind == "serialization"


# Units


async def test_what_is_created_and_deleted_in_one_unit_leaves_no_key(
    client: Redis, books: RedisRepository[Book, int], redis_prefix: str
) -> None:
    async with books.unit_of_work():
        book = await books.create(Book("a", shelf="x"))
        assert book.id is not None
        await books.delete(book.id)

    left = [key async for key in client.scan_iter(match=f"*{redis_prefix}*")]
    assert {key.rpartition(b":")[2] for key in left} == {b"last", b"plan"}


async def test_every_key_of_a_home_is_in_one_slot(
    client: Redis, books: RedisRepository[Book, int], redis_prefix: str
) -> None:
    await fill(books)

    keys = [key async for key in client.scan_iter(match=f"*{redis_prefix}*")]

    assert len(keys) > 30
    assert {key_slot(key) for key in keys} == {key_slot(redis_prefix.encode())}


async def test_a_commit_that_the_client_sends_twice_is_stored_once(
    redis_url: str, redis_prefix: str
) -> None:
    class Doubling(Redis):
        @override
        async def execute_command(self, *args: Any, **options: Any) -> Any:
            if args[0] == "EVALSHA":
                await super().execute_command(*args, **dict(options))  # type: ignore[no-untyped-call] # redis-py's
            result: Any = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py's
            return result

    async with Doubling.from_url(redis_url) as client:
        books = RedisRepository[Book, int](
            RedisDatabase(client, prefix=redis_prefix), Book
        )
        await books.create(Book("a", copies=1))
        await books.update(1, {"copies": Inc(1)})

        found = await books.get_by_id(1)

    assert found is not None
    assert found.copies == 2


async def test_a_server_that_forgot_the_script_is_sent_it_again(
    client: Redis, books: RedisRepository[Book, int]
) -> None:
    await books.create(Book("a"))
    await client.script_flush()

    await books.create(Book("b"))

    assert titles(await books.get_all()) == "ab"


async def test_a_verb_refused_in_the_middle_of_its_rows_makes_the_unit_rollback_only(
    books: RedisRepository[Book, int],
) -> None:
    with pytest.raises(UnitOfWorkError, match="rollback-only after ValidationError"):
        async with books.unit_of_work():
            with pytest.raises(ValidationError):
                await books.create_many([Book("a"), Book("b", copies=10**5_000)])

    assert await books.count() == 0


async def test_a_read_only_unit_reads_and_does_not_write(
    books: RedisRepository[Book, int],
) -> None:
    await fill(books)

    async with books.unit_of_work(read_only=True):
        assert titles(await books.find(field("shelf") == "x")) == "ad"
        with pytest.raises(UnitOfWorkError, match="read-only"):
            await books.delete(1)


async def test_a_lock_is_refused(books: RedisRepository[Book, int]) -> None:
    async with books.unit_of_work():
        with pytest.raises(NotSupportedError, match="locks nothing"):
            await books.get_by_id(1, lock="wait")


async def test_a_value_that_equals_nothing_is_in_no_index(
    database: RedisDatabase,
) -> None:
    @dataclass
    class Reading:
        value: Annotated[float | str, Indexed(), Unique()]
        id: int | None = None

    readings = RedisRepository[Reading, int](database, Reading)
    for _ in "ab":
        await readings.create(Reading(float("nan")))

    assert await readings.count() == 2
    assert await readings.count(field("value").in_([1.5])) == 0


async def test_documents_that_went_between_index_and_reading_are_left_out(
    client: Redis, books: RedisRepository[Book, int], redis_prefix: str
) -> None:
    await fill(books)
    gone = [key async for key in client.scan_iter(match=f"*{redis_prefix}*:doc:i01.1")]
    await client.delete(*gone)

    assert titles(await books.find(field("shelf") == "x")) == "d"
    assert titles(await books.find(field("isbn") == "isbn-a")) == ""


# What is refused


@pytest.mark.parametrize(
    "document", [b"", b"{}", b'{"id":2,"title":"a"}', b'{"id":[1],"title":"a"}']
)
async def test_a_foreign_document_is_a_usage_error_of_every_verb(
    client: Redis,
    redis_prefix: str,
    database: RedisDatabase,
    books: RedisRepository[Book, int],
    document: bytes,
) -> None:
    await books.create(Book("a", shelf="x"))
    await client.set(f"{{{redis_prefix}}}:Book:doc:i01.1", document)

    for verb in (
        lambda: books.get_by_id(1),
        lambda: books.find(field("shelf") == "x"),
        lambda: books.update(1, {"title": "b"}),
        lambda: books.delete(1),
        lambda: database.reindex(Book),
    ):
        with pytest.raises(UsageError, match="document of Book"):
            await verb()


async def test_a_version_that_came_later_counts_from_one(
    client: Redis, redis_prefix: str, database: RedisDatabase
) -> None:
    @dataclass
    class Page:
        text: str
        id: int | None = None

    older = Page

    @dataclass
    class Page:  # type: ignore[no-redef] # as a next release has it
        text: str
        id: int | None = None
        size: int = 7
        version: int | None = None

    await RedisRepository[Any, int](database, older).create(older("a"))
    newer = RedisDatabase(client, prefix=redis_prefix)
    pages = RedisRepository[Any, int](newer, Page)

    found = await pages.get_by_id(1)
    updated = await pages.update(1, {"text": "b"})

    assert found == Page("a", 1, 7, None)  # type: ignore[call-arg] # see above
    assert updated == Page("b", 1, 7, 1)  # type: ignore[call-arg] # see above


async def test_a_foreign_value_under_the_prefix_stops_the_whole_unit(
    client: Redis, books: RedisRepository[Book, int], redis_prefix: str
) -> None:
    await client.set(f"{{{redis_prefix}}}:Book:index:shelf:sx", "foreign")

    with pytest.raises(UsageError, match="holds something else"):
        await books.create(Book("a", shelf="x"))

    assert await books.count() == 0


@pytest.mark.parametrize("prefix", ["", "a{b", "a}", "a\n"])
def test_a_prefix_that_is_no_hash_tag_is_refused(client: Redis, prefix: str) -> None:
    with pytest.raises(UsageError, match="names no keys"):
        RedisDatabase(client, prefix=prefix)


async def test_a_home_needs_no_prefix_of_its_own(client: Redis) -> None:
    books = RedisRepository[Book, int](RedisDatabase(client), Book)
    plan = "{layerkit}:Book:plan"

    assert await books.get_by_id(1) is None

    assert [key async for key in client.scan_iter("{layerkit}:Book:*")] == []
    await client.set(plan, "[[], []]")
    try:
        with pytest.raises(UsageError, match="reindex"):
            await RedisRepository[Book, int](RedisDatabase(client), Book).count()
    finally:
        await client.delete(plan)


def test_a_synchronous_client_is_refused() -> None:
    client: Any = SyncRedis()

    with pytest.raises(UsageError, match=r"made from a redis\.asyncio\.Redis"):
        RedisDatabase(client, prefix="a")


def test_a_redis_repository_insists_on_its_home() -> None:
    home: Any = MemoryDatabase()

    with pytest.raises(UsageError, match="RedisRepository needs a RedisDatabase"):
        RedisRepository(home, Book)


def test_two_classes_of_one_name_do_not_share_their_keys(
    database: RedisDatabase,
) -> None:
    RedisRepository(database, Book)
    RedisRepository(database, Book)
    other: type[Any] = dataclass(type("Book", (), {"__annotations__": {"id": int}}))

    with pytest.raises(UsageError, match="Book would share the keys"):
        RedisRepository(database, other)


def test_a_collection_can_not_be_indexed(database: RedisDatabase) -> None:
    @dataclass
    class Tagged:
        tags: Annotated[list, Indexed()]  # type: ignore[type-arg] # its kind is list
        id: int | None = None

    with pytest.raises(UsageError, match=r"Tagged\.tags is looked up by"):
        RedisRepository(database, Tagged)


async def test_a_mapped_class_is_kept_as_well(database: RedisDatabase) -> None:
    items = Repository[MappedItem, int](database, MappedItem)
    await items.create(MappedItem(name="a", qty=1))

    found = await items.find(field("name") == "a")

    assert [(item.id, item.qty) for item in found] == [(1, 1)]


async def test_the_client_stays_open_when_the_database_is_left(
    client: Redis, redis_prefix: str
) -> None:
    async with RedisDatabase(client, prefix=redis_prefix) as database:
        await database.ping()
    await database.close()

    await database.ping()
    assert await client.get(f"{{{redis_prefix}}}") is None


@dataclass
class Ticket:
    title: str
    id: int = dataclass_field(init=False)


async def test_a_key_that_the_constructor_does_not_take_is_filled(
    database: RedisDatabase,
) -> None:
    tickets = RedisRepository[Ticket, int](database, Ticket)
    given = Ticket("a")

    created = await tickets.create(given)
    await tickets.create_many([Ticket("b")])

    assert created is given
    assert [(t.id, t.title) for t in await tickets.get_all()] == [
        (given.id, "a"), (given.id + 1, "b"),
    ]  # fmt: skip


def test_a_home_with_connections_of_another_loop_says_so(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    home = RedisDatabase(client)

    async def second() -> None:
        for use in (home.ping, home.unit_of_work().__aenter__):
            with pytest.raises(UsageError, match="one home for each loop"):
                await use()

    with asyncio.Runner() as runner:
        runner.run(home.ping())
        runner.run(home.ping())
        asyncio.run(second())
        runner.run(client.aclose())


def test_a_home_whose_connections_are_closed_goes_on_in_another_loop(
    redis_url: str,
) -> None:
    client = Redis.from_url(redis_url)
    home = RedisDatabase(client)

    async def run() -> None:
        await home.ping()
        await client.aclose()

    asyncio.run(run())
    asyncio.run(run())


@pytest.mark.parametrize("port", [99999, -1, 0])
def test_a_client_with_a_port_that_there_is_not_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="1 to 65535"):
        RedisDatabase(Redis(port=port))


def test_a_client_of_a_socket_has_no_port_to_look_at() -> None:
    RedisDatabase(Redis(unix_socket_path="redis.sock"))


async def test_a_changed_attribute_that_collides_before_an_upsert_has_lost_no_race(
    books: RedisRepository[Book, int],
) -> None:
    first = await books.create(Book("a", isbn="1"))
    await books.create(Book("b", isbn="2"))

    with pytest.raises(AlreadyExistsError):
        async with books.unit_of_work():
            held = await books.get_by_id(first.id)
            assert held is not None
            held.isbn = "2"
            await books.upsert({"title": "c", "isbn": "3"}, key="isbn")
            pytest.fail("the commit is too late")
