"""The application with layerkit: repository, service, factory, and all of `install`."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Query

from benchmarks.request.items import URL, Item, ItemChange, ItemIn, ItemOut
from layerkit import BaseService, Repository, ServiceFactory
from layerkit.fastapi import Inject, install
from layerkit.sql import Database


class ItemRepository(Repository[Item, int]):
    """Store items."""


class ItemService(BaseService[Item, int]):
    """Serve items."""

    def __init__(self, items: ItemRepository) -> None:
        super().__init__(items)


async def open_database() -> AsyncIterator[Database]:
    """Yield the database, and close it."""
    async with Database(URL) as database:
        yield database


factory = (
    ServiceFactory().singleton(open_database).scoped(ItemRepository).scoped(ItemService)
)
app = FastAPI()


@app.get("/items/{item_id}")
async def get_item(item_id: int, items: Inject[ItemService]) -> ItemOut:
    """Show one."""
    return ItemOut.model_validate(await items.get_entity(item_id))


@app.get("/items")
async def list_items(
    items: Inject[ItemService],
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> list[ItemOut]:
    """Show some."""
    found = await items.list_entities(skip, limit)
    return [ItemOut.model_validate(item) for item in found]


@app.post("/items", status_code=201)
async def create_item(body: ItemIn, items: Inject[ItemService]) -> ItemOut:
    """Store one."""
    return ItemOut.model_validate(await items.create_entity(body))


@app.patch("/items/{item_id}")
async def update_item(
    item_id: int, body: ItemChange, items: Inject[ItemService]
) -> ItemOut:
    """Change one."""
    return ItemOut.model_validate(await items.update_entity(item_id, body))


install(app, factory)
