"""No request, whatever is in it, is answered as a fault of the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import (
    BaseService,
    CreateSchema,
    MemoryDatabase,
    Repository,
    ServiceFactory,
    field,
)
from layerkit.fastapi import ETag, FilterBy, IfMatch, Inject, Listing, install, listing
from layerkit.sql import Database, UTCDateTime
from tests.support.profiles import examples

pytestmark = pytest.mark.unmeasured

EXAMPLES = examples(150, full=400)


class Base(DeclarativeBase): ...


class Thing(Base):
    __tablename__ = "anythings"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    weight: Mapped[float]
    seen: Mapped[datetime] = mapped_column(UTCDateTime)


class Things(Repository[Thing, Any]): ...


class Service(BaseService[Thing, Any]):
    def __init__(self, things: Things) -> None:
        super().__init__(things)


class ThingIn(CreateSchema):
    id: UUID
    name: str
    weight: float
    seen: datetime


WANTED = listing(
    sort=("name", "weight", "seen"),
    filters={
        "name": FilterBy(str, field("name").icontains),
        "weight": float,
        "seen": datetime,
        "since": FilterBy(datetime, lambda moment: field("seen") >= moment),
    },
)


def application(things: Things) -> FastAPI:
    app = FastAPI()
    install(app, ServiceFactory().value(things).scoped(Service))

    @app.get("/things")
    async def read(wanted: Annotated[Listing, Depends(WANTED)]) -> int:
        page = await things.paginate(
            wanted.where,
            order_by=wanted.order_by,
            size=wanted.limit,
            offset=wanted.offset,
            cursor=wanted.cursor,
        )
        return len(page.items)

    @app.get("/all")
    async def get_all(service: Inject[Service], skip: int = 0, limit: int = 100) -> int:
        return len(await service.list_entities(skip, limit))

    @app.get("/things/{thing_id}")
    async def one(thing_id: str, etag: ETag) -> bool:
        etag.send(1)
        return await things.get_by_id(thing_id) is None

    @app.post("/things")
    async def create(body: ThingIn, service: Inject[Service]) -> str:
        return (await service.create_entity(body)).name

    @app.patch("/things/{thing_id}")
    async def change(
        thing_id: UUID, body: dict[str, Any], if_match: IfMatch, etag: ETag
    ) -> bool:
        assert etag.known.tags is None
        assert if_match.version is None or if_match.version >= 0
        return await things.update(thing_id, body) is None

    return app


NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["0", "-1", "20000", str(2**63), str(10**30), "1e9", "nan", "inf"]),
)
MOMENTS = st.sampled_from(
    ["2026-01-01T00:00:00", "2026-01-01", "0001-01-01T00:00:00+14:00", "9" * 12]
)
TEXTS = st.one_of(
    NUMBERS,
    MOMENTS,
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["name", "-name,name,seen", "x" * 2_000, str(UUID(int=1)), "%"]),
)
JSON = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
        *(st.just("\ud800"), st.just("a\0b")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = ("skip", "limit", "cursor", "sort", "name", "weight", "seen", "since")
TAGS = st.sampled_from(['"7"', "W/", '"', "*", "a,b", '"-1"', '"é"', '"1","2"'])


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """Return a method, a path and what is sent."""
    query = draw(st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=4))
    headers = {
        name: draw(TAGS).encode("latin-1")
        for name in draw(st.sets(st.sampled_from(["If-Match", "If-None-Match"])))
    }
    sent: dict[str, Any] = {"params": query, "headers": headers}
    path = draw(st.sampled_from(["/things", "/all", "/things/"]))
    if path.endswith("/"):
        path += quote(draw(TEXTS).replace(".", "") or "x", safe="", errors="replace")
    if path == "/all" or draw(st.booleans()):
        return "GET", path, sent
    fields = dict.fromkeys(("id", "name", "weight", "seen", "other"), JSON)
    body = draw(st.one_of(JSON, st.fixed_dictionaries({}, optional=fields)))
    method = "POST" if path == "/things" else draw(st.sampled_from(["PATCH", "PUT"]))
    headers["Content-Type"] = b"application/json"
    # Python's JSON: with NaN, which its parser takes, and lone surrogates.
    return method, path, sent | {"content": json.dumps(body).encode()}


@asynccontextmanager
async def serving(home: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with home:
        if isinstance(home, Database):
            await home.create_all(Base.metadata)
        app = application(Things(home))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            yield client


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def served(
    request: pytest.FixtureRequest,
) -> Iterator[tuple[asyncio.Runner, httpx.AsyncClient]]:
    with asyncio.Runner() as runner:
        home = MemoryDatabase() if request.param == "memory" else Database("sqlite://")
        stack = serving(home)
        yield runner, runner.run(stack.__aenter__())
        runner.run(stack.__aexit__(None, None, None))


@pytest.mark.timeout(300)  # hundreds of requests
def test_no_request_is_a_fault_of_the_server(
    served: tuple[asyncio.Runner, httpx.AsyncClient],
) -> None:
    runner, client = served

    async def ask(method: str, path: str, sent: dict[str, Any]) -> httpx.Response:
        return await client.request(method, path, **sent)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def check(request: tuple[str, str, dict[str, Any]]) -> None:
        answer = runner.run(ask(*request))

        assert answer.status_code < 500, answer.text

    check()
