"""Error answers in the OpenAPI document."""

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.openapi.models import OpenAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from layerkit.core import (
    AlreadyExistsError,
    AppException,
    BusinessRuleError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    UsageError,
    ValidationError,
)
from layerkit.factory import ServiceFactory
from layerkit.fastapi import (
    ETag,
    IfMatch,
    IfMatchRequired,
    Inject,
    app_exception_handler,
    install,
    problems,
)
from tests.fastapi.conftest import Serve

PROBLEM = "application/problem+json"


def assert_valid(document: dict[str, Any]) -> None:
    """Check the form of the document, and that what it refers to is there."""
    OpenAPI.model_validate(document)
    schemas = document.get("components", {}).get("schemas", {})
    refs = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(document)))
    assert refs <= {f"#/components/schemas/{name}" for name in schemas}
    named = {ref.rsplit("/", 1)[1] for ref in refs}
    assert schemas.keys() <= named  # nothing is left over


def test_each_status_has_an_entry_with_the_codes_of_its_classes() -> None:
    app = FastAPI()

    @app.post("/", responses=problems(ConflictError, AlreadyExistsError, NotFoundError))
    async def create() -> None: ...

    responses = app.openapi()["paths"]["/"]["post"]["responses"]
    conflict = responses["409"]

    assert set(responses) == {"200", "404", "409"}
    assert conflict["description"] == "Conflict · Already exists"
    schema = conflict["content"]["application/problem+json"]["schema"]
    assert schema["properties"]["code"]["enum"] == ["CONFLICT", "ALREADY_EXISTS"]


def test_a_validation_error_takes_the_place_of_fastapis_own() -> None:
    app = FastAPI()

    @app.post("/", responses=problems(ValidationError))
    async def create(number: int) -> None: ...

    content = app.openapi()["paths"]["/"]["post"]["responses"]["422"]["content"]

    assert list(content) == ["application/problem+json"]


class TeapotError(AppException):
    """Take arguments of any kind, and say the status by itself."""

    def __init__(self, pot: str, /, size: int, *, lid: list[str], lost: UUID) -> None:
        super().__init__(f"{pot}{size + 1}{lid}{lost}", 418)


class OutOfStockError(BusinessRuleError):
    """Mind what it is made from."""

    def __init__(self, item: str) -> None:
        super().__init__(f"no {item[0]}")


def test_classes_with_constructors_of_their_own_are_documented() -> None:
    found = problems(TeapotError, OutOfStockError, AppException, UnavailableError)

    assert set(found) == {418, 409, 500, 503}


@pytest.mark.parametrize("base", [AppException, NotFoundError])
def test_a_class_that_makes_no_error_of_ours_is_refused(
    base: type[AppException],
) -> None:
    class Bare(base):  # type: ignore[misc, valid-type] # mypy knows no base that a parameter gives
        def __init__(self) -> None: ...

    with pytest.raises(UsageError, match=r"Bare has no .* super\(\).__init__\(message"):
        problems(Bare)


def test_a_class_may_have_its_status_itself() -> None:
    class Gone(AppException):
        status_code = 410

        def __init__(self) -> None: ...

    assert set(problems(Gone)) == {410}


def test_a_class_of_unknown_status_is_refused() -> None:
    class Odd(AppException):
        def __init__(self, item: str) -> None:
            super().__init__(f"no {item[0]}")

    with pytest.raises(UsageError, match="makes Odd from blanks"):
        problems(Odd)


# The whole document of an application


class Body(BaseModel):
    number: int


class Service:
    pass


async def open_guard(service: Inject[Service]) -> AsyncIterator[Service]:
    yield service


class Guard:
    """A dependency that is a class, with something injected."""

    def __init__(self, service: Inject[Service], mark: str = "") -> None:
        self.service, self.mark = service, mark


def application(**options: Any) -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/inner")

    @router.put("/{number}", responses=problems(ConflictError, AlreadyExistsError))
    async def change(number: int, body: Body, if_match: IfMatch) -> Body:
        if_match.check(number)
        return body

    @app.get("/", responses=problems(NotFoundError))
    async def read(
        number: int,
        etag: ETag,
        service: Inject[Service],
        again: Annotated[Service, Depends(open_guard, scope="function")],
        guard: Annotated[Guard, Depends()],
    ) -> list[bool | str]:
        etag.send(number)
        return [service is again, service is guard.service, guard.mark]

    @app.get("/plain")
    async def plain() -> None: ...

    app.include_router(router)
    install(app, ServiceFactory().scoped(Service), **options)
    return app


def test_the_document_is_valid_and_knows_problems_only() -> None:
    document = application().openapi()

    assert_valid(document)
    assert set(document["components"]["schemas"]) == {"Body"}
    responses = document["paths"]["/inner/{number}"]["put"]["responses"]
    found = {
        status: response["content"][PROBLEM]["schema"]["properties"]["code"]["enum"]
        for status, response in responses.items()
        if status != "200"
    }
    assert found == {
        "400": ["BAD_REQUEST"],
        "409": ["CONFLICT", "ALREADY_EXISTS"],
        "412": ["PRECONDITION_FAILED"],
        "422": ["VALIDATION_ERROR"],
    }
    read = document["paths"]["/"]["get"]["responses"]
    assert set(read) == {"200", "304", "400", "404", "422"}
    assert read["304"] == {"description": "Not Modified"}
    assert set(document["paths"]["/plain"]["get"]["responses"]) == {"200"}


def test_conditions_are_documented_where_they_are_read() -> None:
    app = FastAPI()
    install(app)

    @app.patch("/")
    async def change(if_match: IfMatchRequired, etag: ETag) -> None: ...

    @app.post("/")
    async def create(etag: ETag) -> None: ...

    @app.put("/", responses=problems(NotFoundError))
    async def replace(body: Body) -> None: ...

    @app.get("/hidden", include_in_schema=False)
    async def hidden(etag: ETag) -> None: ...

    paths = app.openapi()["paths"]

    assert set(paths["/"]["patch"]["responses"]) == {"200", "400", "412", "422", "428"}
    assert set(paths["/"]["post"]["responses"]) == {"200", "422"}
    assert set(paths["/"]["put"]["responses"]) == {"200", "400", "404", "422"}
    assert set(paths) == {"/"}


def test_an_application_that_answers_http_exceptions_itself_documents_them() -> None:
    app = application()

    @app.exception_handler(HTTPException)
    async def own(_: Request, __: Exception) -> Response:
        return PlainTextResponse("own", 400)

    responses = app.openapi()["paths"]["/inner/{number}"]["put"]["responses"]

    assert set(responses) == {"200", "409", "422"}


def test_what_is_injected_does_not_show() -> None:
    parameters = application().openapi()["paths"]["/"]["get"]["parameters"]

    names = {parameter["name"] for parameter in parameters}

    assert names == {"number", "If-None-Match", "mark"}


async def test_all_kinds_of_dependencies_share_what_is_injected(serve: Serve) -> None:
    async with serve(application()) as client:
        answer = await client.get("/", params={"number": 1, "mark": "x"})

    assert answer.json() == [True, True, "x"]


def test_the_document_stays_the_same() -> None:
    app = application()
    first = json.dumps(app.openapi())

    assert json.dumps(app.openapi()) == first


def test_a_422_of_another_renderer_is_documented_without_a_form() -> None:
    document = application(renderer=app_exception_handler).openapi()

    assert_valid(document)
    response = document["paths"]["/inner/{number}"]["put"]["responses"]["422"]
    assert response == {"description": "Invalid input"}


def test_an_application_that_answers_422_itself_keeps_its_document() -> None:
    app = application()

    @app.exception_handler(RequestValidationError)
    async def own(_: Request, __: Exception) -> Response:
        return PlainTextResponse("own", 422)

    document = app.openapi()

    assert_valid(document)
    assert "HTTPValidationError" in document["components"]["schemas"]


def test_a_422_of_the_applications_own_and_its_models_stay() -> None:
    app = FastAPI()
    install(app, validation="problem")

    class ValidationError(BaseModel):
        """A model with the name of FastAPI's own."""

        responses: dict[str, str] = {"422": "none of ours"}

    @app.post("/", responses={422: {"model": ValidationError}})
    async def create(number: int) -> None: ...

    @app.post("/other")
    async def other(body: Body) -> Body:
        return body

    document = app.openapi()

    assert_valid(document)
    content = document["paths"]["/"]["post"]["responses"]["422"]["content"]
    assert list(content) == ["application/json"]
    assert "ValidationError" in document["components"]["schemas"]


async def test_the_served_document_is_the_same(serve: Serve) -> None:
    app = application()

    async with serve(app) as client:
        served = (await client.get("/openapi.json")).json()

    assert served["paths"] == app.openapi()["paths"]
    assert "HTTPValidationError" not in json.dumps(served)
