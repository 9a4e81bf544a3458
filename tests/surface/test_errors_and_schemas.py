"""The textbook's errors and schemas, to the letter."""

from datetime import datetime, timedelta
from uuid import uuid4

import pydantic
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from layerkit import (
    AppException,
    BaseSchema,
    ConflictError,
    CreateSchema,
    NotFoundError,
    ResponseSchema,
    UnauthorizedError,
    UpdateSchema,
    ValidationError,
)
from layerkit.fastapi import app_exception_handler


def test_the_root_has_message_status_and_detail() -> None:
    plain = AppException("Broken")
    full = AppException("Teapot", status_code=418, detail={"tea": "oolong"})

    assert (plain.message, plain.status_code, plain.detail) == ("Broken", 500, {})
    assert (full.message, full.status_code, full.detail) == (
        "Teapot", 418, {"tea": "oolong"},
    )  # fmt: skip
    assert str(full) == "Teapot"


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        (ValidationError("Bad"), "Bad", 422),
        (ValidationError("Bad", {"field": "x"}), "Bad", 422),
        (NotFoundError(), "Resource not found", 404),
        (NotFoundError("No such book"), "No such book", 404),
        (UnauthorizedError(), "Unauthorized", 401),
        (ConflictError("Taken"), "Taken", 409),
    ],
)
def test_the_textbooks_errors(error: AppException, message: str, status: int) -> None:
    assert (error.message, error.status_code) == (message, status)
    assert isinstance(error.detail, dict)


async def test_the_handler_answers_the_textbooks_envelope() -> None:
    app = FastAPI()
    app.add_exception_handler(AppException, app_exception_handler)

    @app.get("/books/{book_id}")
    async def get_book(book_id: int) -> None:
        raise ValidationError("Bad book", {"book": book_id})

    async with AsyncClient(
        transport=ASGITransport(app), base_url="http://test"
    ) as client:
        answer = await client.get("/books/7")

    body = answer.json()
    timestamp = datetime.fromisoformat(body.pop("timestamp"))
    assert answer.status_code == 422
    assert body == {"error": "Bad book", "detail": {"book": 7}, "path": "/books/7"}
    assert timestamp.utcoffset() == timedelta(0)


def test_the_schemas_read_attributes_and_check_assignments() -> None:
    class BookOut(ResponseSchema[int]):
        title: str

    class Book:
        id = 1
        title = "Emma"

    book = BookOut.model_validate(Book())

    assert (book.id, book.title, book.created_at, book.updated_at) == (
        1, "Emma", None, None,
    )  # fmt: skip
    with pytest.raises(pydantic.ValidationError):
        book.title = 5  # type: ignore[assignment] # it must fail at run time too


def test_a_response_takes_the_usual_ids() -> None:
    class Out(ResponseSchema):
        pass

    key = uuid4()
    assert [Out(id=value).id for value in (1, "a", key)] == [1, "a", key]


@pytest.mark.parametrize("base", [CreateSchema, UpdateSchema])
def test_unknown_fields_are_refused(base: type[BaseSchema]) -> None:
    with pytest.raises(pydantic.ValidationError):
        base.model_validate({"nope": 1})
