"""The routes of orders: a service of the factory, over a Database."""

from fastapi import APIRouter

from layerkit.fastapi import Inject
from layerkit.sync import run
from tests.adoption.sync_shop.after.services import OrderService
from tests.adoption.sync_shop.schemas import OrderIn, OrderOut, SalesOut

router = APIRouter(prefix="/orders", tags=["orders"])


@router.post("", status_code=201)
def place_order(body: OrderIn, orders: Inject[OrderService]) -> OrderOut:
    return OrderOut.model_validate(run(orders.place(body)))


@router.get("/sales")
def sales(orders: Inject[OrderService]) -> list[SalesOut]:
    return [
        SalesOut(status=row.by["status"], orders=row.count, total=row.sum["total"])
        for row in run(orders.orders.aggregate(by="status", sum="total"))
    ]


@router.get("/{order_id}")
def get_order(order_id: int, orders: Inject[OrderService]) -> OrderOut:
    return OrderOut.model_validate(run(orders.get_entity(order_id)))


@router.post("/{order_id}/cancel")
def cancel_order(order_id: int, orders: Inject[OrderService]) -> OrderOut:
    return OrderOut.model_validate(run(orders.cancel(order_id)))
