"""The shop on layerkit: its engine, sessions, errors and reports are as they were."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.orm import sessionmaker
from sqlmodel import Session

from layerkit import ServiceFactory
from layerkit.fastapi import install
from layerkit.sql import Database
from tests.adoption.sync_shop import reports
from tests.adoption.sync_shop.after import customers, orders, products
from tests.adoption.sync_shop.after.answers import render
from tests.adoption.sync_shop.after.repositories import (
    CustomerRepository,
    OrderRepository,
    ProductRepository,
)
from tests.adoption.sync_shop.after.services import OrderService
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
    factory = ServiceFactory()
    factory.value(Database(sessionmaker(app.state.engine, class_=Session)))
    for part in (CustomerRepository, ProductRepository, OrderRepository, OrderService):
        factory.scoped(part)
    install(app, factory, renderer=render, health=None, ready=None)
    return app
