"""The tables of the shop, which the move leaves as they are."""

from datetime import UTC, datetime

from sqlalchemy import DateTime
from sqlalchemy.orm import registry
from sqlmodel import Field, Relationship, SQLModel


class Table(SQLModel, registry=registry()):
    """The base of all tables, with metadata of its own."""


class Customer(Table, table=True):
    __tablename__ = "customers"
    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(unique=True)
    name: str
    orders: list["Order"] = Relationship(back_populates="customer", cascade_delete=True)


class Product(Table, table=True):
    __tablename__ = "products"
    id: int | None = Field(default=None, primary_key=True)
    sku: str = Field(unique=True)
    name: str
    price: int = Field(description="in cents")
    stock: int = 0
    views: int = 0


class Order(Table, table=True):
    __tablename__ = "orders"
    id: int | None = Field(default=None, primary_key=True)
    customer_id: int = Field(foreign_key="customers.id", index=True)
    status: str = "placed"
    total: int = 0
    placed_at: datetime = Field(
        default_factory=lambda: datetime.now(UTC), sa_type=DateTime(timezone=True)
    )
    customer: Customer = Relationship(back_populates="orders")
    lines: list["OrderLine"] = Relationship(
        cascade_delete=True, sa_relationship_kwargs={"lazy": "selectin"}
    )


class OrderLine(Table, table=True):
    __tablename__ = "order_lines"
    id: int | None = Field(default=None, primary_key=True)
    order_id: int | None = Field(default=None, foreign_key="orders.id", index=True)
    product_id: int = Field(foreign_key="products.id")
    quantity: int
    price: int
