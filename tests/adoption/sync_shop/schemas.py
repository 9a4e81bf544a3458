"""What clients send and get, which the move leaves as it is."""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Schema(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class Listed(Schema, Generic[T]):
    items: list[T]
    total: int


class CustomerIn(Schema):
    email: str = Field(pattern=r"^\S+@\S+$")
    name: str = Field(min_length=1)


class CustomerOut(CustomerIn):
    id: int


class ProductIn(Schema):
    sku: str
    name: str
    price: int = Field(gt=0)
    stock: int = Field(default=0, ge=0)


class ProductChange(Schema):
    name: str | None = None
    price: int | None = Field(default=None, gt=0)


class ProductOut(ProductIn):
    id: int
    views: int


class LineIn(Schema):
    product_id: int
    quantity: int = Field(gt=0)


class OrderIn(Schema):
    customer_id: int
    lines: list[LineIn] = Field(min_length=1)


class LineOut(LineIn):
    price: int


class OrderOut(Schema):
    id: int
    customer_id: int
    status: str
    total: int
    placed_at: datetime
    lines: list[LineOut]


class SalesOut(Schema):
    status: str
    orders: int
    total: int


class TopProductOut(Schema):
    sku: str
    sold: int
