"""Specifications in memory: the same answer as SQL's own."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Integer, String, delete, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.repository import ALL, Order, Repository, Specification, field
from layerkit.repository.filters.evaluate import Values, fold_ascii, matches, sorted_by
from layerkit.sql import Database


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "rows"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int | None] = mapped_column(Integer)
    t: Mapped[str | None] = mapped_column(String(50))


LETTERS = "aAbBkK\u212a%_\\*?[]'\"ßäÄ \u0130é^$.\n"
numbers = st.integers(-3, 3)
texts = st.text(LETTERS, max_size=3)
rows = st.lists(
    st.tuples(st.none() | numbers, st.none() | texts).map(
        lambda pair: {"n": pair[0], "t": pair[1]}
    ),
    max_size=8,
)


def comparisons_of(name: str, values: st.SearchStrategy[Any]) -> Iterator[Any]:
    f = field(name)
    builders: list[Callable[[Any], Specification]] = [
        lambda v: f == v,
        lambda v: f != v,
        lambda v: f < v,
        lambda v: f <= v,
        lambda v: f > v,
        lambda v: f >= v,
    ]
    yield from (st.builds(build, values) for build in builders)
    yield st.builds(f.in_, st.lists(values, max_size=3))
    yield st.builds(f.not_in, st.lists(values, max_size=3))
    yield st.builds(f.between, values, values)
    yield st.just(f.is_null())
    yield st.just(f.is_not_null())


SEARCHES = (
    "contains", "startswith", "endswith", "icontains", "istartswith", "iendswith",
)  # fmt: skip
searches = [st.builds(getattr(field("t"), search), texts) for search in SEARCHES]


def combined(*leaves: st.SearchStrategy[Specification]) -> Any:
    return st.recursive(
        st.one_of(*leaves, st.just(ALL)),
        lambda inner: st.one_of(
            st.builds(lambda a, b: a & b, inner, inner),
            st.builds(lambda a, b: a | b, inner, inner),
            st.builds(lambda a: ~a, inner),
        ),
        max_leaves=6,
    )


specifications = combined(
    *comparisons_of("n", numbers), *comparisons_of("t", texts), *searches
)
# What does not hang on a collation, which orders texts in its own way.
exact = combined(
    *comparisons_of("n", numbers),
    *searches,
    st.builds(lambda v: field("t") == v, texts),
    st.builds(lambda v: field("t") != v, texts),
    st.builds(field("t").in_, st.lists(texts, max_size=3)),
    st.builds(field("t").not_in, st.lists(texts, max_size=3)),
    st.just(field("t").is_null()),
)
orders = st.lists(
    st.builds(Order, st.sampled_from(["n", "t"]), st.booleans(), st.booleans()),
    max_size=2,
    unique_by=lambda order: order.field,
)


class Oracle:
    """Answer by a database, from tests that hypothesis runs without a loop."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._database = Database(url)
        self._rows = Repository[Row, int](self._database, Row)
        self._runner.run(self._database.create_all(Base.metadata))

    def find(
        self, values: list[dict[str, Any]], where: Specification, order_by: list[Order]
    ) -> list[int]:
        return self._runner.run(self._find(values, where, order_by))

    async def _find(
        self, values: list[dict[str, Any]], where: Specification, order_by: list[Order]
    ) -> list[int]:
        async with self._rows.unit_of_work():
            session = self._database.session()
            await session.execute(delete(Row))
            if values:
                await session.execute(insert(Row), values)
            found = await self._rows.find(where, order_by)
            assert await self._rows.count(where) == len(found)
            return [row.id for row in found]

    def close(self) -> None:
        self._runner.run(self._database.close())
        self._runner.close()


def expected(
    values: list[dict[str, Any]], where: Specification, order_by: list[Order]
) -> list[int]:
    kept = [row for row in values if matches(where, row)]
    return [row["id"] for row in sorted_by(kept, [*order_by, Order("id")])]


def with_ids(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": n, **row} for n, row in enumerate(values, 1)]


@pytest.fixture(scope="module")
def sqlite_oracle() -> Iterator[Oracle]:
    oracle = Oracle("sqlite://")
    yield oracle
    oracle.close()


@pytest.mark.unmeasured
@pytest.mark.defect("R4")
@pytest.mark.defect("R17")
@pytest.mark.defect("R21")
@given(values=rows, where=specifications, order_by=orders)
def test_memory_and_sqlite_agree(
    sqlite_oracle: Oracle,
    values: list[dict[str, Any]],
    where: Specification,
    order_by: list[Order],
) -> None:
    stored = with_ids(values)

    assert sqlite_oracle.find(stored, where, order_by) == expected(
        stored, where, order_by
    )


@pytest.fixture
def postgres_oracle(postgres_url: str) -> Iterator[Oracle]:
    oracle = Oracle(postgres_url)
    yield oracle
    oracle.close()


@pytest.fixture
def mysql_oracle(mysql_url: str) -> Iterator[Oracle]:
    oracle = Oracle(mysql_url)
    yield oracle
    oracle.close()


@pytest.mark.unmeasured
def test_memory_and_postgresql_agree(postgres_oracle: Oracle) -> None:
    @given(values=rows, where=specifications, order_by=orders)
    def agree(
        values: list[dict[str, Any]], where: Specification, order_by: list[Order]
    ) -> None:
        stored = with_ids(values)

        assert postgres_oracle.find(stored, where, order_by) == expected(
            stored, where, order_by
        )

    agree()


@pytest.mark.unmeasured
def test_memory_and_mariadb_agree(mysql_oracle: Oracle) -> None:
    @given(values=rows, where=exact)
    def agree(values: list[dict[str, Any]], where: Specification) -> None:
        stored = with_ids(values)

        assert mysql_oracle.find(stored, where, []) == expected(stored, where, [])

    agree()


def test_equal_values_are_sorted_by_the_next_order() -> None:
    values: list[Values] = [{"n": 1, "t": "b"}, {"n": 1, "t": "a"}, {"n": 0, "t": None}]

    found = sorted_by(values, [Order("n", descending=True), Order("t")])

    assert found == [values[1], values[0], values[2]]


@pytest.mark.parametrize("nulls_first", [True, False])
@pytest.mark.parametrize("descending", [True, False])
def test_nulls_stand_at_the_end_that_was_named(
    descending: bool, nulls_first: bool
) -> None:
    values: list[Values] = [{"n": None}, {"n": 1}, {"n": None}, {"n": 2}]

    found = sorted_by(values, [Order("n", descending, nulls_first)])

    numbered = [2, 1] if descending else [1, 2]
    nulls = [None, None]
    wanted = nulls + numbered if nulls_first else numbered + nulls
    assert [row["n"] for row in found] == wanted


def test_folding_leaves_letters_beyond_ascii_alone() -> None:
    assert fold_ascii("ABC\u212a\u0130Ä") == "abc\u212a\u0130Ä"


def test_what_is_no_specification_is_refused() -> None:
    with pytest.raises(TypeError, match="not a specification"):
        matches("n = 1", {})  # type: ignore[arg-type] # what is tested
