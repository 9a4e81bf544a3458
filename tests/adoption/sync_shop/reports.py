"""A report with a join, a route that stays as it is."""

from fastapi import APIRouter
from sqlmodel import col, desc, func, select

from tests.adoption.sync_shop.database import SessionDep
from tests.adoption.sync_shop.models import Order, OrderLine, Product
from tests.adoption.sync_shop.schemas import TopProductOut

router = APIRouter(prefix="/reports", tags=["reports"])


@router.get("/top-products")
def top_products(session: SessionDep, limit: int = 3) -> list[TopProductOut]:
    sold = func.sum(OrderLine.quantity)
    statement = (
        select(Product.sku, sold)
        .join(OrderLine, col(OrderLine.product_id) == Product.id)
        .join(Order, col(Order.id) == OrderLine.order_id)
        .where(Order.status == "placed")
        .group_by(Product.sku)
        .order_by(desc(sold), Product.sku)
        .limit(limit)
    )
    rows = session.exec(statement).all()
    return [TopProductOut(sku=sku, sold=count) for sku, count in rows]
