"""Who answers which error of an application: we, unless it has a handler of its own."""

import inspect
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
    websocket_request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from layerkit.core.errors import AppException, PreconditionFailedError, StaleDataError
from layerkit.fastapi.errors import (
    Renderer,
    as_app_exception,
    close_websocket,
    log_error,
)
from layerkit.fastapi.etag import IS_CONDITIONAL

_OWN: Final[dict[type[Exception], object]] = {
    HTTPException: http_exception_handler,
    RequestValidationError: request_validation_exception_handler,
    WebSocketRequestValidationError: websocket_request_validation_exception_handler,
}
"""The handlers that FastAPI brings; what an application registers stays."""

_FIRST_ERROR: Final = 400


class Handler:
    """Answer an error of a request, or close the websocket that it comes from."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer

    async def __call__(self, connection: Any, raised: Exception) -> Response | None:
        """Answer *raised*; None for a websocket."""
        error = as_app_exception(raised)
        if isinstance(connection, WebSocket):
            log_error(connection, error)
            await close_websocket(connection, error)
            return None
        if isinstance(raised, HTTPException) and error.status_code < _FIRST_ERROR:
            return await http_exception_handler(connection, raised)  # 304 has no body
        if isinstance(error, StaleDataError) and IS_CONDITIONAL in connection.scope:
            stale, error = error, PreconditionFailedError(error.message)
            error.__cause__ = stale
        log_error(connection, error)
        return await self.renderer(connection, error)


def handle_errors(app: FastAPI, renderer: Renderer) -> None:
    """Register handlers where the application has none of its own."""
    handle = Handler(renderer)
    # Starlette's type leaves no room for handlers of websockets.
    handlers = cast("dict[Any, Any]", app.exception_handlers)
    for kind, default in _OWN.items():
        if handlers.get(kind) is default:
            handlers[kind] = handle
    handlers.setdefault(AppException, handle)
    # For errors in the application's own middleware, outside of the catch-all.
    handlers.setdefault(Exception, handle)


def answer_unknown(app: FastAPI, renderer: Renderer) -> Renderer:
    """Return what answers unknown errors: the application's own handler, or ours."""
    handlers = cast("dict[Any, Any]", app.exception_handlers)

    async def answer(request: Request, error: AppException) -> Response:
        handler = handlers.get(500) or handlers[Exception]
        if isinstance(handler, Handler):
            return await renderer(request, error)
        raised = error.__cause__ or error
        response: Response
        if inspect.iscoroutinefunction(handler):
            response = await handler(request, raised)
        else:
            response = await run_in_threadpool(handler, request, raised)
        return response

    return answer
