"""The blog: FastAPI and SQLAlchemy 2.0."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import async_sessionmaker

from tests.adoption.async_blog.before import authors, comments, posts
from tests.adoption.async_blog.before.database import make_engine
from tests.adoption.async_blog.before.models import Base


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
    app.add_exception_handler(
        RequestValidationError,
        request_validation_exception_handler,  # type: ignore[arg-type] # as FastAPI documents it
    )
    return app
