"""install: what an application needs around its routes, in one call."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response, WebSocket, routing, status
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.websockets import WebSocketState

from layerkit.core.errors import AppException, UsageError
from layerkit.factory import Need, ServiceFactory, describe, wiring_error
from layerkit.fastapi.errors import (
    Renderer,
    as_app_exception,
    log_error,
    problem_handler,
)
from layerkit.fastapi.inject import Resolver
from layerkit.fastapi.middleware import (
    CatchAllMiddleware,
    CorrelationMiddleware,
    FactoryMiddleware,
)

_INSTALLED: Final = "layerkit_installed"


def install(
    app: FastAPI,
    factory: ServiceFactory | None = None,
    *,
    renderer: Renderer = problem_handler,
    health: str | None = "/health",
    request_id_header: str = "X-Request-ID",
) -> None:
    """Add error answers, correlation ids, health and the factory to an application.

    Call it once, before or after the routes are added. The factory opens and closes
    with the application's lifespan, around what the application does there itself, and
    what all routes inject is checked at start. Handlers that the application has
    registered for HTTPException, RequestValidationError or Exception stay its own.

    Args:
        app: The application; nothing of it has to be written for layerkit.
        factory: Where ``Inject`` gets its objects; left out, nothing can be injected.
        renderer: Answers all errors; ``application/problem+json`` by default,
            ``app_exception_handler`` for the textbook's envelope, or one of your own,
            which gets every error as an AppException.
        health: The path that answers 200 while the application serves, 503 while the
            factory is closed; None for no such path.
        request_id_header: The header of the correlation id, in and out.

    Raises:
        UsageError: It was called before, or the application is serving already.
    """
    if getattr(app.state, _INSTALLED, False):
        raise UsageError(
            "install() was called for this application before: once will do"
        )
    if app.middleware_stack is not None:
        raise UsageError("the application is serving already: call install() before")
    setattr(app.state, _INSTALLED, True)
    _handle_errors(app, renderer)
    app.add_middleware(CorrelationMiddleware, header=request_id_header)
    # At the end of the list: inside all middleware, whenever that was or will be added.
    app.user_middleware.append(
        Middleware(CatchAllMiddleware, renderer=_unknown(app, renderer))
    )
    if factory is not None:
        app.user_middleware.append(Middleware(FactoryMiddleware, factory=factory))
    _wrap_lifespan(app, factory)
    if health is not None:
        app.add_route(health, _health(factory), include_in_schema=False)


def _wrap_lifespan(app: FastAPI, factory: ServiceFactory | None) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: Any) -> AsyncIterator[Any]:
        needs = list(needs_of(app))
        async with AsyncExitStack() as stack:
            if factory is not None:
                factory.check(needs)
                await stack.enter_async_context(factory)
            elif needs:
                raise wiring_error(
                    f"{need.by} injects {describe(need.key)}, and install(app) was "
                    "given no factory: call install(app, factory)"
                    for need in needs
                )
            yield await stack.enter_async_context(inner(served))

    app.router.lifespan_context = lifespan


# What the routes need


def needs_of(app: Any, prefix: str = "") -> Iterator[Need]:
    """Yield what the routes of *app* inject; included routers and mounts are walked.

    A mounted application with an ``install`` of its own is left to that.
    """
    # FastAPI 0.165 keeps included routers whole, and has a function that sees through.
    contexts = getattr(routing, "iter_route_contexts", iter)
    for route in contexts(app.routes):
        path = prefix + (getattr(route, "path", None) or "")
        methods = getattr(route, "methods", None)
        dependant = getattr(route, "dependant", None)
        if dependant is not None:
            by = (
                f"{', '.join(sorted(methods))} {path}"
                if methods
                else f"websocket {path}"
            )
            yield from _needs(dependant, by, shared_only=not methods)
        mounted = getattr(route, "app", None)
        is_own = getattr(getattr(mounted, "state", None), _INSTALLED, False)
        if dependant is None and hasattr(mounted, "routes") and not is_own:
            yield from needs_of(mounted, path)


def _needs(dependant: Any, by: str, *, shared_only: bool) -> Iterator[Need]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Resolver):
            yield Need(by, dependency.call.key, dependency.name or "", shared_only)
        yield from _needs(dependency, by, shared_only=shared_only)


# What errors are answered with


class _Handler:
    """Answer an error of a request, or close the websocket that it comes from."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer

    async def __call__(self, connection: Any, raised: Exception) -> Response | None:
        error = as_app_exception(raised)
        log_error(connection, error)
        if isinstance(connection, WebSocket):
            await _close(connection, error)
            return None
        return await self.renderer(connection, error)


def _handle_errors(app: FastAPI, renderer: Renderer) -> None:
    handle = _Handler(renderer)
    # Starlette's type leaves no room for handlers of websockets.
    handlers = cast("dict[Any, Any]", app.exception_handlers)
    defaults = {
        HTTPException: http_exception_handler,
        RequestValidationError: request_validation_exception_handler,
    }
    for kind, default in defaults.items():
        if handlers.get(kind) is default:
            handlers[kind] = handle
    handlers.setdefault(AppException, handle)
    # For errors in the application's own middleware, outside of the catch-all.
    handlers.setdefault(Exception, handle)


async def _close(websocket: WebSocket, error: AppException) -> None:
    """Close a websocket whose route raised; the code tells whose fault it was."""
    is_ours = error.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR
    if WebSocketState.DISCONNECTED in {
        websocket.client_state,
        websocket.application_state,
    }:
        return
    await websocket.close(
        status.WS_1011_INTERNAL_ERROR if is_ours else status.WS_1008_POLICY_VIOLATION,
        reason=error.code,
    )


def _unknown(app: FastAPI, renderer: Renderer) -> Renderer:
    """Return what answers unknown errors: the application's own handler, or ours."""
    handlers = cast("dict[Any, Any]", app.exception_handlers)

    async def answer(request: Request, error: AppException) -> Response:
        handler = handlers.get(500) or handlers[Exception]
        if isinstance(handler, _Handler):
            return await renderer(request, error)
        raised = error.__cause__ or error
        response: Response
        if inspect.iscoroutinefunction(handler):
            response = await handler(request, raised)
        else:
            response = await run_in_threadpool(handler, request, raised)
        return response

    return answer


def _health(
    factory: ServiceFactory | None,
) -> Callable[[Request], Awaitable[Response]]:
    async def health(_: Request) -> Response:
        if factory is None or factory.is_open:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "unavailable"}, 503)

    return health
