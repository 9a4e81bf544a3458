"""Lists: what a client may ask for, and nothing else."""

from datetime import date
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from layerkit.core import UsageError
from layerkit.fastapi import FilterBy, Listing, PageOut, install, listing
from layerkit.repository import ALL, MemoryDatabase, Page, Repository, field
from tests.fastapi.conftest import Serve

USERS = listing(
    sort=("name", "born"),
    filters={
        "name": str,
        "active": bool,
        "born_after": FilterBy(date, lambda day: field("born") > day),
    },
    limit=2,
    max_limit=20,
)


async def listing_of(serve: Serve, query: str) -> Any:
    seen: list[Listing] = []
    app = FastAPI()
    install(app)

    @app.get("/")
    async def read(asked: Annotated[Listing, Depends(USERS)]) -> None:
        seen.append(asked)

    async with serve(app) as client:
        answer = await client.get(f"/?{query}")
    return seen[0] if seen else answer.json()


async def test_nothing_asked_for_is_the_first_page_of_everything(serve: Serve) -> None:
    assert await listing_of(serve, "") == Listing(ALL, (), 0, 2)


async def test_skip_and_limit_choose_the_page(serve: Serve) -> None:
    assert await listing_of(serve, "skip=4&limit=20") == Listing(ALL, (), 4, 20)


async def test_sort_is_a_list_of_fields_with_a_minus_for_descending(
    serve: Serve,
) -> None:
    asked = await listing_of(serve, "sort=-born, name,")

    assert asked.order_by == (field("born").desc(), field("name").asc())


async def test_a_field_is_sorted_by_once(serve: Serve) -> None:
    asked = await listing_of(serve, f"sort={'name,-born,-name,' * 500}")

    assert asked.order_by == (field("name").asc(), field("born").desc())


async def test_filters_are_typed_and_joined_by_and(serve: Serve) -> None:
    asked = await listing_of(serve, "active=1&name=Ada&born_after=1815-12-10")

    assert asked.where == (
        (field("name") == "Ada")
        & (field("active") == True)  # noqa: E712 - a specification
        & (field("born") > date(1815, 12, 10))
    )


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("skip=-1", "skip"),
        (f"skip={2**31}", "skip"),
        ("limit=0", "limit"),
        ("limit=21", "limit"),
        ("active=x", "active"),
    ],
)
async def test_values_out_of_bounds_are_refused(
    serve: Serve, query: str, name: str
) -> None:
    answer = await listing_of(serve, query)

    assert answer["status"] == 422
    assert answer["context"]["errors"][0]["name"] == name


async def test_sorting_by_what_is_not_allowed_is_refused_without_an_echo(
    serve: Serve,
) -> None:
    answer = await listing_of(serve, "sort=password")

    assert answer["status"] == 422
    assert answer["detail"] == "sort takes name, born; a leading - is descending"
    assert answer["context"] == {"fields": ["sort"]}


async def test_filtering_by_what_is_not_allowed_does_nothing(serve: Serve) -> None:
    assert (await listing_of(serve, "password=x")).where == ALL


async def test_the_parameters_are_in_the_openapi_document() -> None:
    app = FastAPI()

    @app.get("/")
    async def read(asked: Annotated[Listing, Depends(USERS)]) -> None: ...

    @app.get("/plain")
    async def plain(asked: Annotated[Listing, Depends(listing())]) -> None: ...

    paths = app.openapi()["paths"]
    names = {
        path: [p["name"] for p in paths[path]["get"]["parameters"]] for path in paths
    }

    assert names == {
        "/": ["skip", "limit", "cursor", "name", "active", "born_after", "sort"],
        "/plain": ["skip", "limit", "cursor"],
    }


@pytest.mark.parametrize(("limit", "max_limit"), [(0, 10), (11, 10), (1, 10_001)])
def test_limits_out_of_bounds_are_refused_at_definition(
    limit: int, max_limit: int
) -> None:
    with pytest.raises(UsageError, match="1 <= limit <= max_limit <= 10000"):
        listing(limit=limit, max_limit=max_limit)


def test_a_filter_may_not_take_a_name_of_ours() -> None:
    with pytest.raises(UsageError, match="can't be called limit, sort"):
        listing(filters={"sort": str, "limit": int})


class Person(BaseModel):
    id: int
    name: str
    password: str = "hidden"


class PersonOut(BaseModel):
    id: int
    name: str

    model_config = {"from_attributes": True}


class People(Repository[Person, int]):
    pass


async def test_a_listing_goes_into_paginate_and_comes_out_as_a_page(
    serve: Serve,
) -> None:
    people = People(MemoryDatabase())
    for number, name in enumerate(["Ada", "Bob", "Cy"], 1):
        await people.create(Person(id=number, name=name))
    app = FastAPI()

    @app.get("/")
    async def read(asked: Annotated[Listing, Depends(USERS)]) -> PageOut[PersonOut]:
        page = await people.paginate(
            asked.where,
            order_by=asked.order_by,
            size=asked.limit,
            offset=asked.offset,
            cursor=asked.cursor,
            total="exact",
        )
        return PageOut[PersonOut].model_validate(page)

    async with serve(app) as client:
        first = (await client.get("/?sort=-name")).json()
        query = {"sort": "-name", "cursor": first["next_cursor"]}
        second = (await client.get("/", params=query)).json()
        by_skip = (await client.get("/?sort=-name&skip=2")).json()

    cy, bob, ada = (
        {"id": n, "name": name} for n, name in ((3, "Cy"), (2, "Bob"), (1, "Ada"))
    )
    assert (first["items"], first["total"], first["has_next"]) == ([cy, bob], 3, True)
    assert (second["items"], second["next_cursor"]) == ([ada], None)
    assert second["previous_cursor"] is not None
    assert (by_skip["items"], by_skip["previous_cursor"]) == ([ada], None)


async def test_a_page_begins_at_one_place(serve: Serve) -> None:
    refused = await listing_of(serve, "skip=2&cursor=x")

    assert refused["status"] == 422
    assert "not at both" in str(refused)


def test_a_page_without_a_total_says_null() -> None:
    page = PageOut[PersonOut].model_validate(Page(items=[]))

    assert page.model_dump() == {
        "items": [],
        "total": None,
        "has_next": False,
        "next_cursor": None,
        "previous_cursor": None,
    }
