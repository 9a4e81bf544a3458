"""The SQL of specifications, dialect by dialect, without a server."""

from functools import reduce
from operator import or_
from typing import Any

import pytest
from sqlalchemy import Integer, String, Table, column
from sqlalchemy.dialects import mysql, postgresql, sqlite

from layerkit.repository import ALL, Order, Specification, field
from layerkit.sql.compile import condition, ordering
from layerkit.sql.dialects import Server, server_of
from layerkit.sql.dialects.sqlite import SQLITE
from layerkit.sql.forms import Compared

COLUMNS = (column("name", String), column("qty", Integer))
DIALECTS: dict[str, Any] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "mysql": mysql,
    "mariadb": mysql,
}
NAME = field("name")


def columns_on(server: Server) -> dict[str, Compared]:
    return {column.name: Compared(column, server) for column in COLUMNS}


def sql(where: Specification, dialect: str) -> str:
    speaks = DIALECTS[dialect].dialect()
    speaks.name = dialect
    made = condition(where, columns_on(server_of(speaks))).compile(
        dialect=speaks, compile_kwargs={"literal_binds": True}
    )
    return " ".join(str(made).split())


@pytest.mark.parametrize("dialect", ["mariadb", "mysql"])
@pytest.mark.parametrize(
    ("where", "text"),
    [
        (NAME == "a", "name = 'a' AND CAST(name AS BINARY) = CAST('a' AS BINARY)"),
        (
            NAME != "a",
            "NOT (name = 'a' AND CAST(name AS BINARY) = CAST('a' AS BINARY))",
        ),
        (
            NAME.in_(["a", "b"]),
            "name IN ('a', 'b') AND CAST(name AS BINARY) IN "
            "(CAST('a' AS BINARY), CAST('b' AS BINARY))",
        ),
        (NAME.contains("a.b"), r"(name COLLATE utf8mb4_bin) REGEXP 'a\\.b'"),
        (NAME.startswith("a"), r"(name COLLATE utf8mb4_bin) REGEXP '\\Aa'"),
        (NAME.endswith("a"), r"(name COLLATE utf8mb4_bin) REGEXP 'a\\z'"),
        (NAME.icontains("a%"), "(name COLLATE utf8mb4_bin) REGEXP '[aA]%%'"),
        (NAME.istartswith("1"), r"(name COLLATE utf8mb4_bin) REGEXP '\\A1'"),
        (NAME.iendswith("é"), r"(name COLLATE utf8mb4_bin) REGEXP 'é\\z'"),
        (field("qty") == 1, "qty = 1"),
        (field("qty").in_([1]), "qty IN (1)"),
    ],
    ids=str,
)
def test_mariadb_compares_bytes_beside_the_collation(
    where: Specification, text: str, dialect: str
) -> None:
    assert sql(where, dialect) == text


@pytest.mark.defect("R4")
@pytest.mark.parametrize(
    ("where", "text"),
    [
        (NAME.contains("50%"), "name LIKE '%%' || '50/%%' || '%%' ESCAPE '/'"),
        (NAME.startswith("a_"), "name LIKE 'a/_' || '%%' ESCAPE '/'"),
        (NAME.endswith("a"), "name LIKE '%%' || 'a' ESCAPE '/'"),
        (
            NAME.icontains("ÄB"),
            "translate(name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', "
            "'abcdefghijklmnopqrstuvwxyz') LIKE '%%' || 'Äb' || '%%' ESCAPE '/'",
        ),
    ],
    ids=str,
)
def test_postgresql_escapes_and_folds_ascii_alone(
    where: Specification, text: str
) -> None:
    assert sql(where, "postgresql") == text


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (NAME.contains("a"), "instr(name, 'a') > 0"),
        (NAME.icontains("A"), "instr(lower(name), 'a') > 0"),
        (NAME.startswith("ab"), "substr(name, 1, 2) = 'ab'"),
        (NAME.iendswith("AB"), "substr(lower(name), -2, 2) = 'ab'"),
        (NAME.contains(""), "name = name"),
        (NAME.in_([]), "0"),
        (NAME.is_null(), "name IS NULL"),
        (~(field("qty") == 1), "qty != 1"),
        (
            (field("qty") < 1) | (field("qty") >= 5) & (field("qty") <= 7),
            "qty < 1 OR qty >= 5 AND qty <= 7",
        ),
        (field("qty") > 1, "qty > 1"),
        (ALL, "1"),
    ],
    ids=str,
)
def test_sqlite_searches_by_functions_that_have_no_wildcards(
    where: Specification, text: str
) -> None:
    assert sql(where, "sqlite") == text


def test_nulls_are_ranked_where_there_can_be_any() -> None:
    orders = [Order("qty"), Order("qty", descending=True, nulls_first=True)]
    orders.append(Order("name", descending=True))

    terms = ordering(orders, columns_on(SQLITE), {"qty": True, "name": False})

    assert [str(term) for term in terms] == [
        "qty IS NULL ASC",
        "qty ASC",
        "qty IS NULL DESC",
        "qty DESC",
        "name DESC",
    ]


def test_what_is_no_specification_is_refused() -> None:
    where: Any = Table

    with pytest.raises(TypeError, match="not a specification"):
        condition(where, columns_on(SQLITE))


def test_many_parts_are_joined_in_groups() -> None:
    parts = [field("qty") == n for n in range(150)]

    text = sql(reduce(or_, parts), "sqlite")

    assert text.count("(") == 2
    assert text.startswith("(qty = 0 OR qty = 1 OR")
    assert text.endswith("OR qty = 149)")
