"""The routes of products, with the queries in them."""

from fastapi import APIRouter, Query
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, func, select

from tests.adoption.sync_shop.before.duplicates import duplicate
from tests.adoption.sync_shop.database import SessionDep
from tests.adoption.sync_shop.errors import absent
from tests.adoption.sync_shop.models import Product
from tests.adoption.sync_shop.schemas import (
    Listed,
    ProductChange,
    ProductIn,
    ProductOut,
)
from tests.adoption.sync_shop.security import Staff

router = APIRouter(prefix="/products", tags=["products"])


def find(session: Session, product_id: int) -> Product:
    product = session.get(Product, product_id)
    if product is None:
        raise absent("product", product_id)
    return product


@router.post("", status_code=201, dependencies=[Staff])
def create_product(body: ProductIn, session: SessionDep) -> ProductOut:
    product = Product(**body.model_dump())
    session.add(product)
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        raise duplicate(error) or error from error
    session.refresh(product)
    return ProductOut.model_validate(product)


@router.get("")
def list_products(
    session: SessionDep,
    skip: int = Query(0, ge=0),
    limit: int = Query(20, ge=1, le=100),
    max_price: int | None = None,
) -> Listed[ProductOut]:
    found, counted = select(Product), select(func.count()).select_from(Product)
    if max_price is not None:
        found = found.where(Product.price <= max_price)
        counted = counted.where(Product.price <= max_price)
    rows = session.exec(found.order_by(Product.sku).offset(skip).limit(limit)).all()
    return Listed(
        items=[ProductOut.model_validate(row) for row in rows],
        total=session.exec(counted).one(),
    )


@router.patch("/{product_id}", dependencies=[Staff])
def change_product(
    product_id: int, body: ProductChange, session: SessionDep
) -> ProductOut:
    product = find(session, product_id)
    product.sqlmodel_update(body.model_dump(exclude_unset=True, exclude_none=True))
    session.add(product)
    session.commit()
    session.refresh(product)
    return ProductOut.model_validate(product)


@router.post("/{product_id}/view")
def view_product(product_id: int, session: SessionDep) -> ProductOut:
    product = find(session, product_id)
    product.views += 1
    session.add(product)
    session.commit()
    session.refresh(product)
    return ProductOut.model_validate(product)
