"""The routes of orders, with the queries and the rules in them."""

from fastapi import APIRouter
from sqlmodel import Session, func, select

from tests.adoption.sync_shop.database import SessionDep
from tests.adoption.sync_shop.errors import ShopError, absent, out_of_stock
from tests.adoption.sync_shop.models import Customer, Order, OrderLine, Product
from tests.adoption.sync_shop.schemas import OrderIn, OrderOut, SalesOut

router = APIRouter(prefix="/orders", tags=["orders"])


def find(session: Session, order_id: int) -> Order:
    order = session.get(Order, order_id)
    if order is None:
        raise absent("order", order_id)
    return order


@router.post("", status_code=201)
def place_order(body: OrderIn, session: SessionDep) -> OrderOut:
    if session.get(Customer, body.customer_id) is None:
        raise absent("customer", body.customer_id)
    order = Order(customer_id=body.customer_id)
    session.add(order)
    for line in body.lines:
        product = session.get(Product, line.product_id)
        if product is None:
            raise absent("product", line.product_id)
        if product.stock < line.quantity:
            raise out_of_stock(product.sku)
        product.stock -= line.quantity
        session.add(product)
        order.lines.append(OrderLine(**line.model_dump(), price=product.price))
        order.total += line.quantity * product.price
    session.commit()
    session.refresh(order)
    return OrderOut.model_validate(order)


@router.get("/sales")
def sales(session: SessionDep) -> list[SalesOut]:
    statement = (
        select(Order.status, func.count(), func.sum(Order.total))
        .group_by(Order.status)
        .order_by(Order.status)
    )
    return [
        SalesOut(status=status, orders=orders, total=total)
        for status, orders, total in session.exec(statement).all()
    ]


@router.get("/{order_id}")
def get_order(order_id: int, session: SessionDep) -> OrderOut:
    return OrderOut.model_validate(find(session, order_id))


@router.post("/{order_id}/cancel")
def cancel_order(order_id: int, session: SessionDep) -> OrderOut:
    order = find(session, order_id)
    if order.status != "placed":
        raise ShopError(409, "not_placed", f"order {order_id} is {order.status}")
    order.status = "cancelled"
    for line in order.lines:
        product = session.get_one(Product, line.product_id)
        product.stock += line.quantity
        session.add(product)
    session.add(order)
    session.commit()
    session.refresh(order)
    return OrderOut.model_validate(order)
