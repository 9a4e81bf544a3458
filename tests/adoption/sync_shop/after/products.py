"""The routes of products: services on the session of the request."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from layerkit import ALL, field
from layerkit.sync import run
from tests.adoption.sync_shop.after.repositories import ProductRepository
from tests.adoption.sync_shop.after.services import ProductService
from tests.adoption.sync_shop.database import SessionDep
from tests.adoption.sync_shop.schemas import (
    Listed,
    ProductChange,
    ProductIn,
    ProductOut,
)
from tests.adoption.sync_shop.security import Staff

router = APIRouter(prefix="/products", tags=["products"])


def get_products(session: SessionDep) -> ProductService:
    return ProductService(ProductRepository(session))


Products = Annotated[ProductService, Depends(get_products)]


@router.post("", status_code=201, dependencies=[Staff])
def create_product(body: ProductIn, products: Products) -> ProductOut:
    return ProductOut.model_validate(run(products.create_entity(body)))


@router.get("")
def list_products(
    session: SessionDep,
    skip: int = Query(0, ge=0),
    limit: int = Query(20, ge=1, le=100),
    max_price: int | None = None,
) -> Listed[ProductOut]:
    where = ALL if max_price is None else field("price") <= max_price
    page = run(
        ProductRepository(session).paginate(
            where, order_by=field("sku").asc(), size=limit, offset=skip, total="exact"
        )
    )
    return Listed(
        items=[ProductOut.model_validate(row) for row in page.items], total=page.total
    )


@router.patch("/{product_id}", dependencies=[Staff])
def change_product(
    product_id: int, body: ProductChange, products: Products
) -> ProductOut:
    changes = body.model_dump(exclude_unset=True, exclude_none=True)
    return ProductOut.model_validate(run(products.update_entity(product_id, changes)))


@router.post("/{product_id}/view")
def view_product(product_id: int, products: Products) -> ProductOut:
    return ProductOut.model_validate(run(products.view(product_id)))
