"""Conditional requests: ETag, If-None-Match and If-Match over HTTP."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Response

from layerkit.core import PreconditionFailedError, StaleDataError, UsageError
from layerkit.fastapi import (
    EntityTags,
    ETag,
    IfMatch,
    IfMatchRequired,
    entity_tag,
    install,
)
from tests.fastapi.conftest import Serve


class Shelf:
    """One user, whose version goes up with each change."""

    def __init__(self) -> None:
        self.version: int | str = 7


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def app(shelf: Shelf) -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/users")

    @router.get("/7")
    @router.post("/posted")
    async def read(etag: ETag, response: Response) -> str:
        response.headers["Cache-Control"] = "private"
        response.headers["X-Other"] = "1"
        etag.send(shelf.version)
        return "ada"

    @router.put("/7")
    async def change(if_match: IfMatch) -> int | None:
        if_match.check(shelf.version)
        return if_match.version

    @router.put("/required")
    async def change_if(if_match: IfMatchRequired) -> int | None:
        return if_match.version

    @router.put("/nothing")
    async def nothing(if_match: IfMatch) -> None:
        if_match.check(None)

    @router.put("/stale")
    async def stale(_: IfMatch) -> None:
        raise StaleDataError

    @router.put("/unconditional")
    async def unconditional() -> None:
        raise StaleDataError

    app.include_router(router)
    install(app)
    return app


# If-None-Match


async def test_a_version_is_sent_as_a_strong_tag(app: FastAPI, serve: Serve) -> None:
    async with serve(app) as client:
        answer = await client.get("/users/7")

    assert (answer.status_code, answer.json()) == (200, "ada")
    assert answer.headers["etag"] == '"7"'


@pytest.mark.parametrize(
    "known", ['"7"', 'W/"7"', '"6", "7"', ',"6" ,\t"7",', "*", ' "7" ', '"a,b","7"']
)
async def test_what_the_client_has_already_is_answered_304_without_a_body(
    app: FastAPI, serve: Serve, known: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(app) as client:
        answer = await client.get("/users/7", headers={"If-None-Match": known})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == '"7"'
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["x-request-id"]
    assert "x-other" not in answer.headers
    assert "content-type" not in answer.headers
    assert [r for r in caplog.records if r.name == "layerkit.fastapi"] == []


@pytest.mark.parametrize("known", ['"8"', '"77"', '"7,"', 'W/"8"', '"6", "8"'])
async def test_what_has_changed_is_sent(app: FastAPI, serve: Serve, known: str) -> None:
    async with serve(app) as client:
        answer = await client.get("/users/7", headers={"If-None-Match": known})

    assert answer.status_code == 200


async def test_only_reading_is_answered_304(app: FastAPI, serve: Serve) -> None:
    async with serve(app) as client:
        answer = await client.post("/users/posted", headers={"If-None-Match": '"7"'})

    assert (answer.status_code, answer.headers["etag"]) == (200, '"7"')


async def test_304_needs_no_install(serve: Serve) -> None:
    app = FastAPI()

    @app.get("/")
    async def read(etag: ETag) -> str:
        etag.send("abc")
        return "ada"

    async with serve(app) as client:
        answer = await client.get("/", headers={"If-None-Match": '"abc"'})

    assert (answer.status_code, answer.content) == (304, b"")


def test_a_text_that_is_no_tag_is_refused() -> None:
    for text in ('a"b', "a b", "é", "a\n"):
        with pytest.raises(UsageError, match="visible ASCII"):
            entity_tag(text)


# If-Match


@pytest.mark.parametrize(
    ("given", "version"), [(None, None), ("*", None), ('"7"', 7), (' "7",', 7)]
)
async def test_a_condition_that_holds_gives_the_version(
    app: FastAPI, serve: Serve, given: str | None, version: int | None
) -> None:
    async with serve(app) as client:
        headers = {} if given is None else {"If-Match": given}
        answer = await client.put("/users/7", headers=headers)

    assert (answer.status_code, answer.json()) == (200, version)


@pytest.mark.parametrize("given", ['"6"', 'W/"7"', '"5","6"', '""', '"07"', '"é"'])
async def test_a_condition_that_does_not_hold_is_answered_412(
    app: FastAPI, serve: Serve, given: str
) -> None:
    async with serve(app) as client:
        raw = {b"If-Match": given.encode("latin-1")}
        answer = await client.put("/users/7", headers=raw)

    assert answer.status_code == 412
    assert answer.json()["code"] == "PRECONDITION_FAILED"


@pytest.mark.parametrize(
    "given", ["7", '"7', '7"', "", " ", ",", '*, "7"', '"7" "8"', 'w/"7"', '"a b"']
)
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_a_malformed_condition_is_answered_400(
    app: FastAPI, serve: Serve, header: str, given: str
) -> None:
    method = "PUT" if header == "If-Match" else "GET"
    async with serve(app) as client:
        answer = await client.request(method, "/users/7", headers={header: given})

    assert answer.status_code == 400
    assert answer.json()["code"] == "BAD_REQUEST"
    assert answer.json()["detail"].startswith(f"{header} is malformed")


@pytest.mark.parametrize("given", ['"7', "7", ",", '"7"', "*"])
async def test_if_none_match_is_ignored_where_something_is_changed(
    app: FastAPI, serve: Serve, given: str
) -> None:
    async with serve(app) as client:
        answer = await client.post("/users/posted", headers={"If-None-Match": given})

    assert (answer.status_code, answer.headers["etag"]) == (200, '"7"')


async def test_several_lines_of_a_condition_are_one_list(
    app: FastAPI, serve: Serve, shelf: Shelf
) -> None:
    lines: Any = [("If-Match", '"6"'), ("If-Match", '"7"')]
    async with serve(app) as client:
        several = await client.put("/users/7", headers=lines)
        shelf.version = 8
        changed = await client.put("/users/7", headers=lines)

    assert several.status_code == 400  # the check held; one version can't be told
    assert several.json()["detail"] == "If-Match takes one entity tag here"
    assert changed.status_code == 412


@pytest.mark.parametrize(
    "tag", ['W/"7"', '"abc"', '"07"', '"-1"', '"1234567890123456789"']
)
def test_a_tag_that_is_no_number_is_the_version_of_nothing(tag: str) -> None:
    with pytest.raises(PreconditionFailedError):
        assert EntityTags((tag,)).version


@pytest.mark.parametrize(("given", "status"), [("*", 412), ('"7"', 412), (None, 200)])
async def test_nothing_matches_no_condition(
    app: FastAPI, serve: Serve, given: str | None, status: int
) -> None:
    async with serve(app) as client:
        headers = {} if given is None else {"If-Match": given}
        answer = await client.put("/users/nothing", headers=headers)

    assert answer.status_code == status


async def test_a_required_condition_that_is_missing_is_answered_428(
    app: FastAPI, serve: Serve
) -> None:
    async with serve(app) as client:
        missing = await client.put("/users/required")
        given = await client.put("/users/required", headers={"If-Match": '"3"'})

    assert missing.status_code == 428
    assert missing.json()["code"] == "PRECONDITION_REQUIRED"
    assert given.json() == 3


async def test_stale_data_is_a_failed_condition_where_there_is_one(
    app: FastAPI, serve: Serve
) -> None:
    async with serve(app) as client:
        headers = {"If-Match": '"7"'}
        conditional = await client.put("/users/stale", headers=headers)
        unconditional = await client.put("/users/unconditional", headers=headers)
        without = await client.put("/users/stale")

    assert conditional.status_code == 412
    assert conditional.json()["detail"].startswith("The data was changed by another")
    assert unconditional.status_code == 409
    assert without.status_code == 409


def test_the_headers_are_in_the_openapi_document(app: FastAPI) -> None:
    path = app.openapi()["paths"]["/users/7"]

    [etag] = path["get"]["parameters"]
    [if_match] = path["put"]["parameters"]

    assert (etag["in"], etag["name"]) == ("header", "If-None-Match")
    assert (if_match["in"], if_match["name"]) == ("header", "If-Match")
    assert not if_match["required"]
