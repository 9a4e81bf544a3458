"""ProblemRenderer: types of one's own, other languages, and the path as a reference."""

from typing import Any

import pytest
from fastapi import FastAPI

from layerkit.core import NotFoundError
from layerkit.fastapi import ProblemRenderer, install
from tests.fastapi.conftest import Serve


def translate(code: str, params: dict[str, Any], locale: str) -> str | None:
    name = params.get("entity")
    return f"{locale}: {code} {name}" if locale in {"de", "de-CH"} else None


def application() -> FastAPI:
    app = FastAPI()
    renderer = ProblemRenderer(
        base_uri="https://shop.example.org/errors/", translate=translate
    )
    install(app, renderer=renderer, validation="problem")

    @app.get("/users/{name:path}")
    async def read(name: str) -> None:
        raise NotFoundError(entity="User", entity_id=name)

    return app


async def test_each_code_has_a_type_of_its_own(serve: Serve) -> None:
    async with serve(application()) as client:
        answer = await client.get("/users/7")

    assert answer.json()["type"] == "https://shop.example.org/errors/NOT_FOUND"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accepted", "detail"),
    [
        ("de", "de: NOT_FOUND User"),
        ("en;q=0.5, de-CH", "de-CH: NOT_FOUND User"),
        ("en;q=0.9, de;q=0.8", "no User with id 7"),
        ("de;q=many, en", "no User with id 7"),
        ("*", "no User with id 7"),
        ("", "no User with id 7"),
    ],
)
async def test_the_message_is_in_the_language_that_the_client_prefers(
    serve: Serve, accepted: str, detail: str
) -> None:
    async with serve(application()) as client:
        answer = await client.get("/users/7", headers={"Accept-Language": accepted})

    assert answer.json()["detail"] == detail


async def test_the_instance_is_a_reference_whatever_the_path(serve: Serve) -> None:
    async with serve(application()) as client:
        answer = await client.get("/users/a%20b%22%3C")

    assert answer.json()["instance"] == "/users/a%20b%22%3C"


def test_the_422_of_the_schema_is_a_problem_too() -> None:
    app = application()

    @app.get("/pages")
    async def pages(page: int) -> None: ...

    content = app.openapi()["paths"]["/pages"]["get"]["responses"]["422"]["content"]

    assert "application/problem+json" in content
