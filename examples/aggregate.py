"""An aggregate that keeps its rules and records its events, the same on any home."""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import JSON, Column, Integer, String, Table
from sqlalchemy.orm import registry

from layerkit import BusinessRuleError, EventBus, NotFoundError, Payload, Repository


class OrderPaid(Payload, event_type="order.paid"):
    """Say that the whole of an order is paid."""

    order_id: int


class Aggregate:
    """Record events, until who stores the object takes them."""

    def record(self, event: Payload) -> None:
        """Keep *event*; it is no field, so that no home stores it."""
        self.__dict__.setdefault("_recorded", []).append(event)

    def take_events(self) -> list[Payload]:
        """Return what was recorded, and forget it."""
        recorded: list[Payload] = self.__dict__.pop("_recorded", [])
        return recorded


@dataclass(eq=False)
class Order(Aggregate):
    """An order, with not a word about storage."""

    total: int
    payments: list[int] = field(default_factory=list)
    state: str = "open"
    id: int = field(init=False)  # filled by the home
    version: int | None = None

    def pay(self, amount: int) -> None:
        """Take a payment.

        Raises:
            BusinessRuleError: The order is paid, or is paid too much by this.
        """
        if amount > self.total - sum(self.payments):
            raise BusinessRuleError("nobody pays more than the order's total")
        self.payments.append(amount)
        if sum(self.payments) == self.total:
            self.state = "paid"
            self.record(OrderPaid(order_id=self.id))


tables: Final = registry()
"""The tables; what is mapped goes into a MemoryDatabase and a RedisDatabase as well."""

_ORDERS: Final = Table(
    "orders",
    tables.metadata,
    Column("id", Integer, primary_key=True),
    Column("total", Integer, nullable=False),
    Column("payments", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", Integer, nullable=False),
)
tables.map_imperatively(Order, _ORDERS, version_id_col=_ORDERS.c.version)


class Orders(Repository[Order, int]):
    """The orders, in whatever home."""


async def pay(orders: Orders, bus: EventBus, order_id: int, *amounts: int) -> None:
    """Pay an order: all amounts, and the event after the commit, or nothing."""
    async with orders.unit_of_work(events=bus) as unit:
        order = await orders.get_by_id(order_id)
        if order is None:
            raise NotFoundError(entity=Order, entity_id=order_id)
        for amount in amounts:
            order.pay(amount)
        for event in order.take_events():
            unit.emit(event)
