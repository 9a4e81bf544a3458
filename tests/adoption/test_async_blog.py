"""An asynchronous blog on SQLAlchemy 2.0: the same tests before and after."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response

from tests.adoption.async_blog.after.main import create_app as blog_after
from tests.adoption.async_blog.before.main import create_app as blog_before
from tests.adoption.clients import Watched, calling, count
from tests.support.databases import fresh_database

pytestmark = pytest.mark.unmeasured

BLOGS = {"before": blog_before, "after": blog_after}
ACME, GLOBEX = {"X-Tenant": "acme"}, {"X-Tenant": "globex"}
TOGETHER = 8


@pytest.fixture(params=["aiosqlite", "asyncpg"])
def blog_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, for SQLAlchemy."""
    if request.param == "aiosqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'blog.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture(params=BLOGS)
def blog(request: pytest.FixtureRequest, blog_url: str) -> FastAPI:
    return BLOGS[request.param](blog_url)


@pytest.fixture
async def client(blog: FastAPI) -> AsyncIterator[AsyncClient]:
    async with calling(blog) as opened:
        opened.headers.update(ACME)
        yield opened


async def author(client: AsyncClient, email: str = "ada@x.org", **headers: str) -> int:
    sent = {"email": email, "name": "Ada"}
    answer = await client.post("/authors", json=sent, headers=headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def post(
    client: AsyncClient, author_id: int, title: str = "First", *tags: str
) -> Any:
    sent = {"author_id": author_id, "title": title, "body": "text", "tags": tags}
    answer = await client.post("/posts", json=sent)
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer: Response, status: int, detail: str) -> bool:
    """Tell whether *answer* is a refusal in FastAPI's own form."""
    return (answer.status_code, answer.json()) == (status, {"detail": detail})


# Authors


async def test_an_author_is_stored_and_read_with_the_number_of_posts(
    client: AsyncClient,
) -> None:
    ada = await author(client)
    await post(client, ada, "One")
    await post(client, ada, "Two")
    await client.delete("/posts/two")

    read = await client.get(f"/authors/{ada}")

    assert read.json() == {"id": ada, "email": "ada@x.org", "name": "Ada", "posts": 1}


async def test_an_email_is_taken_once_in_each_tenant(client: AsyncClient) -> None:
    ada = await author(client)

    again = await client.post("/authors", json={"email": "ada@x.org", "name": "Eve"})
    elsewhere = await author(client, **GLOBEX)

    assert refused(again, 409, "this email is taken")
    assert elsewhere != ada


async def test_an_author_goes_with_posts_and_comments(
    client: AsyncClient, blog_url: str
) -> None:
    ada, eve = await author(client), await author(client, "eve@x.org")
    for writer, title in ((ada, "One"), (ada, "Two"), (eve, "Three")):
        await post(client, writer, title, "tag")
    for slug in ("one", "three"):
        await client.post(f"/posts/{slug}/comments", json={"text": "nice"})
    await client.delete("/posts/two")

    answer = await client.delete(f"/authors/{ada}")
    again = await client.delete(f"/authors/{ada}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert refused(again, 404, "there is no such author")
    tables = ("authors", "posts", "comments", "post_tags", "tags")
    assert [count(blog_url, table) for table in tables] == [1] * 5


# Posts


async def test_a_post_is_stored_and_read_with_its_tags(client: AsyncClient) -> None:
    ada = await author(client)
    await post(client, ada, "Zero", "b")

    made = await post(client, ada, "Hello, World!", "b", "a", "b")
    read = await client.get("/posts/hello-world")

    assert made == read.json()
    assert made.pop("created_at")
    assert made == {
        "slug": "hello-world",
        "author_id": ada,
        "title": "Hello, World!",
        "body": "text",
        "likes": 0,
        "tags": ["a", "b"],
    }


async def test_a_slug_is_taken_once_and_a_refused_post_leaves_nothing(
    client: AsyncClient, blog_url: str
) -> None:
    ada = await author(client)
    await post(client, ada)
    sent = {"author_id": ada, "title": "FIRST", "body": "", "tags": ["new"]}

    taken = await client.post("/posts", json=sent)
    unknown = await client.post("/posts", json=sent | {"author_id": 7, "title": "x"})

    assert refused(taken, 409, "this slug is taken")
    assert refused(unknown, 404, "there is no such author")
    assert [count(blog_url, table) for table in ("posts", "tags")] == [1, 0]


async def test_posts_come_in_pages_the_liked_ones_first(client: AsyncClient) -> None:
    ada, eve = await author(client), await author(client, "eve@x.org")
    for writer, title in ((ada, "One"), (ada, "Two"), (eve, "Three"), (ada, "Four")):
        await post(client, writer, title, "tag")
    await client.post("/posts/two/like")

    first = (await client.get("/posts?size=2")).json()
    second = (await client.get("/posts?size=2&page=2")).json()
    hers = (await client.get(f"/posts?author_id={eve}")).json()
    found = (await client.get("/posts?q=FO")).json()
    wild = (await client.get("/posts?q=%25")).json()

    assert [p["slug"] for p in first["items"]] == ["two", "one"]
    assert [p["slug"] for p in second["items"]] == ["three", "four"]
    assert (first["page"], second["page"], second["total"]) == (1, 2, 4)
    assert [p["slug"] for p in hers["items"]] == ["three"]
    assert [p["slug"] for p in found["items"]] == ["four"]
    assert found["items"][0]["tags"] == ["tag"]
    assert (wild["items"], wild["total"]) == ([], 0)


async def test_a_post_is_changed_and_liked(client: AsyncClient) -> None:
    made = await post(client, await author(client), "First", "tag")

    changed = await client.patch("/posts/first", json={"body": "new"})
    await client.post("/posts/first/like")
    liked = await client.post("/posts/first/like")

    assert changed.json() == made | {"body": "new"}
    assert liked.json() == made | {"body": "new", "likes": 2}


async def test_a_hidden_post_is_nowhere_until_it_is_restored(
    client: AsyncClient, blog_url: str
) -> None:
    made = await post(client, await author(client), "First", "tag")
    await client.post("/posts/first/comments", json={"text": "nice"})

    early = await client.post("/posts/first/restore")
    hidden = await client.delete("/posts/first")
    answers = [
        await client.get("/posts/first"),
        await client.patch("/posts/first", json={"body": "x"}),
        await client.post("/posts/first/like"),
        await client.delete("/posts/first"),
        await client.get("/posts/first/comments"),
    ]
    listed = (await client.get("/posts")).json()
    figures = [(await client.get(p)).json() for p in ("/posts/by-author", "/tags")]
    kept = count(blog_url, "posts")
    restored = await client.post("/posts/first/restore")
    comments = await client.get("/posts/first/comments")

    assert hidden.status_code == 204
    assert all(refused(a, 404, "there is no such post") for a in (early, *answers))
    assert (listed["items"], listed["total"], figures, kept) == ([], 0, [[], []], 1)
    assert restored.json() == made
    assert [c["text"] for c in comments.json()] == ["nice"]


async def test_figures_are_counted_for_authors_and_tags(client: AsyncClient) -> None:
    ada, eve = await author(client), await author(client, "eve@x.org")
    await post(client, ada, "One", "a", "b")
    await post(client, ada, "Two", "b")
    await post(client, eve, "Three")
    await client.post("/posts/two/like")

    authors = (await client.get("/posts/by-author")).json()
    tags = (await client.get("/tags")).json()

    assert authors == [
        {"author_id": ada, "posts": 2, "likes": 1},
        {"author_id": eve, "posts": 1, "likes": 0},
    ]
    assert tags == [{"tag": "a", "posts": 1}, {"tag": "b", "posts": 2}]


# Tenants


async def test_a_tenant_sees_nothing_of_another(client: AsyncClient) -> None:
    ada = await author(client)
    await post(client, ada, "First", "tag")
    sent = {"author_id": ada, "title": "theirs", "body": ""}

    client.headers.update(GLOBEX)
    answers = [
        await client.get(f"/authors/{ada}"),
        await client.delete(f"/authors/{ada}"),
        await client.post("/posts", json=sent),
        await client.get("/posts/first"),
        await client.patch("/posts/first", json={"body": "x"}),
        await client.post("/posts/first/like"),
        await client.delete("/posts/first"),
        await client.post("/posts/first/comments", json={"text": "x"}),
    ]
    lists = [(await client.get(p)).json() for p in ("/posts/by-author", "/tags")]
    listed = (await client.get("/posts")).json()
    same = await post(client, await author(client), "First", "tag")
    client.headers.update(ACME)
    own = (await client.get("/posts/first")).json()

    assert {answer.status_code for answer in answers} == {404}
    assert (lists, listed["total"]) == ([[], []], 0)
    assert own["author_id"] == ada != same["author_id"]


async def test_a_tenant_is_asked_for(client: AsyncClient) -> None:
    for path in ("/authors/1", "/posts", "/posts/x/comments"):
        unknown = await client.get(path, headers={"X-Tenant": "umbrella"})
        del client.headers["X-Tenant"]
        missing = await client.get(path)
        client.headers.update(ACME)

        assert refused(unknown, 401, "unknown tenant")
        assert missing.status_code == 422
        assert missing.json()["detail"][0]["loc"] == ["header", "x-tenant"]


# What the application promises around its routes

INVALID: list[tuple[str, str, Any]] = [
    ("POST", "/authors", {"email": "nobody", "name": "x"}),
    ("GET", "/authors/x", None),
    ("POST", "/posts", {"author_id": 1, "title": "", "body": "x"}),
    ("POST", "/posts", []),
    ("GET", "/posts?size=51&page=0", None),
    ("PATCH", "/posts/first", {}),
    ("POST", "/posts/first/comments", {"text": ""}),
]


async def test_invalid_input_is_answered_to_the_letter_as_before(blog_url: str) -> None:
    answers = []
    for make in BLOGS.values():
        async with calling(make(blog_url)) as client:
            client.headers.update(ACME)
            sent = [await client.request(m, p, json=body) for m, p, body in INVALID]
            answers.append([(a.status_code, a.content) for a in sent])

    before, after = answers
    assert {status for status, _ in before} == {422}
    assert after == before


async def test_what_was_stored_is_there_before_the_answer_is_sent(
    blog: FastAPI, blog_url: str
) -> None:
    watched = Watched(
        blog, lambda: count(blog_url, "authors") + count(blog_url, "posts")
    )
    async with watched.calling() as client:
        client.headers.update(ACME)
        ada = await author(client)
        await post(client, ada)
        await client.post(
            "/posts", json={"author_id": ada, "title": "first", "body": ""}
        )
        await client.delete(f"/authors/{ada}")

    assert watched.seen == [(201, 1), (201, 2), (409, 2), (204, 0)]


async def test_another_client_reads_it_right_after_the_answer(blog: FastAPI) -> None:
    async with (
        calling(blog) as one,
        AsyncClient(base_url=one.base_url, headers=ACME) as other,
    ):
        one.headers.update(ACME)
        ada = await author(one)
        for number in range(20):
            made = await post(one, ada, f"number {number}")
            read = await other.get(f"/posts/{made['slug']}")
            assert read.json() == made


def test_the_openapi_document_differs_in_one_answer(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'blog.db'}"
    before, after = (make(url).openapi() for make in BLOGS.values())

    added = after["paths"]["/authors"]["post"]["responses"].pop("400")

    assert added["description"] == "Bad Request"  # a body that can't be read
    assert after == before


# What the move has mended: these hold after it, and did not before


async def test_likes_at_once_are_all_counted_after_the_move(postgres_url: str) -> None:
    async with calling(BLOGS["after"](postgres_url)) as client:
        client.headers.update(ACME)
        await post(client, await author(client))
        await asyncio.gather(
            *(client.post("/posts/first/like") for _ in range(TOGETHER))
        )
        last = await client.post("/posts/first/like")

    assert last.json()["likes"] == TOGETHER + 1


async def test_an_unknown_error_is_answered_in_fastapis_form_after_the_move(
    tmp_path: Path,
) -> None:
    blog = BLOGS["after"](f"sqlite+aiosqlite:///{tmp_path / 'blog.db'}")

    @blog.get("/fails")
    async def fails() -> None:
        raise RuntimeError("hunter2")

    async with calling(blog) as client:
        answer = await client.get("/fails")

    assert refused(answer, 500, "Internal server error")
    assert len(answer.headers["x-request-id"]) == 32
