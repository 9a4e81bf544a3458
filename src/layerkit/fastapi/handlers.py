"""Who answers which error of an application: we, unless it has a handler of its own."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response, WebSocket, exception_handlers
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from layerkit.core.errors import AppException, PreconditionFailedError, StaleDataError
from layerkit.factory.threads import call_without_blocking
from layerkit.fastapi.errors import Renderer, seen_by_client
from layerkit.fastapi.etag import IS_CONDITIONAL
from layerkit.fastapi.needs import is_ours, route_of, routes_of

_OWN: Final[dict[type, Callable[..., Awaitable[Response]]]] = {
    HTTPException: exception_handlers.http_exception_handler,
    RequestValidationError: exception_handlers.request_validation_exception_handler,
    WebSocketRequestValidationError: cast(
        "Any", exception_handlers.websocket_request_validation_exception_handler
    ),
}
"""The handlers that FastAPI brings; what an application registers stays."""

_FIRST_ERROR: Final = 400
_NOT_ALLOWED: Final = 405


class Handler:
    """Answer an error of a request, or close the websocket that it comes from.

    What FastAPI itself answers, an HTTPException or invalid input, is left to it where
    the route uses nothing of ours.

    Args:
        app: The application.
        renderer: Answers what is not left to FastAPI.
        everywhere: True to leave nothing to it.
    """

    def __init__(self, app: FastAPI, renderer: Renderer, *, everywhere: bool) -> None:
        self.app, self.renderer, self.everywhere = app, renderer, everywhere

    async def __call__(self, connection: Any, raised: Exception) -> Response | None:
        """Answer *raised*; None for a websocket."""
        if isinstance(raised, HTTPException) and raised.status_code == _NOT_ALLOWED:
            self._name_methods(connection.scope, raised)
        own = next((_OWN[kind] for kind in type(raised).__mro__ if kind in _OWN), None)
        # A websocket is ours: FastAPI gives a list as the reason, with what was sent.
        if own and not (
            isinstance(connection, WebSocket) or self.answers(route_of(connection))
        ):
            return await own(connection, raised)
        if isinstance(raised, HTTPException) and raised.status_code < _FIRST_ERROR:
            return await _OWN[HTTPException](connection, raised)  # 304 has no body
        error: Exception = raised
        if isinstance(raised, StaleDataError) and IS_CONDITIONAL in connection.scope:
            error = PreconditionFailedError(raised.message)
            error.__cause__ = raised
        known = await seen_by_client(connection, error)
        if isinstance(connection, WebSocket):
            return None
        return await self.renderer(connection, known)

    def answers(self, route: Any) -> bool:
        """Tell whether *route* is one whose errors are all answered here."""
        return self.everywhere or is_ours(route)

    def _name_methods(self, scope: Scope, raised: HTTPException) -> None:
        """Name the methods of all routes of the path (RFC 9110, section 15.5.6).

        A router names those of the first route only. What a route raises itself stays.
        """
        methods: set[str] = set()
        for route in routes_of(self.app):
            if route.matches(scope)[0] is not Match.NONE:
                methods.update(getattr(route, "methods", None) or ())
        if methods and scope.get("method") not in methods:
            named = {"Allow": ", ".join(sorted(methods))}
            raised.headers = {**(raised.headers or {}), **named}


def handle_errors(app: FastAPI, renderer: Renderer, *, everywhere: bool) -> Handler:
    """Register a handler where the application has none of its own, and return it."""
    handle = Handler(app, renderer, everywhere=everywhere)
    # Starlette's type leaves no room for handlers of websockets.
    handlers = cast("dict[Any, Any]", app.exception_handlers)
    for kind, default in _OWN.items():
        if handlers.get(kind) is default:
            handlers[kind] = handle
    handlers.setdefault(AppException, handle)
    # For errors in the application's own middleware, outside of the catch-all.
    handlers.setdefault(Exception, handle)
    return handle


def answer_unknown(app: FastAPI) -> Renderer:
    """Return what answers unknown errors: the application's own handler, or ours."""
    handlers = cast("dict[Any, Any]", app.exception_handlers)

    async def answer(request: Request, error: AppException) -> Response:
        handler = handlers.get(500) or handlers[Exception]
        is_ours = isinstance(handler, Handler)
        raised = error if is_ours else error.__cause__ or error
        answered = await call_without_blocking(handler, request, raised)
        return cast("Response", answered)

    return answer
