"""install: what an application needs around its routes, in one call."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from layerkit.core.errors import UsageError
from layerkit.factory import Need, ServiceFactory, describe, wiring_error
from layerkit.fastapi.errors import Renderer, problem_handler
from layerkit.fastapi.handlers import answer_unknown, handle_errors
from layerkit.fastapi.health import Health
from layerkit.fastapi.middleware import (
    CatchAllMiddleware,
    CorrelationMiddleware,
    FactoryMiddleware,
)
from layerkit.fastapi.needs import INSTALLED, needs_of
from layerkit.fastapi.openapi import document_errors


def install(
    app: FastAPI,
    factory: ServiceFactory | None = None,
    *,
    renderer: Renderer = problem_handler,
    validation: Literal["fastapi", "problem"] = "fastapi",
    health: str | None = "/health",
    ready: str | None = "/ready",
    request_id_header: str = "X-Request-ID",
) -> None:
    """Add error answers, correlation ids, health and the factory to an application.

    Call it once, before or after the routes are added. The factory opens and closes
    with the application's lifespan, around what the application does there itself, and
    what all routes inject is checked at start, also those that the lifespan adds.
    Handlers that the application has registered for HTTPException,
    RequestValidationError or Exception stay its own, and so do its routes at the paths
    of *health* and *ready* if they are there already.

    Routes that use nothing of layerkit keep FastAPI's answers to invalid input and to
    HTTPExceptions, and their OpenAPI. A route uses it by a dependency, nested ones
    included (``Inject``, ``listing``, ``ETag``, ``IfMatch``), or by
    ``responses=problems(...)``, its own or its router's. An AppException is answered
    here on every route, and so is an error that nothing else handles.

    A mounted application gets the factory too, and answers its own errors: call
    ``install`` for it as well, without a factory, for answers in the same form.

    Args:
        app: The application; nothing of it has to be written for layerkit.
        factory: Where ``Inject`` gets its objects; left out, nothing can be injected.
        renderer: Answers the errors; ``application/problem+json`` by default,
            ``app_exception_handler`` for the textbook's envelope, or one of your own,
            which gets every error as an AppException.
        validation: "problem" answers invalid input and HTTPExceptions by the renderer
            on all routes, and where there is no route; "fastapi" on those that use
            layerkit.
        health: The path that answers 200 while the application serves, 503 while the
            factory is closed, and asks nothing else: for liveness. None for no path.
        ready: The path that answers 200 while requests can be served: the lifespan has
            started, and no singleton of the factory says that it is unwell; else 503.
            None for no path.
        request_id_header: The header of the correlation id, in and out.

    Raises:
        UsageError: It was called before, or the application is serving already.
    """
    if hasattr(app.state, INSTALLED):
        raise UsageError(
            "install() was called for this application before: once will do"
        )
    if app.middleware_stack is not None:
        raise UsageError("the application is serving already: call install() before")
    setattr(app.state, INSTALLED, factory)
    handler = handle_errors(app, renderer, everywhere=validation == "problem")
    _wrap_all(app, request_id_header)
    # At the end of the list: inside all middleware, whenever that was or will be added.
    app.user_middleware.append(
        Middleware(CatchAllMiddleware, renderer=answer_unknown(app))
    )
    if factory is not None:
        app.user_middleware.append(Middleware(FactoryMiddleware, factory=factory))
    state = Health(factory)
    state.add_to(app, health, ready)
    _wrap_lifespan(app, factory, state)
    document_errors(app, handler)


def _wrap_all(app: FastAPI, header: str) -> None:
    """Give every answer a correlation id, also those of middleware added later."""
    build = app.build_middleware_stack

    def build_stack() -> ASGIApp:
        return CorrelationMiddleware(build(), header)

    vars(app)["build_middleware_stack"] = build_stack


def _wrap_lifespan(app: FastAPI, factory: ServiceFactory | None, state: Health) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: Any) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            _check(app, factory)
            if factory is not None:
                await stack.enter_async_context(factory)
            own = await stack.enter_async_context(inner(served))
            _check(app, factory)  # once more: it may have added routes
            state.is_started = True
            try:
                yield own
            finally:
                state.is_started = False

    app.router.lifespan_context = lifespan


def _check(app: FastAPI, factory: ServiceFactory | None) -> None:
    needs: list[Need] = list(needs_of(app))
    if factory is not None:
        factory.check(needs)
    elif needs:
        raise wiring_error(
            f"{need.by} injects {describe(need.key)}, and install(app) was "
            "given no factory: call install(app, factory)"
            for need in needs
        )
