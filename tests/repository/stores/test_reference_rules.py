"""What an entity class says of references, as data."""

from dataclasses import dataclass

from sqlalchemy import Column, ForeignKey, Integer, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship

from layerkit.repository import CascadeRule, adapter_for
from tests.repository.stores.test_references import Customer, Order, Token


def test_a_class_of_ours_says_nothing_of_references() -> None:
    class Plain:
        id: int

    adapter = adapter_for(dataclass(Plain))

    assert (adapter.foreign_keys(), adapter.cascades()) == ((), ())
    assert adapter.named(("customers.id",)) is None


# What a mapping says


def test_a_mapped_class_declares_its_foreign_keys() -> None:
    by_customer, by_follows = adapter_for(Order).foreign_keys()

    assert (by_customer.name, by_customer.place) == (
        "orders_customer_fkey",
        "orders.customer",
    )
    assert by_customer.fields == ("customer_id",)
    assert by_follows.name == "orders_follows_id_fkey"
    assert adapter_for(Customer).named(by_customer.target) == ("id",)
    assert adapter_for(Token).named(by_customer.target) is None


def test_a_mapped_class_declares_what_it_does_at_a_delete() -> None:
    told = {rule.name: rule for rule in adapter_for(Customer).cascades()}

    assert {name: rule.on_delete for name, rule in told.items()} == {
        "Customer.orders": "NO ACTION",
        "Customer.tokens": "CASCADE",
    }
    tokens = told["Customer.tokens"]
    assert isinstance(tokens, CascadeRule)
    assert tokens.fields == ("id",)
    assert adapter_for(Token).named(tokens.target) == ("customer_id",)


def test_what_is_not_mapped_is_not_declared() -> None:
    class Own(DeclarativeBase): ...

    letters = Table(
        "letters",
        Own.metadata,
        Column("id", Integer, primary_key=True),
        Column("code", Integer, unique=True),
        Column("answers", ForeignKey("letters.id")),
    )

    class Letter(Own):
        __table__ = letters
        __mapper_args__ = {"exclude_properties": ["code", "answers"]}  # noqa: RUF012 - declarative's
        stamps: Mapped[list["Stamp"]] = relationship(
            primaryjoin=lambda: foreign(Stamp.code) == letters.c.code, viewonly=True
        )

    class Stamp(Own):
        __tablename__ = "stamps"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[int] = mapped_column(ForeignKey("letters.code"))

    letter, stamp = adapter_for(Letter), adapter_for(Stamp)

    assert (letter.foreign_keys(), letter.cascades()) == ([], [])
    (key,) = stamp.foreign_keys()
    assert letter.named(key.target) is None
