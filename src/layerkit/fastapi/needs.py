"""What the routes of an application inject, to be checked before it serves."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import routing

from layerkit.factory import Need
from layerkit.fastapi.inject import Resolver

INSTALLED: Final = "layerkit_installed"
"""Where ``install`` leaves the factory, or None, in an application's state."""


def routes_of(app: Any) -> Iterator[Any]:
    """Yield the routes of *app*, those of included routers with their whole path."""
    # FastAPI 0.165 keeps included routers whole, and has a function that sees through.
    contexts = getattr(routing, "iter_route_contexts", iter)
    yield from contexts(app.routes)


def needs_of(app: Any, prefix: str = "") -> Iterator[Need]:
    """Yield what the routes of *app* inject; included routers and mounts are walked.

    A mounted application with a factory of its own is left to that.
    """
    for route in routes_of(app):
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
        own = getattr(getattr(mounted, "state", None), INSTALLED, None)
        if dependant is None and hasattr(mounted, "routes") and own is None:
            yield from needs_of(mounted, path)


def _needs(dependant: Any, by: str, *, shared_only: bool) -> Iterator[Need]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Resolver):
            yield Need(by, dependency.call.key, dependency.name or "", shared_only)
        yield from _needs(dependency, by, shared_only=shared_only)
