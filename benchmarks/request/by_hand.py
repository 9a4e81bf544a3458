"""The application as one writes it with FastAPI and SQLAlchemy alone.

It validates, maps errors to answers, and commits before it answers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from sqlalchemy import event, make_url, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.request.items import URL, Item, ItemChange, ItemIn, ItemOut

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_url = make_url(URL)
engine = create_async_engine(_url.set(drivername=_DRIVERS[_url.get_backend_name()]))
sessions = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def set_up(connection: Any, _: object) -> None:
    """Let readers read while one writes, on SQLite."""
    if engine.dialect.name == "sqlite":
        connection.execute("PRAGMA journal_mode = WAL")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connections at the end."""
    yield
    await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    """Yield the session of a request."""
    async with sessions() as session:
        yield session


app = FastAPI(lifespan=lifespan)
Session = Annotated[AsyncSession, Depends(get_session)]


@app.get("/items/{item_id}")
async def get_item(item_id: int, session: Session) -> ItemOut:
    """Show one."""
    item = await session.get(Item, item_id)
    if item is None:
        raise HTTPException(404, "no such item")
    return ItemOut.model_validate(item)


@app.get("/items")
async def list_items(
    session: Session,
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> list[ItemOut]:
    """Show some."""
    found = select(Item).order_by(Item.id).offset(skip).limit(limit)
    return [ItemOut.model_validate(i) for i in await session.scalars(found)]


@app.post("/items", status_code=201)
async def create_item(body: ItemIn, session: Session) -> ItemOut:
    """Store one."""
    item = Item(**body.model_dump())
    session.add(item)
    try:
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(409, "the code is taken") from error
    return ItemOut.model_validate(item)


@app.patch("/items/{item_id}")
async def update_item(item_id: int, body: ItemChange, session: Session) -> ItemOut:
    """Change one."""
    item = await session.get(Item, item_id)
    if item is None:
        raise HTTPException(404, "no such item")
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(item, name, value)
    try:
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(409, "the code is taken") from error
    return ItemOut.model_validate(item)
