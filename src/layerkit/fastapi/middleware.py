"""Plain ASGI middleware: the correlation id outermost, the catch-all innermost."""

import re
import secrets
from typing import Final

from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from layerkit.core.errors import AppException
from layerkit.core.logging import correlation_id, get_logger
from layerkit.factory import ServiceFactory
from layerkit.fastapi.errors import (
    Renderer,
    as_app_exception,
    log_error,
    problem_handler,
    seen_by_client,
)
from layerkit.fastapi.inject import CANCEL_KEY, FACTORY_KEY

logger = get_logger("layerkit.fastapi")

_VALID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")

_IDENTITY: Final = "layerkit.correlation_id"
_WITH_HEADERS: Final = {
    "http.response.start",
    "websocket.accept",
    "websocket.http.response.start",  # a refused handshake with a body
}


class CorrelationMiddleware:
    """Give each request a correlation id, in the logs and in the answer.

    The caller's own is kept where it is 1 to 128 letters, digits or ``._:/+=@-``;
    anything else could forge log lines, and is replaced by a new one, as are several.

    Args:
        app: The application inside.
        header: The name of the header, in and out.
    """

    def __init__(self, app: ASGIApp, header: str = "X-Request-ID") -> None:
        self.app = app
        self.header = header
        self._name = header.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        is_served = scope["type"] in {"http", "websocket"}
        if not is_served or _IDENTITY in scope:  # mounted: it has one by now
            await self.app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == self._name]
        is_valid = len(given) == 1 and _VALID.fullmatch(given[0])
        identity = given[0].decode() if is_valid else secrets.token_hex(16)
        scope[_IDENTITY] = identity
        header = (self._name, identity.encode())

        async def stamp(message: Message) -> None:
            if message["type"] in _WITH_HEADERS:
                others = message.get("headers", ())  # ASGI lets them be left out
                kept = [pair for pair in others if pair[0] != self._name]
                message["headers"] = [*kept, header]
            await send(message)

        token = correlation_id.set(identity)
        try:
            await self.app(scope, receive, stamp)
        finally:
            correlation_id.reset(token)


class CatchAllMiddleware:
    """Answer what nothing else has caught, inside all other middleware.

    Starlette answers unknown errors outside all middleware, so that its 500 carries
    neither CORS headers nor the correlation id. A websocket is closed with 1011, or
    with 1008 where the error is an AppException that blames the client.

    Args:
        app: The application inside.
        renderer: Answers the error.
    """

    def __init__(self, app: ASGIApp, renderer: Renderer = problem_handler) -> None:
        self.app = app
        self.renderer = renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket":
            await self._serve_websocket(WebSocket(scope, receive, send))
        elif scope["type"] == "http":
            await self._serve_request(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if has_started:
                raise  # the server cuts the line: a client must not take this as whole
            response = await self._answer(Request(scope, receive), error)
            await response(scope, receive, send)

    async def _serve_websocket(self, websocket: WebSocket) -> None:
        try:
            # By its methods, so that it knows which side has closed it.
            await self.app(websocket.scope, websocket.receive, websocket.send)
        except WebSocketDisconnect:
            logger.debug("the client of websocket %s has gone", websocket.url.path)
        except Exception as error:  # noqa: BLE001 - logged
            await seen_by_client(websocket, error)

    async def _answer(self, request: Request, error: Exception) -> Response:
        known = as_app_exception(error)
        log_error(request, known)
        try:
            return await self.renderer(request, known)
        except Exception:
            logger.exception("the error renderer failed; answering in plain form")
            return await problem_handler(request, AppException(AppException.title))


class FactoryMiddleware:
    """Lay the factory where ``Inject`` finds it, in mounted applications too.

    Args:
        app: The application inside.
        factory: The factory.
    """

    def __init__(self, app: ASGIApp, factory: ServiceFactory) -> None:
        self.app = app
        self.factory = factory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        scope[FACTORY_KEY] = self.factory
        if not self.factory.cleans_up:
            await self.app(scope, receive, send)
            return
        # Outside of those that generators open: anyio wants the last one left first.
        with CancelScope() as scope[CANCEL_KEY]:
            await self.app(scope, receive, send)
