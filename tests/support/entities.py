"""Mapped classes that tests of several packages store."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import REAL, BigInteger, Double, Numeric, String, func
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.sql import SoftDeleteMixin, TimestampMixin, VersionMixin, unique_live
from layerkit.testing.contracts import Status

# Unique rules follow the column's collation, which on MariaDB folds case unless told.
Exact = String(100).with_variant(
    VARCHAR(100, collation="utf8mb4_bin"), "mysql", "mariadb"
)


class Base(DeclarativeBase):
    """Hold the tables of the tests."""


class MappedItem(Base):
    """Be the contracts' Item with a table."""

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Exact, unique=True)
    qty: Mapped[int | None]
    note: Mapped[str | None] = mapped_column(String(100))


class MappedRecord(TimestampMixin, VersionMixin, SoftDeleteMixin, Base):
    """Be the contracts' Record with a table."""

    __tablename__ = "records"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(Exact)
    tenant: Mapped[str] = mapped_column(String(20), default="main")
    qty: Mapped[int] = mapped_column(default=0)

    __table_args__ = (unique_live("code", name="live_code"),)


class MappedReading(Base):
    """Be the contracts' Reading with a table; the server makes its moment."""

    __tablename__ = "readings"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(Exact, unique=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    narrow: Mapped[float | None] = mapped_column(REAL)
    wide: Mapped[float | None] = mapped_column(Double)
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    whole: Mapped[int | None]
    text: Mapped[str | None] = mapped_column(String(20))


class MappedSeat(Base):
    """Be the contracts' Seat with a table."""

    __tablename__ = "seats"

    row: Mapped[str] = mapped_column(String(5), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    guest: Mapped[str | None] = mapped_column(String(50))


class MappedSale(Base):
    """Be the contracts' Sale with a table."""

    __tablename__ = "sales"

    id: Mapped[int] = mapped_column(primary_key=True)
    region: Mapped[str | None] = mapped_column(String(20))
    status: Mapped[Status] = mapped_column(default=Status.NEW)
    amount: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    weight: Mapped[float | None] = mapped_column(Double)
    units: Mapped[int | None] = mapped_column(BigInteger)
    sold_on: Mapped[date | None]
    paid: Mapped[bool] = mapped_column(default=False)
