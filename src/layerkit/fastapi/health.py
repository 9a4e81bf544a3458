"""Two answers for whoever runs the application: is it alive, can it take requests."""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.routing import Route

from layerkit.factory import ServiceFactory
from layerkit.fastapi.needs import routes_of

_FRESH: Final = {"Cache-Control": "no-store"}


class Health:
    """Answer liveness and readiness.

    Args:
        factory: Whose singletons are asked; None without a factory.

    Attributes:
        is_started: True between the start and the end of the application's lifespan.
    """

    def __init__(self, factory: ServiceFactory | None) -> None:
        self.factory = factory
        self.is_started = False

    async def live(self, _: Request) -> JSONResponse:
        """Answer 200, or 503 while the factory is closed; nothing is asked."""
        return _answer(ok=self.factory is None or self.factory.is_open)

    async def ready(self, _: Request) -> JSONResponse:
        """Answer 200 once started and while all that can be asked is well; else 503."""
        if not self.is_started or self.factory is None:
            return _answer(ok=self.is_started)
        report = await self.factory.health()
        return _answer(ok=report.ok, checks=report.to_dict()["checks"])

    def add_to(self, app: FastAPI, live: str | None, ready: str | None) -> None:
        """Put the routes before all others, unless *app* has such a path already."""
        taken = {getattr(route, "path", None) for route in routes_of(app)}
        for path, endpoint in ((ready, self.ready), (live, self.live)):
            if path is not None and path not in taken:
                # First: a mount at "/", as of a frontend's files, takes every path.
                route = Route(path, endpoint, include_in_schema=False)
                app.router.routes.insert(0, route)


def _answer(*, ok: bool, **found: object) -> JSONResponse:
    body = {"status": "ok" if ok else "unavailable"} | found
    return JSONResponse(body, 200 if ok else 503, _FRESH)
