"""install alone changes no answer of a route that uses nothing of ours."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException as StarletteHTTPException

from layerkit import NotFoundError, ServiceFactory, ValidationError
from layerkit.fastapi import (
    ETag,
    Inject,
    Listing,
    app_exception_handler,
    install,
    listing,
    problems,
)
from tests.fastapi.conftest import Serve

PROBLEM = "application/problem+json"


class Book(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    pages: int = 1


class RefusedError(HTTPException):
    """An error of the application, without a handler."""


class TeapotError(Exception):
    """An error of the application, with a handler."""


def existing() -> FastAPI:
    """Return an application that knows nothing of layerkit."""
    app, router = FastAPI(), APIRouter(prefix="/shelves")

    @app.get("/books/{book_id}")
    async def read(book_id: int, limit: int = 10) -> int:
        return book_id + limit

    @app.post("/books/{book_id}", status_code=201)
    async def create(book_id: int, book: Book) -> Book:
        return book.model_copy(update={"pages": book_id})

    @router.put("/{shelf_id}")
    async def change(shelf_id: int, books: list[Book]) -> int:
        return shelf_id + len(books)

    @app.get("/raises/{name}")
    async def raises(name: str) -> None:
        headers = {"WWW-Authenticate": "Basic"}
        raise {
            "http": HTTPException(404, {"nobody": "here"}),
            "headers": HTTPException(401, "who?", headers),
            "refused": RefusedError(409),
            "teapot": TeapotError(),
        }[name]

    @app.exception_handler(TeapotError)
    async def teapot(_: Request, __: Exception) -> Response:
        return JSONResponse({"short": "stout"}, 418)

    app.include_router(router)
    return app


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/books/7?limit=3", {}),
    ("GET", "/books/x?limit=many", {}),
    ("POST", "/books/7", {"json": {"title": "a"}}),
    ("POST", "/books/7", {"json": {"pages": "many", "other": 1}}),
    ("POST", "/books/7", {"json": []}),
    ("POST", "/books/7", {"content": b"{", "headers": {"content-type": "text/json"}}),
    ("POST", "/books/7", {"content": b"{"}),
    ("POST", "/books/7", {"json": None}),
    (
        *("POST", "/books/7"),
        {"content": b"\xff", "headers": {"content-type": "application/json"}},
    ),
    ("PUT", "/shelves/1", {"json": [{"title": 1}]}),
    ("PUT", "/shelves/x", {"json": [{"title": "a"}]}),
    ("GET", "/raises/http", {}),
    ("GET", "/raises/headers", {}),
    ("GET", "/raises/refused", {}),
    ("GET", "/raises/teapot", {}),
    ("GET", "/nowhere", {}),
    ("DELETE", "/raises/http", {}),
    ("DELETE", "/shelves/1", {}),
    ("GET", "/books/7/", {}),
]


async def answers(serve: Serve, app: FastAPI) -> list[Any]:
    """Return all that clients get, but for the correlation id."""
    found = []
    async with serve(app) as client:
        for method, path, sent in REQUESTS:
            answer = await client.request(method, path, **sent)
            headers = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
            found.append((method, path, answer.status_code, headers, answer.content))
    return found


@pytest.mark.parametrize("factory", [None, ServiceFactory()])
async def test_all_answers_and_the_document_are_as_they_were(
    serve: Serve, factory: ServiceFactory | None, caplog: pytest.LogCaptureFixture
) -> None:
    app = existing()
    install(app, factory, health=None, ready=None)

    assert await answers(serve, app) == await answers(serve, existing())
    assert app.openapi() == existing().openapi()
    assert [r for r in caplog.records if r.name == "layerkit.fastapi"] == []


async def own(_: Request, __: Exception) -> Response:
    return JSONResponse({"own": True}, 400)


Answer = Callable[[Request, Any], Awaitable[Response]]


@pytest.mark.parametrize(
    ("kind", "handler"),
    [
        (RequestValidationError, own),
        (RequestValidationError, request_validation_exception_handler),
        (HTTPException, own),
        (StarletteHTTPException, own),
        (StarletteHTTPException, http_exception_handler),
    ],
    ids=["own", "fastapis", "http", "starlette", "starlettes"],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_handler_of_the_application_answers_as_it_did(
    serve: Serve, kind: type[Exception], handler: Answer, when: str
) -> None:
    app, before = existing(), existing()
    before.add_exception_handler(kind, handler)
    if when == "before":
        app.add_exception_handler(kind, handler)
    install(app, health=None, ready=None)
    if when == "after":
        app.add_exception_handler(kind, handler)

    assert await answers(serve, app) == await answers(serve, before)
    assert app.openapi() == before.openapi()


async def test_fastapis_function_registered_after_install_is_the_applications_choice(
    serve: Serve,
) -> None:
    app = FastAPI()
    install(app, ServiceFactory().scoped(Service))
    app.add_exception_handler(
        RequestValidationError,
        request_validation_exception_handler,  # type: ignore[arg-type] # as FastAPI documents it
    )
    app.get("/")(uses_inject)

    async with serve(app) as client:
        answer = await client.get("/?number=x")

    assert answer.json()["detail"][0]["input"] == "x"
    assert "HTTPValidationError" in app.openapi()["components"]["schemas"]


# Routes that use something of ours


class Service:
    pass


async def nested(service: Inject[Service]) -> Service:
    return service


async def uses_inject(number: int, service: Inject[Service]) -> None: ...


async def uses_nested(
    number: int, service: Annotated[Service, Depends(nested)]
) -> None: ...


async def uses_listing(
    number: int, asked: Annotated[Listing, Depends(listing())]
) -> None: ...


async def uses_etag(number: int, etag: ETag) -> None: ...


async def plain(number: int) -> None:
    raise HTTPException(409, f"no {number}")


@pytest.mark.parametrize(
    "endpoint", [uses_inject, uses_nested, uses_listing, uses_etag]
)
async def test_a_route_that_depends_on_ours_answers_problems(
    serve: Serve, endpoint: Any
) -> None:
    app = existing()
    app.get("/ours")(endpoint)
    install(app, ServiceFactory().scoped(Service))

    async with serve(app) as client:
        answer = await client.get("/ours?number=x")
        other = await client.get("/books/x")
    responses = app.openapi()["paths"]["/ours"]["get"]["responses"]

    assert answer.headers["content-type"] == PROBLEM
    assert other.headers["content-type"] == "application/json"
    assert set(responses["422"]["content"]) == {PROBLEM}


async def test_problems_in_responses_of_a_route_or_its_router_make_it_ours(
    serve: Serve,
) -> None:
    app, router = FastAPI(), APIRouter(responses=problems(ValidationError))
    inner, injected = APIRouter(), APIRouter(dependencies=[Depends(nested)])
    app.get("/route", responses=problems(NotFoundError))(plain)
    router.get("/router")(plain)
    inner.get("/included")(plain)
    injected.get("/injected")(plain)
    inner.get("/apart")(plain)
    app.include_router(router)
    app.include_router(inner, prefix="/ours", responses=problems(NotFoundError))
    app.include_router(injected)
    app.include_router(inner)
    install(app, ServiceFactory().scoped(Service))
    kinds = {}

    async with serve(app) as client:
        for path in ("/route", "/router", "/ours/included", "/injected", "/apart"):
            invalid = await client.get(path)
            conflict = await client.get(f"{path}?number=1")
            documented = app.openapi()["paths"][path]["get"]["responses"]["422"]
            assert set(documented["content"]) == {invalid.headers["content-type"]}
            assert conflict.status_code == 409
            kinds[path] = {
                invalid.headers["content-type"],
                conflict.headers["content-type"],
            }

    assert kinds.pop("/apart") == {"application/json"}
    assert all(kind == {PROBLEM} for kind in kinds.values())


async def test_problems_for_all_is_asked_for(serve: Serve) -> None:
    app = existing()
    install(app, validation="problem", health=None, ready=None)

    found = await answers(serve, app)

    failed = [answer for answer in found if answer[2] >= 400 and answer[2] != 418]
    assert {headers["content-type"] for *_, headers, _ in failed} == {PROBLEM}
    assert "HTTPValidationError" not in str(app.openapi())


async def test_a_renderer_answers_what_is_ours(serve: Serve) -> None:
    app = existing()
    app.get("/ours", responses=problems(ValidationError))(plain)
    install(app, renderer=app_exception_handler)

    async with serve(app) as client:
        ours = await client.get("/ours")
        other = await client.get("/books/x")

    assert set(ours.json()) == {"error", "detail", "timestamp", "path"}
    assert set(other.json()) == {"detail"}


async def test_an_app_exception_is_answered_on_every_route(serve: Serve) -> None:
    app = existing()
    install(app)

    @app.get("/gone")
    async def gone() -> None:
        raise NotFoundError(entity="Book", entity_id=7)

    async with serve(app) as client:
        answer = await client.get("/gone")

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


# 405


async def test_a_405_names_the_methods_of_all_routes_of_the_path(serve: Serve) -> None:
    app, router = existing(), APIRouter(prefix="/shelves")
    router.post("/{shelf_id}")(plain)
    router.patch("/{shelf_id}", responses=problems(NotFoundError))(plain)
    app.include_router(router)
    install(app)

    async with serve(app) as client:
        both = await client.delete("/books/7")
        included = await client.delete("/shelves/7")
        head = await client.head("/books/7")

    assert (both.status_code, both.headers["allow"]) == (405, "GET, POST")
    assert included.headers["allow"] == "PATCH, POST, PUT"
    assert head.headers["allow"] == "GET, POST"


async def test_a_405_of_the_route_itself_keeps_its_methods(serve: Serve) -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    @app.post("/", responses=problems(NotFoundError))
    async def read() -> None:
        raise HTTPException(405, "not now", headers={"Allow": "PUT"})

    async with serve(app) as client:
        answer = await client.get("/")
        ours = await client.post("/")

    assert answer.headers["allow"] == ours.headers["allow"] == "PUT"
    assert ours.json()["detail"] == "not now"
