"""What a client sends and what does not fit is its mistake; what code does is ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import Body, Cookie, Depends, FastAPI, Header, Request, WebSocket, params
from pydantic import BaseModel
from sqlalchemy import Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.datastructures import FormData

from layerkit import BaseService, MemoryDatabase, Repository, UsageError, field
from layerkit.core import AppException
from layerkit.fastapi import FilterBy, Listing, app_exception_handler, install, listing
from layerkit.fastapi.sent import unfit
from layerkit.sql import Database, UTCDateTime
from tests.fastapi.conftest import Connect, Serve

AWARE = "datetime with a time zone"


class Base(DeclarativeBase): ...


class Colour(Enum):
    RED = "red"


class Thing(Base):
    __tablename__ = "things"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    size: Mapped[int]
    price: Mapped[Decimal]
    weight: Mapped[float]
    seen: Mapped[datetime] = mapped_column(UTCDateTime)
    paid: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(0))


class Things(Repository[Thing, Any]): ...


class Service(BaseService[Thing, Any]): ...


@asynccontextmanager
async def sqlite() -> AsyncIterator[Database]:
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        yield database


@pytest.fixture(params=[MemoryDatabase, sqlite], ids=["memory", "sqlite"])
async def things(request: pytest.FixtureRequest) -> AsyncIterator[Things]:
    async with request.param() as home:
        yield Things(home)


class Wanted(BaseModel):
    ids: list[Any] = []
    deep: Any = None
    other: int = 0


WANTED = listing(
    filters={
        "seen": datetime,
        "since": FilterBy(datetime, lambda moment: field("seen") >= moment),
        "weight": float,
        "price": Decimal,
        "colour": FilterBy(Colour, lambda colour: field("size") == colour),
        "day": FilterBy(date, lambda day: field("seen") == day),
    },
    max_limit=10_000,
)


def application(things: Things) -> FastAPI:
    """Return an application that hands on what clients send as it is."""
    app = FastAPI()
    install(app)
    add_reads(app, things, Service(things))
    add_bodies(app, things)
    return app


def add_reads(app: FastAPI, things: Things, service: Service) -> None:
    @app.get("/all")
    async def get_all(skip: int = 0, limit: int = 100) -> list[str]:
        return [thing.name for thing in await things.get_all(skip, limit)]

    @app.get("/service")
    async def listed(first: int = 0, per_page: int = 100) -> int:
        return len(await service.list_entities(first, per_page))

    @app.get("/find")
    async def find(skip: int = 0, limit: int = 100) -> int:
        return len(await things.find(field("size") > 0, skip=skip, limit=limit))

    @app.get("/pages")
    async def pages(size: int = 50, offset: int | None = None) -> int:
        return len((await things.paginate(size=size, offset=offset)).items)

    @app.get("/one/{thing_id}")
    async def one(thing_id: str) -> bool:
        return await things.get_by_id(thing_id) is None

    @app.get("/listed")
    async def by_listing(wanted: Annotated[Listing, Depends(WANTED)]) -> int:
        return len(
            await things.find(wanted.where, skip=wanted.skip, limit=wanted.limit)
        )

    @app.get("/scoped")
    async def scoped(paid: Decimal) -> int:
        return await things.scoped(field("paid") == paid).count()

    @app.get("/mistake")
    async def mistake(skip: int = 0, limit: int = 0) -> int:
        return len(await things.get_all(skip, limit if skip else 20_000))


def add_bodies(app: FastAPI, things: Things) -> None:
    @app.get("/header")
    async def header(
        x_limit: Annotated[int, Header()] = 1, limit: Annotated[int, Cookie()] = 1
    ) -> int:
        return len(await things.get_all(0, x_limit if x_limit != 1 else limit))

    @app.post("/many")
    async def many(wanted: Wanted) -> int:
        return len(await things.get_many(wanted.ids))

    @app.post("/deep")
    async def deep(wanted: Wanted) -> int:
        return len(await things.get_all(0, wanted.other or 20_000))

    @app.post("/bytes")
    async def raw(body: Annotated[bytes, Body()]) -> int:
        return len(await things.get_all(0, len(body)))


def blamed(answer: Any) -> dict[str, str]:
    """Return the one error of an answer that blames the client."""
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
    [found] = answer.json()["context"]["errors"]
    assert found.pop("code") == "unfit_value"
    error: dict[str, str] = found
    return error


@pytest.mark.parametrize(
    ("url", "place", "expected"),
    [
        ("/all?limit=0", "query limit", "1 to 10,000"),
        ("/all?limit=20000", "query limit", "1 to 10,000"),
        ("/all?limit=-1", "query limit", "1 to 10,000"),
        ("/all?skip=-1", "query skip", "0 or more"),
        (f"/all?skip={10**30}", "query skip", f"0 to {10**18:,}"),
        ("/service?per_page=0", "query per_page", "1 to 10,000"),
        ("/service?first=-5", "query first", "0 or more"),
        ("/find?limit=10001", "query limit", "1 to 10,000"),
        ("/pages?size=10000", "query size", "1 to 9,999"),
        ("/pages?offset=-1", "query offset", "0 or more"),
        ("/one/x", "path thing_id", "UUID"),
        ("/listed?seen=2026-01-01T00:00:00", "query seen", AWARE),
        ("/listed?since=2026-01-01", "query since", AWARE),
        ("/listed?day=2026-01-01", "query day", AWARE),
        ("/listed?weight=inf", "query weight", "finite float"),
        ("/listed?weight=nan", "query weight", "finite float"),
        ("/listed?colour=red", "query colour", "int"),
        ("/scoped?paid=0.005", "query paid", "a value that paid holds unchanged"),
    ],
)
async def test_a_value_of_a_client_that_does_not_fit_is_a_422(
    serve: Serve, things: Things, url: str, place: str, expected: str
) -> None:
    async with serve(application(things)) as client:
        answer = await client.get(url)

    where, _, name = place.partition(" ")
    sentence = f"Input should be {expected}"
    assert blamed(answer) == {"in": where, "name": name, "detail": sentence}


async def test_a_value_that_does_not_fit_is_logged_by_its_place(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(application(Things(MemoryDatabase()))) as client:
        await client.get("/one/hunter2")
        await client.post("/many", json={"ids": ["hunter2"]})

    found = [r.getMessage() for r in caplog.records if r.name == "layerkit.fastapi"]
    assert [text.partition("valid: ")[2].strip() for text in found] == [
        "path thing_id: Input should be UUID",
        "body: Input should be UUID",
    ]
    assert "hunter2" not in found[1]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/all?limit=10000", 200),
        ("/all?skip=5&limit=1", 200),
        ("/listed?seen=2026-01-01T00:00:00Z", 200),
        ("/listed?price=1.5&weight=2", 200),
    ],
)
async def test_what_fits_is_answered(
    serve: Serve, things: Things, url: str, status: int
) -> None:
    async with serve(application(things)) as client:
        answer = await client.get(url)

    assert answer.status_code == status


@pytest.mark.parametrize("url", ["/mistake?limit=1", "/mistake", "/mistake?skip=3"])
async def test_a_mistake_in_code_stays_a_500(
    serve: Serve, things: Things, url: str
) -> None:
    async with serve(application(things)) as client:
        answer = await client.get(url)  # a default is no value of a client

    assert (answer.status_code, answer.json()["code"]) == (500, "USAGE_ERROR")


async def test_declared_headers_and_cookies_are_sent_by_clients(
    serve: Serve, things: Things
) -> None:
    async with serve(application(things)) as client:
        header = await client.get("/header", headers={"X-Limit": "0"})
        cookie = await client.get("/header", headers={"Cookie": "limit=0"})
        others = {"X-Other": "20000", "Cookie": "other=20000"}
        other = await client.get("/mistake", headers=others)

    assert blamed(header)["name"] == "x-limit"
    assert blamed(cookie)["in"] == "cookie"
    assert other.status_code == 500


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/many", {"ids": [str(UUID(int=1)), "x"]}, "#/ids/0"),
        ("/many", {"ids": [7]}, "#/ids/0"),
        ("/deep", {"other": -1}, "#/other"),
        ("/deep", {"deep": {"a/b": [{"~": "20000"}]}}, "#/deep/a~1b/0/~0"),
    ],
)
async def test_a_value_in_a_body_is_pointed_at(
    serve: Serve, things: Things, path: str, body: Any, pointer: str
) -> None:
    async with serve(application(things)) as client:
        answer = await client.post(path, json=body)

    assert blamed(answer)["pointer"] == pointer


async def test_a_value_in_a_form_is_pointed_at() -> None:
    # As FastAPI leaves it: it parses forms by a package that the suite does without.
    form_field = SimpleNamespace(field_info=params.Form())
    scope = {"type": "http", "query_string": b"", "headers": [], "path_params": {}}
    scope["route"] = SimpleNamespace(body_field=form_field)
    request = Request(scope)
    request._form = FormData([("name", "a"), ("limit", "1"), ("limit", "0")])

    found = await unfit(request, UsageError("no", value=0, expected="1 or more"))

    assert found is not None
    assert found.detail["errors"][0]["pointer"] == "#/limit/1"


async def test_a_body_of_plain_bytes_holds_no_values(
    serve: Serve, things: Things
) -> None:
    async with serve(application(things)) as client:
        plain = {"content-type": "application/octet-stream"}
        body = b"x" * 20_000
        answer = await client.post("/bytes", content=body, headers=plain)

    # A length is worked out, and so it is the code's.
    assert (answer.status_code, answer.json()["code"]) == (500, "USAGE_ERROR")


async def test_a_deep_body_is_looked_through(serve: Serve, things: Things) -> None:
    body = b'{"other": 20000, "deep": ' + b"[" * 300 + b"1" + b"]" * 300 + b"}"
    async with serve(application(things)) as client:
        answer = await client.post(
            "/deep", content=body, headers={"content-type": "application/json"}
        )

    assert blamed(answer)["pointer"] == "#/other"


async def test_the_textbooks_handler_alone_blames_the_client_too(
    serve: Serve, things: Things
) -> None:
    app = FastAPI()
    app.add_exception_handler(AppException, app_exception_handler)

    @app.get("/")
    async def read(limit: int = 0) -> int:
        return len(await things.get_all(0, limit))

    async with serve(app) as client:
        sent = await client.get("/?limit=0")
        default = await client.get("/")

    assert sent.status_code == 422
    assert sent.json()["detail"]["errors"][0]["name"] == "limit"
    assert default.status_code == 500


async def test_a_websocket_is_closed_as_the_fault_of_client_or_code(
    serve: Serve, connect: Connect, things: Things
) -> None:
    app = FastAPI()
    install(app)

    @app.websocket("/{limit}")
    async def live(websocket: WebSocket, limit: int) -> None:
        await websocket.send_json(len(await things.get_all(0, min(limit, -1))))

    closed = []
    async with serve(app):
        for path in ("/-1", "/0"):
            async with connect(app, path) as socket:
                closed.append((socket.handshake["code"], socket.handshake["reason"]))

    assert closed == [(1008, "VALIDATION_ERROR"), (1011, "USAGE_ERROR")]


class Odd:
    """A class that nothing in a request is read as."""


@pytest.mark.parametrize(
    "error",
    [
        UsageError("a mistake"),
        UsageError("a mistake", value=Odd(), expected="even"),
        UsageError("a mistake", value=object(), expected="else"),
        UsageError("a mistake", value=None, expected="something"),
    ],
)
async def test_what_no_request_holds_is_a_mistake_in_code(
    serve: Serve, error: UsageError
) -> None:
    app = FastAPI()
    install(app)

    @app.post("/")
    async def read(body: Annotated[Any, Body()]) -> None:
        assert body == [None, "a"]
        raise error

    async with serve(app) as client:
        answer = await client.post("/?a=1", json=[None, "a"])

    assert (answer.status_code, answer.json()["code"]) == (500, "USAGE_ERROR")


async def test_a_moment_without_a_zone_has_one_answer_in_memory(serve: Serve) -> None:
    @dataclass
    class Seen:
        id: int
        at: datetime

    seen = Repository[Seen, int](MemoryDatabase(), Seen)
    await seen.create(Seen(1, datetime(2026, 1, 1, tzinfo=UTC)))
    app = FastAPI()
    install(app)

    since = FilterBy(datetime, lambda moment: field("at") >= moment)
    asked = listing(filters={"at": datetime, "since": since})

    @app.get("/")
    async def read(wanted: Annotated[Listing, Depends(asked)]) -> int:
        return len(await seen.find(wanted.where))

    async with serve(app) as client:
        same = await client.get("/?at=2026-01-01T00:00:00")
        later = await client.get("/?since=2026-01-01T00:00:00")
        aware = await client.get("/?since=2026-01-01T00:00:00Z")

    assert blamed(same)["name"] == "at"
    assert blamed(later)["name"] == "since"
    assert aware.json() == 1
