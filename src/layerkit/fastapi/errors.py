"""Errors as answers: what a client sees of an AppException, or of anything else."""

import logging
import math
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import quote

from fastapi import Request, Response, WebSocket, status
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketState

from layerkit.core.errors import AppException, Translate, UsageError, phrase_of
from layerkit.core.logging import correlation_id, get_logger
from layerkit.fastapi.sent import unfit
from layerkit.fastapi.validation import invalid_request

Renderer: TypeAlias = Callable[[Request, AppException], Awaitable[Response]]
"""Answer an error; what was raised is turned into an AppException before."""

logger = get_logger("layerkit.fastapi")

PROBLEM: Final = "application/problem+json"
_PATH: Final = "/:@!$&'()*+,;=~%"  # what a path holds unquoted (RFC 3986, section 3.3)
_LOGGED: Final = "layerkit.logged"


class HTTPError(AppException):
    """Stand for an HTTPException of FastAPI or Starlette, headers included."""

    def __init__(self, error: HTTPException) -> None:
        self.headers = dict(error.headers or {})
        phrase = phrase_of(error.status_code)
        if isinstance(error.detail, str):
            super().__init__(error.detail, error.status_code)
        else:
            super().__init__(phrase, error.status_code, {"detail": error.detail})
        # The class stands for every status, so these belong to the object.
        vars(self).update(title=phrase, code=code_of(phrase))


def code_of(phrase: str) -> str:
    """Return the code of an error that HTTP has a *phrase* for: ``NOT_FOUND``."""
    return re.sub(r"[^A-Z]+", "_", phrase.upper())


def as_app_exception(error: Exception) -> AppException:
    """Return *error* as an AppException that shows clients nothing internal."""
    if isinstance(error, AppException):
        return error
    if isinstance(error, RequestValidationError | WebSocketRequestValidationError):
        return invalid_request(error.errors(), getattr(error, "body", None))
    if isinstance(error, HTTPException):
        return HTTPError(error)
    unknown = AppException(AppException.title)
    unknown.__cause__ = error  # for the log
    return unknown


async def seen_by_client(connection: HTTPConnection, raised: Exception) -> AppException:
    """Return *raised* as an AppException, logged; a websocket is closed with it.

    A mistake in code is the client's where it has sent the value that does not fit.
    """
    error = as_app_exception(raised)
    if isinstance(error, UsageError):
        error = await unfit(connection, error) or error
    log_error(connection, error)
    await close_websocket(connection, error)
    return error


async def app_exception_handler(request: Request, exc: Exception) -> JSONResponse:
    """Answer an error with ``{"error", "detail", "timestamp", "path"}`` and its status.

    ``app.add_exception_handler(AppException, app_exception_handler)``, or
    ``install(app, renderer=app_exception_handler)`` for all errors. The timestamp is
    aware UTC in ISO 8601. An error that is no AppException is answered as a 500 with a
    fixed text. A websocket is closed with the error's code.
    """
    error = await seen_by_client(request, exc)
    when = datetime.now(UTC).isoformat()
    envelope = error.to_dict() | {"timestamp": when, "path": request.url.path}
    return JSONResponse(envelope, error.status_code, headers_of(error))


class ProblemRenderer:
    """Answer errors as ``application/problem+json`` (RFC 9457).

    Besides the members of ``AppException.to_problem()`` there are ``instance``, the
    path, and ``request_id``, the correlation id. A websocket is closed with the error's
    code.

    Args:
        base_uri: Where your problem types are described: ``type`` is this and the code.
        translate: Puts messages into the words of the locale that the client prefers
            (``Accept-Language``).
    """

    def __init__(
        self, *, base_uri: str | None = None, translate: Translate | None = None
    ) -> None:
        self._base_uri, self._translate = base_uri, translate

    async def __call__(self, request: Request, exc: Exception) -> Response:
        """Answer *exc*, and log it."""
        error = await seen_by_client(request, exc)
        locale = _preferred(request.headers.get("accept-language", ""))
        problem = error.to_problem(
            base_uri=self._base_uri, translate=self._translate, locale=locale
        )
        problem["instance"] = quote(request.url.path, safe=_PATH)
        if request_id := correlation_id.get():
            problem["request_id"] = request_id
        return JSONResponse(
            problem, error.status_code, headers_of(error), media_type=PROBLEM
        )


async def problem_handler(request: Request, exc: Exception) -> Response:
    """Answer an error as ``ProblemRenderer()`` does, of type ``about:blank``."""
    return await ProblemRenderer()(request, exc)


def _preferred(accepted: str) -> str:
    """Return the language tag of the highest quality (RFC 9110, section 12.5.4)."""
    found = [tag.strip().partition(";") for tag in accepted.split(",")]
    weighted = [(_quality(rest), tag.strip()) for tag, _, rest in found if tag != "*"]
    return max(weighted, key=lambda pair: pair[0], default=(0.0, ""))[1]


def _quality(parameter: str) -> float:
    try:
        return float(parameter.strip().removeprefix("q=")) if parameter else 1.0
    except ValueError:
        return 0.0


def headers_of(error: AppException) -> dict[str, str]:
    """Return the headers that an answer to *error* carries."""
    headers: dict[str, str] = {}
    if error.status_code == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"  # a 401 must name one: RFC 9110, 15.5.2
    if error.retry_after is not None:
        seconds = math.ceil(error.retry_after.total_seconds())
        headers["Retry-After"] = str(max(seconds, 0))
    if isinstance(error, HTTPError):
        headers |= error.headers
    return headers


async def close_websocket(connection: HTTPConnection, error: AppException) -> None:
    """Close a websocket whose route raised; the code tells whose fault it was.

    A handler gets websockets, too, and what it returns is not sent there. Nothing is
    done to what is closed already, or is no websocket.
    """
    if not isinstance(connection, WebSocket) or WebSocketState.DISCONNECTED in {
        connection.client_state,
        connection.application_state,
    }:
        return
    is_ours = error.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR
    await connection.close(
        status.WS_1011_INTERNAL_ERROR if is_ours else status.WS_1008_POLICY_VIOLATION,
        reason=error.code,
    )


def log_error(connection: HTTPConnection, error: AppException) -> None:
    """Log what is answered, once: a 5xx as an error with its traceback."""
    if connection.scope.get(_LOGGED) is error:
        return
    connection.scope[_LOGGED] = error
    is_ours = error.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR
    logger.log(
        logging.ERROR if is_ours else logging.WARNING,
        "%s %s: %d %s %s",
        connection.scope.get("method", "websocket"),
        connection.url.path,
        error.status_code,
        *((error, error.detail) if error.logged is None else (error.logged, "")),
        exc_info=error if is_ours else None,
    )
