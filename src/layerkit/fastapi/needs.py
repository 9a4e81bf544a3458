"""What the routes of an application use: what they inject, and whether it is ours."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import routing
from starlette.requests import HTTPConnection

from layerkit.factory import Need
from layerkit.fastapi.inject import Resolver

INSTALLED: Final = "layerkit_installed"
"""Where ``install`` leaves the factory, or None, in an application's state."""


class Problem(dict[str, Any]):
    """Document answers: what ``problems()`` returns, of a class of its own."""


def routes_of(app: Any) -> Iterator[Any]:
    """Yield the routes of *app*, those of included routers with their whole path."""
    # FastAPI 0.165 keeps included routers whole, and has a function that sees through.
    contexts = getattr(routing, "iter_route_contexts", iter)
    yield from contexts(app.routes)


def route_of(connection: HTTPConnection) -> Any:
    """Return the route that serves *connection*; None where none does."""
    route = connection.scope.get("route")
    # The same for what routers are included with, such as dependencies for all routes.
    context = connection.scope.get("fastapi", {}).get("effective_route_context")
    return context if getattr(context, "original_route", None) is route else route


def dependencies_of(route: Any) -> Iterator[Any]:
    """Yield FastAPI's description of each dependency of *route*, nested ones too."""
    dependant = getattr(route, "dependant", None)
    waiting = [] if dependant is None else [dependant]
    while waiting:
        found = waiting.pop()
        waiting += reversed(found.dependencies)
        yield found


def is_ours(route: Any) -> bool:
    """Tell whether *route* uses something of layerkit: a dependency, or problems()."""
    responses = getattr(route, "responses", None) or {}
    calls = (found.call for found in dependencies_of(route))
    modules = (getattr(call, "__module__", None) or "" for call in calls)
    return any(isinstance(response, Problem) for response in responses.values()) or any(
        module.partition(".")[0] == "layerkit" for module in modules
    )


def needs_of(app: Any, prefix: str = "") -> Iterator[Need]:
    """Yield what the routes of *app* inject; included routers and mounts are walked.

    A mounted application with a factory of its own is left to that.
    """
    for route in routes_of(app):
        path = prefix + (getattr(route, "path", None) or "")
        methods = getattr(route, "methods", None)
        by = f"{', '.join(sorted(methods))} {path}" if methods else f"websocket {path}"
        for found in dependencies_of(route):
            if isinstance(found.call, Resolver):
                name = found.name or ""
                yield Need(by, found.call.key, name, shared_only=not methods)
        mounted = getattr(route, "app", None)
        own = getattr(getattr(mounted, "state", None), INSTALLED, None)
        is_route = getattr(route, "dependant", None) is not None
        if not is_route and hasattr(mounted, "routes") and own is None:
            yield from needs_of(mounted, path)
