"""What both applications share: the table, the schemas, the database's address."""

import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ.get("BENCH_REQUEST_URL", "sqlite://")


class Base(DeclarativeBase):
    """Hold the table."""


class Item(Base):
    """Be stored."""

    __tablename__ = "bench_request_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(50), unique=True)
    name: Mapped[str] = mapped_column(String(50))
    qty: Mapped[int] = mapped_column(default=0)


Text = Annotated[str, StringConstraints(min_length=1, max_length=50)]


class ItemIn(BaseModel):
    """Be created."""

    model_config = ConfigDict(extra="forbid")

    code: Text
    name: Text
    qty: int = 0


class ItemChange(BaseModel):
    """Change some fields."""

    model_config = ConfigDict(extra="forbid")

    name: Text = ""
    qty: int = 0


class ItemOut(BaseModel):
    """Be shown."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    code: str
    name: str
    qty: int
