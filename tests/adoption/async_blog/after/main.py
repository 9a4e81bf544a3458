"""The blog: FastAPI, SQLAlchemy 2.0, and layerkit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import async_sessionmaker

from layerkit import ServiceFactory
from layerkit.fastapi import install
from layerkit.sql import Database
from tests.adoption.async_blog.after import authors, comments, posts
from tests.adoption.async_blog.after.answers import render
from tests.adoption.async_blog.after.database import make_engine
from tests.adoption.async_blog.after.models import Base


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with app.state.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await app.state.engine.dispose()


def create_app(url: str) -> FastAPI:
    app = FastAPI(title="Blog", lifespan=lifespan)
    app.state.engine = make_engine(url)
    app.state.sessions = async_sessionmaker(app.state.engine, expire_on_commit=False)
    for module in (authors, posts, comments):
        app.include_router(module.router)
    factory = ServiceFactory()
    factory.value(Database(app.state.sessions)).given(Request)
    factory.scoped(authors.service_of_tenant)
    install(app, factory, renderer=render, health=None, ready=None)
    app.add_exception_handler(
        RequestValidationError,
        request_validation_exception_handler,  # type: ignore[arg-type] # as FastAPI documents it
    )
    return app
