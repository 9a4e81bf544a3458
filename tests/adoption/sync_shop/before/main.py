"""The shop as it was written: FastAPI, SQLModel and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tests.adoption.sync_shop import reports
from tests.adoption.sync_shop.before import customers, orders, products
from tests.adoption.sync_shop.database import make_engine
from tests.adoption.sync_shop.errors import add_error_handlers
from tests.adoption.sync_shop.models import Table


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    Table.metadata.create_all(app.state.engine)
    yield
    app.state.engine.dispose()


def create_app(url: str) -> FastAPI:
    app = FastAPI(title="Shop", lifespan=lifespan)
    app.state.engine = make_engine(url)
    add_error_handlers(app)
    for module in (customers, products, orders, reports):
        app.include_router(module.router)
    return app
