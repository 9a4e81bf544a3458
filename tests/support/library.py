"""Mapped classes that show what a mapping can say, for the tests of layerkit.sql."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    deferred,
    mapped_column,
    registry,
    relationship,
    validates,
)


class Base(DeclarativeBase):
    """Hold the tables of the library."""


class Author(Base):
    """Have relationships: books die with their author."""

    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    rank: Mapped[int | None]
    books: Mapped[list["Book"]] = relationship(
        back_populates="author", cascade="all, delete-orphan"
    )


class Book(Base):
    """Refer to an author, and hold a text that is loaded only when asked for."""

    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("authors.id"))
    text: Mapped[str | None] = deferred(mapped_column(String(200)))
    author: Mapped[Author | None] = relationship(back_populates="books")


class Loan(Base):
    """Refer to a book without a relationship, in a short text."""

    __tablename__ = "loans"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id", name="loan_of_book"))
    note: Mapped[str | None] = mapped_column(String(5))
    copies: Mapped[int] = mapped_column(Integer, default=1)

    __table_args__ = (CheckConstraint("copies > 0", name="copies_positive"),)


class Seat(Base):
    """Have a composite key, a composite unique rule and columns of other names."""

    __tablename__ = "seats"

    row: Mapped[str] = mapped_column("row_code", String(10), primary_key=True)
    number: Mapped[int] = mapped_column("seat_number", primary_key=True)
    guest: Mapped[str | None] = mapped_column("guest_name", String(50))
    night: Mapped[int | None] = mapped_column("night_no")

    __table_args__ = (
        UniqueConstraint("guest_name", "night_no", name="one_seat_a_night"),
    )


class Stamped(Base):
    """Be filled in by the database and by the mapping."""

    __tablename__ = "stamped"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(50), default="unnamed")
    level: Mapped[int] = mapped_column(default=lambda: 3)
    touched: Mapped[int] = mapped_column(default=0, onupdate=9)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), onupdate=lambda: datetime.now(UTC)
    )


class Versioned(Base):
    """Count versions by the mapper."""

    __tablename__ = "versioned"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    hits: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - declarative's


class Checked(Base):
    """Check values in Python."""

    __tablename__ = "checked"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))

    @validates("name")
    def _trim(self, _: str, value: str) -> str:
        return value.strip()


class Employee(Base):
    """Be the parent of joined inheritance."""

    __tablename__ = "employees"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    kind: Mapped[str] = mapped_column(String(20))

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}  # noqa: RUF012 - declarative's


class Manager(Employee):
    """Be the child: its columns are in two tables."""

    __tablename__ = "managers"

    id: Mapped[int] = mapped_column(ForeignKey("employees.id"), primary_key=True)
    budget: Mapped[int] = mapped_column(default=0)

    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012 - declarative's


class Ticket:
    """Be mapped imperatively."""

    def __init__(self, code: str, price: int = 1) -> None:
        self.code = code
        self.price = price


imperative = registry(metadata=Base.metadata)
tickets = Table(
    "tickets",
    Base.metadata,
    Column("ticket_code", String(10), primary_key=True),
    Column("price", Integer, nullable=False),
)
imperative.map_imperatively(Ticket, tickets, properties={"code": tickets.c.ticket_code})


def columns(entity: Any) -> dict[str, Any]:
    """Return what is loaded of the entity's columns."""
    return {k: v for k, v in vars(entity).items() if not k.startswith("_")}
