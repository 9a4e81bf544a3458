"""Error answers in the OpenAPI document."""

import pytest
from fastapi import FastAPI

from layerkit.core import (
    AlreadyExistsError,
    AppException,
    ConflictError,
    NotFoundError,
    UsageError,
    ValidationError,
)
from layerkit.fastapi import problems


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


def test_a_class_that_takes_more_than_a_message_is_refused() -> None:
    class Odd(AppException):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(one + two)

    with pytest.raises(UsageError, match="makes Odd from a message"):
        problems(Odd)
