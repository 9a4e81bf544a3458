"""The application."""

from fastapi import FastAPI

from examples.users.core.settings import AppSettings
from examples.users.routers import live, users
from examples.users.wiring import make_factory
from layerkit import ServiceFactory
from layerkit.fastapi import install


def create_app(settings: AppSettings, factory: ServiceFactory | None = None) -> FastAPI:
    """Return the application, which opens its database when it is served.

    Args:
        settings: Where users are kept, among others.
        factory: One with replaced parts, for tests; made from *settings* if left out.
    """
    app = FastAPI(title=settings.APP_NAME, version=settings.APP_VERSION)
    app.include_router(users.router)
    app.include_router(live.router)
    install(app, factory or make_factory(settings), validation="problem")
    return app
