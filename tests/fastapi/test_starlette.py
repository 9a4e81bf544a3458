"""The middleware and the error handlers in an application without FastAPI."""

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from layerkit.core import AppException, ConflictError, correlation_id
from layerkit.fastapi import (
    CatchAllMiddleware,
    CorrelationMiddleware,
    Renderer,
    app_exception_handler,
    problem_handler,
)
from tests.fastapi.conftest import Connect

ERRORS = {
    "ours": ConflictError("taken"),
    "http": HTTPException(410, "gone"),
    "unknown": RuntimeError("hunter2"),
}


async def endpoint(request: Request) -> PlainTextResponse:
    if error := ERRORS.get(request.path_params["name"]):
        raise error
    return PlainTextResponse(correlation_id.get() or "")


def application(renderer: Renderer) -> Starlette:
    handlers: Any = {AppException: renderer, HTTPException: renderer}
    return Starlette(
        routes=[Route("/{name}", endpoint)],
        middleware=[
            Middleware(CorrelationMiddleware),
            Middleware(CORSMiddleware, allow_origins=["*"]),
            Middleware(CatchAllMiddleware, renderer=renderer),
        ],
        exception_handlers=handlers,
    )


async def get(app: Any, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        headers = {"Origin": "http://page", "X-Request-ID": "abc"}
        return await client.get(path, headers=headers)


async def test_the_correlation_id_is_set_and_returned() -> None:
    answer = await get(application(problem_handler), "/fine")

    assert answer.text == answer.headers["x-request-id"] == "abc"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/ours", 409, "CONFLICT"),
        ("/http", 410, "GONE"),
        ("/unknown", 500, "INTERNAL_ERROR"),
        ("/no/where", 404, "NOT_FOUND"),
    ],
)
async def test_every_error_is_a_problem_with_all_headers(
    path: str, status: int, code: str
) -> None:
    answer = await get(application(problem_handler), path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "abc"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("name", ["ours", "http", "unknown"])
async def test_the_textbooks_envelope_works_as_well(name: str) -> None:
    answer = await get(application(app_exception_handler), f"/{name}")

    assert set(answer.json()) == {"error", "detail", "timestamp", "path"}
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("renderer", [problem_handler, app_exception_handler])
@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [("ours", 1008, "CONFLICT"), ("unknown", 1011, "INTERNAL_ERROR")],
)
async def test_a_websocket_is_closed_with_a_code(
    connect: Connect, renderer: Renderer, name: str, code: int, reason: str
) -> None:
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ERRORS[name]

    app = application(renderer)
    app.router.routes.append(WebSocketRoute("/live/{name}", live))

    async with connect(app, f"/live/{name}", x_request_id="abc") as socket:
        closed = await socket.receive()

    assert (closed["code"], closed["reason"]) == (code, reason)
    assert dict(socket.handshake["headers"])[b"x-request-id"] == b"abc"


async def test_without_the_middleware_there_is_no_correlation_id() -> None:
    handlers: Any = {AppException: problem_handler}
    app = Starlette(routes=[Route("/{name}", endpoint)], exception_handlers=handlers)

    answer = await get(app, "/ours")

    assert answer.status_code == 409
    assert "request_id" not in answer.json()
    assert "x-request-id" not in answer.headers
