"""Mapped classes that tests of several packages store."""

from sqlalchemy import String
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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
