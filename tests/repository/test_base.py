"""What BaseRepository builds on the six verbs of a backend of one's own."""

from dataclasses import dataclass
from typing import Any

import pytest
from typing_extensions import override

from layerkit.core.errors import NotSupportedError, UsageError
from layerkit.repository import ALL, BaseRepository, Page, field

CLAMP = 3


@dataclass
class Book:
    id: int
    title: str
    price: int | None = None


class ShelfRepository(BaseRepository[Book, int]):
    """A backend as copied from a textbook; it gives at most CLAMP entities at once."""

    def __init__(self, *books: Book) -> None:
        self.books = {book.id: book for book in books}
        self.reads = 0

    @override
    async def create(self, entity: Book) -> Book:
        self.books[entity.id] = entity
        return entity

    @override
    async def get_by_id(self, entity_id: int) -> Book | None:
        return self.books.get(entity_id)

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[Book]:
        self.reads += 1
        ordered = [self.books[key] for key in sorted(self.books)]
        return ordered[skip : skip + min(limit, CLAMP)]

    @override
    async def update(self, entity_id: int, update_data: dict[str, Any]) -> Book | None:
        book = self.books.get(entity_id)
        if book is not None:
            vars(book).update(update_data)
        return book

    @override
    async def delete(self, entity_id: int) -> bool:
        return self.books.pop(entity_id, None) is not None

    @override
    async def exists(self, entity_id: int) -> bool:
        return entity_id in self.books


def shelf() -> ShelfRepository:
    prices = [5, None, 3, 5, 8, None, 1]
    return ShelfRepository(*(Book(n, f"t{n}", p) for n, p in enumerate(prices, 1)))


def ids(books: list[Book]) -> list[int]:
    return [book.id for book in books]


async def test_find_reads_on_past_a_backend_that_clamps_its_limit() -> None:
    assert ids(await shelf().find(field("price") >= 5)) == [1, 4, 5]
    assert ids(await shelf().find(ALL)) == [1, 2, 3, 4, 5, 6, 7]


async def test_find_sorts_with_nulls_last_and_ties_by_key() -> None:
    books = shelf()

    by_price = await books.find(ALL, field("price").desc())
    by_both = await books.find(
        field("title").icontains("T"),
        [field("price").asc(nulls_first=True), field("title").desc()],
    )

    assert ids(by_price) == [5, 1, 4, 3, 7, 2, 6]
    assert ids(by_both) == [6, 2, 7, 3, 4, 1, 5]


async def test_find_skips_and_limits() -> None:
    assert ids(await shelf().find(ALL, skip=2, limit=2)) == [3, 4]
    assert await shelf().find(ALL, skip=7) == []


async def test_find_one_returns_the_one_or_none() -> None:
    assert await shelf().find_one(field("title") == "t3") == Book(3, "t3", 3)
    assert await shelf().find_one(field("title") == "t9") is None


async def test_find_one_refuses_two() -> None:
    with pytest.raises(UsageError, match=r"ShelfRepository\.find_one"):
        await shelf().find_one(field("price") == 5)


async def test_count_counts_what_is_meant_up_to_its_cap() -> None:
    books = shelf()

    assert await books.count() == 7
    assert await books.count(field("price").is_null()) == 2
    assert await books.count(field("price") == 99) == 0
    books.reads = 0
    assert await books.count(cap=2) == 2
    assert books.reads == 1


@pytest.mark.defect("R6")
async def test_pages_hold_each_entity_once() -> None:
    books = shelf()
    by_price = field("price").asc()

    pages = [
        await books.paginate(order_by=by_price, size=3, offset=n, total="exact")
        for n in (0, 3, 6, 9)
    ]

    assert [ids(page.items) for page in pages] == [[7, 3, 1], [4, 5, 2], [6], []]
    assert [page.total for page in pages] == [7, 7, 7, 7]
    assert [page.has_next for page in pages] == [True, True, False, False]


async def test_a_page_counts_only_when_asked() -> None:
    assert await shelf().paginate(size=7) == Page(await shelf().find(ALL))
    assert (await shelf().paginate(size=1, total=5)).total == 5
    assert (await shelf().paginate(size=1, total=50)).total == 7


async def test_a_page_that_can_not_be_is_refused_before_anything_is_read() -> None:
    books: Any = shelf()

    with pytest.raises(UsageError, match="total is"):
        await books.paginate(total="all")
    with pytest.raises(NotSupportedError, match="ShelfRepository has no pages by"):
        await books.paginate(cursor="x")

    assert books.reads == 0


@pytest.mark.defect("R1")
async def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(UsageError, match="Book has no field 'nope'"):
        await shelf().find(field("nope") == 1)
    with pytest.raises(UsageError, match="Book has no field 'nope'"):
        await shelf().find(ALL, field("nope").asc())


@pytest.mark.parametrize(
    "call",
    [
        {"skip": -1},
        {"skip": "1"},
        {"skip": None},
        {"limit": True},
        {"limit": 0},
        {"limit": 10_001},
        {"order_by": "price"},
        {"order_by": ["price"]},
        {"order_by": [field("price")]},
    ],
    ids=repr,
)
async def test_find_refuses_what_it_cannot_mean(call: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await shelf().find(ALL, **call)


@pytest.mark.parametrize(
    "call",
    [
        {"size": 0},
        {"size": 10_000},
        {"offset": -1},
        {"total": "all"},
        {"total": 0},
        {"total": True},
        {"total": None},
    ],
    ids=repr,
)
async def test_paginate_refuses_what_it_cannot_mean(call: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await shelf().paginate(**call)


@pytest.mark.parametrize("cap", [0, -1])
async def test_count_refuses_a_cap_below_one(cap: int) -> None:
    with pytest.raises(UsageError, match="cap"):
        await shelf().count(cap=cap)


async def test_the_id_is_the_attribute_id_unless_overridden() -> None:
    assert shelf().id_of(Book(4, "x")) == 4


async def test_the_six_verbs_are_the_backends_own() -> None:
    books = shelf()

    await books.create(Book(9, "new"))
    await books.update(9, {"title": "newer"})

    assert await books.get_by_id(9) == Book(9, "newer")
    assert (await books.exists(9), await books.delete(9)) == (True, True)
    assert await books.exists(9) is False


def test_a_backend_without_the_six_verbs_cannot_be_made() -> None:
    class Half(BaseRepository[Book, int]):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract] # what is tested


# What six verbs do not have


async def test_an_option_that_the_six_verbs_lack_is_refused_by_name() -> None:
    books: Any = shelf()
    guard = field("price") == 5

    refused: list[tuple[str, Any, dict[str, Any]]] = [
        ("get_by_id", 1, {"lock": "wait"}),
        ("find", ALL, {"lock": "wait"}),
        ("find_one", ALL, {"lock": "wait"}),
        ("update", (1, {}), {"when": guard}),
        ("delete", 1, {"expected_version": 1}),
    ]
    for verb, given, options in refused:
        arguments = given if isinstance(given, tuple) else (given,)
        text = f"{verb} takes no {next(iter(options))}="
        with pytest.raises(NotSupportedError, match=text):
            await getattr(books, verb)(*arguments, **options)
    assert await books.exists(1)


async def test_an_option_of_none_asks_for_nothing() -> None:
    books: Any = shelf()

    assert await books.get_by_id(1, lock=None) == Book(1, "t1", 5)
    assert await books.delete(1, expected_version=None, when=None) is True


async def test_an_option_that_does_not_exist_stays_a_type_error() -> None:
    books: Any = shelf()

    with pytest.raises(TypeError, match="nope"):
        await books.get_by_id(1, nope=1)


@pytest.mark.parametrize("expect", [-1, True, "2"])
async def test_a_number_that_none_can_be_is_refused_before_anything_is_read(
    expect: Any,
) -> None:
    books = shelf()

    with pytest.raises(UsageError, match="expect must be 0 or more"):
        await books.update_where(ALL, {"price": 0}, expect=expect)
    with pytest.raises(UsageError, match="expect must be 0 or more"):
        await books.delete_where(ALL, expect=expect)

    assert books.reads == 0


async def test_changes_by_a_filter_meet_any_number_where_none_is_expected() -> None:
    books = shelf()

    assert await books.update_where(field("price") == 5, {"title": "new"}) == 2
    assert await books.delete_where(field("title") == "new") == 2
    assert await books.delete_where(ALL, expect=5) == 5
