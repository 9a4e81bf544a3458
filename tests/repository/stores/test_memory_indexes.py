"""What memory finds by an index is what a look at every row would find."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from layerkit.core.errors import AlreadyExistsError, UsageError
from layerkit.repository import (
    ALL,
    And,
    Indexed,
    MemoryDatabase,
    Order,
    Repository,
    Specification,
    Unique,
    adapter_for,
    field,
)
from layerkit.repository.filters.evaluate import matches, sorted_by
from layerkit.repository.stores.tables import Table
from layerkit.sync import run


class Book(BaseModel):
    """Be found by its key, by unique fields, and by marked ones."""

    id: int | None = None
    isbn: Annotated[str | None, Unique(live=True)] = None
    shelf: Annotated[int | None, Unique("place")] = None
    slot: Annotated[int | None, Unique("place")] = None
    genre: Annotated[str | None, Indexed()] = None
    at: Annotated[datetime | None, Indexed()] = None
    tags: Annotated[list[str], Indexed()] = []
    n: int = 0
    deleted_at: datetime | None = None


_values = st.fixed_dictionaries(
    {},
    optional={
        "isbn": st.sampled_from(["a", "b", None]),
        "shelf": st.sampled_from([1, 2, None]),
        "slot": st.sampled_from([1, 2]),
        "genre": st.sampled_from(["x", "y", "", None]),
        "n": st.integers(0, 2),
    },
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("create"), _values),
        st.tuples(st.sampled_from(range(1, 5)), _values),
        st.tuples(st.just("delete"), st.sampled_from(range(1, 5))),
        st.tuples(st.just("move"), st.sampled_from(["x", "y", None])),
    ),
    max_size=12,
)
_WHERES: tuple[Specification, ...] = (
    *(field("id") == 2, field("isbn") == "a", field("genre") == "x"),
    (field("isbn") == "b") & field("deleted_at").is_null(),
    *((field("shelf") == 1) & (field("slot") == 2), field("genre") == ""),
    (field("genre") == "y") & (field("n") >= 1) & ((field("n") < 2) & ALL),
    (field("genre") == "x") & (field("genre") == "y"),
    *((field("genre") == "x") | (field("n") == 1), ~(field("genre") == "x")),
)


async def play(books: Repository[Book, int], what: Any, values: Any) -> None:
    if what == "create":
        await books.create(values)
    elif what == "delete":
        await books.delete(values)
    elif what == "move":
        await books.update_where(field("n") == 1, {"genre": values})
    else:
        await books.update(what, values)


@given(_steps, _steps)
def test_what_an_index_finds_is_what_every_row_says(
    before: list[Any], inside: list[Any]
) -> None:
    books = Repository[Book, int](MemoryDatabase(), Book)

    async def check() -> None:
        everything = [
            book.model_dump() for book in await books.with_deleted().find(ALL)
        ]
        for where in _WHERES:
            found = await books.with_deleted().find(where)
            meant = [row for row in everything if matches(where, row)]
            assert [book.model_dump() for book in found] == meant, where

    async def work() -> None:
        for step in before:
            with suppress(AlreadyExistsError):
                await play(books, *step)
        await check()
        async with books.unit_of_work() as unit:
            for step in inside:
                with suppress(AlreadyExistsError):
                    async with unit.savepoint():
                        await play(books, *step)
            await check()
        await check()

    run(work())


@pytest.mark.parametrize(
    ("where", "looked_at"),
    [
        (field("id") == 7, 1),
        ((field("id") == 7) & (field("n") == 1), 1),
        ((field("isbn") == "7") & field("deleted_at").is_null(), 1),
        ((field("isbn") == "none") & field("deleted_at").is_null(), 0),
        (And((field("slot") == 1, And((field("shelf") == 3, ALL)))), 1),
        (field("genre") == "g3", 10),
        ((field("genre") == "g3") & (field("n") == 1), 10),
        (field("genre") == "none", 0),
        (field("isbn") == "7", 100),  # a deleted one may have it as well
        (field("shelf") == 3, 100),
        (field("genre") != "g3", 100),
        ((field("genre") == "g3") | (field("n") == 1), 100),
    ],
)
def test_no_more_rows_are_looked_at_than_an_index_names(
    where: Specification, looked_at: int
) -> None:
    table = Table(adapter_for(Book))
    rows = {
        (n,): Book(
            id=n, isbn=str(n), shelf=n, slot=1, genre=f"g{n % 10}", tags=["t"], n=n
        ).model_dump()
        for n in range(100)
    }
    table.merge(dict(rows))

    assert len(table.candidates(where)) == looked_at


async def test_a_moment_without_a_zone_is_an_error_by_an_index_too() -> None:
    books = Repository[Book, int](MemoryDatabase(), Book)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    await books.create({"at": now})

    with pytest.raises(UsageError, match="at holds values without an order"):
        await books.count(field("at") == now.replace(tzinfo=None))
    assert await books.count(field("at") == now) == 1


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 3), st.integers(0, 3))),
    st.booleans(),
    st.booleans(),
    st.integers(0, 9),
)
def test_the_first_rows_are_the_beginning_of_all_of_them(
    pairs: list[Any], falls: bool, nulls_first: bool, limit: int
) -> None:
    rows = [{"a": a, "b": b, "at": at} for at, (a, b) in enumerate(pairs)]
    orders = [Order("a", falls, nulls_first), Order("b", not falls)]

    assert sorted_by(rows, orders, limit) == sorted_by(rows, orders)[:limit]


def test_rows_without_an_order_are_refused_where_few_are_enough() -> None:
    rows: list[dict[str, Any]] = [{"a": 1}, {"a": "x"}, {"a": 2}]

    with pytest.raises(UsageError, match="a holds values without an order"):
        sorted_by(rows, [Order("a")], 1)


@pytest.mark.parametrize("decides", [True, False])
def test_a_filter_stops_at_the_part_that_decides(decides: bool) -> None:
    class Row(dict[str, int]):
        asked: list[str]

    row = Row(a=1, b=2)
    row.asked = []
    first = field("a") == (1 if decides else 2)
    never = field("missing") == 1

    assert matches(first | never if decides else first & never, row) is decides


def test_an_index_follows_what_is_written() -> None:
    table = Table(adapter_for(Book))
    book = Book(id=1, isbn="a", genre="x").model_dump()
    for_x, for_y = field("genre") == "x", field("genre") == "y"
    by_isbn = (field("isbn") == "a") & field("deleted_at").is_null()

    table.merge({(1,): book})
    assert list(table.candidates(for_x)) == [(1,)]
    table.merge({(1,): {**book, "genre": "y", "isbn": "b"}})
    assert list(table.candidates(for_x)) == []
    assert list(table.candidates(for_y)) == [(1,)]
    assert list(table.candidates(by_isbn)) == []
    table.merge({(1,): None})
    assert list(table.candidates(for_y)) == []
