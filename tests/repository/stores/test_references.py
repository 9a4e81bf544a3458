"""Foreign keys in memory: who is known, what is refused, and what it costs."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from layerkit.core.errors import AlreadyExistsError, ConflictError, UnitOfWorkError
from layerkit.repository import InMemoryRepository, MemoryDatabase, Repository, field
from layerkit.repository.stores.memory import MemoryTransaction
from layerkit.sql import SoftDeleteMixin, unique_live


class Base(DeclarativeBase):
    """Hold the tables of a shop."""


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(9))
    tokens: Mapped[list["Token"]] = relationship(cascade="all")
    orders: Mapped[list["Order"]] = relationship(passive_deletes="all")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(
        "customer", ForeignKey("customers.id")
    )
    follows_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    note: Mapped[str | None] = mapped_column(String(9))


class Token(Base):
    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"))


class Shop:
    """Hold a repository of each class in one home."""

    def __init__(self, **options: Any) -> None:
        self.home = MemoryDatabase(**options)
        self.customers = Repository[Customer, int](self.home, Customer)
        self.orders = Repository[Order, int](self.home, Order)
        self.tokens = Repository[Token, int](self.home, Token)

    async def sizes(self) -> list[int]:
        all_of = (self.customers, self.orders, self.tokens)
        return [await repository.count() for repository in all_of]


# Who is known


async def test_a_class_without_a_repository_is_not_looked_for() -> None:
    home = MemoryDatabase()
    orders = Repository[Order, int](home, Order)

    await orders.create({"id": 1, "customer_id": 9})

    with pytest.raises(ConflictError):  # it knows itself
        await orders.create({"id": 2, "follows_id": 9})


async def test_a_class_that_is_known_later_counts_from_then_on() -> None:
    home = MemoryDatabase()
    orders = Repository[Order, int](home, Order)
    await orders.create({"id": 1, "customer_id": 9})

    customers = Repository[Customer, int](home, Customer)
    await customers.create({"id": 1})

    await orders.update(1, {"customer_id": 9, "note": "as before"})
    with pytest.raises(ConflictError):
        await orders.update(1, {"customer_id": 8})
    await orders.update(1, {"customer_id": 1})
    with pytest.raises(ConflictError):
        await customers.delete(1)


async def test_another_home_is_not_looked_in() -> None:
    await Shop().customers.create({"id": 1})

    with pytest.raises(ConflictError):
        await Shop().orders.create({"id": 1, "customer_id": 1})


async def test_foreign_keys_can_be_left_out() -> None:
    shop = Shop(foreign_keys=False)
    await shop.customers.create({"id": 1})
    await shop.orders.create({"id": 1, "customer_id": 9})
    await shop.orders.update(1, {"customer_id": 1})
    await shop.tokens.create({"id": 1, "customer_id": 1})

    assert await shop.customers.delete(1) is True

    assert await shop.sizes() == [0, 1, 1]
    (token,) = await shop.tokens.get_all()
    assert token.customer_id == 1


async def test_a_repository_of_its_own_knows_itself() -> None:
    orders = InMemoryRepository[Order, int](model_class=Order)
    await orders.create_many([{"id": 1, "customer_id": 9}, {"id": 2, "follows_id": 1}])

    with pytest.raises(ConflictError):
        await orders.delete(1)


async def test_a_row_of_either_class_of_a_table_is_there() -> None:
    class Own(DeclarativeBase): ...

    class Person(Own):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Face(Own):
        __table__ = Person.__table__

    class Letter(Own):
        __tablename__ = "letters"
        id: Mapped[int] = mapped_column(primary_key=True)
        person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))

    home = MemoryDatabase()
    letters = Repository[Letter, int](home, Letter)
    for number, entity in enumerate((Person, Face), start=1):
        people = Repository[Any, int](home, entity)
        await people.create({"id": number})
        await letters.create({"person_id": number})
        with pytest.raises(ConflictError):
            await people.delete(number)
    with pytest.raises(ConflictError):
        await letters.create({"person_id": 3})


async def test_what_no_database_takes_for_a_key_is_not_referred_to() -> None:
    class Own(DeclarativeBase): ...

    class Person(SoftDeleteMixin, Own):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(String(9))
        name: Mapped[str] = mapped_column(String(9))
        __table_args__ = (unique_live("code"),)

    class Letter(Own):
        __tablename__ = "letters"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(ForeignKey("people.code"))
        name: Mapped[str] = mapped_column(ForeignKey("people.name"))
        gone_id: Mapped[int] = mapped_column(ForeignKey("nowhere.id"))

    home = MemoryDatabase()
    Repository[Person, int](home, Person)
    letters = Repository[Letter, int](home, Letter)

    await letters.create({"code": "a", "name": "b", "gone_id": 1})

    assert await letters.count() == 1


# What is refused, and what is left of it


async def test_a_refused_delete_names_the_relationship_and_the_remedies() -> None:
    shop = Shop()
    await shop.customers.create({"id": 1})
    await shop.orders.create({"id": 1, "customer_id": 1})
    await shop.orders.create({"id": 2, "follows_id": 1})

    with pytest.raises(ConflictError) as of_customer:
        await shop.customers.delete(1)
    with pytest.raises(ConflictError) as of_order:
        await shop.orders.delete(1)

    error = of_customer.value
    assert "Customer is still referred to by Customer.orders (orders.customer)" in str(
        error
    )
    for remedy in ("passive_deletes=True", "ondelete=", "cascade="):
        assert remedy in str(error)
    assert (error.kind, error.constraint) == ("foreign_key", "orders_customer_fkey")
    assert "orders" not in str(error.to_problem())
    assert "the Order is still referred to by orders.follows_id: " in str(
        of_order.value
    )


async def test_what_leads_nowhere_is_reported_by_its_fields() -> None:
    shop = Shop()

    with pytest.raises(ConflictError) as refused:
        await shop.orders.create({"customer_id": 1})

    error = refused.value
    assert str(error).startswith("customer_id does not match: ")
    assert error.detail["fields"] == ["customer_id"]
    assert (error.kind, error.constraint) == ("foreign_key", "orders_customer_fkey")
    assert await shop.orders.count() == 0


async def test_a_unit_can_only_roll_back_after_a_refusal() -> None:
    shop = Shop()
    await shop.customers.create({"id": 1})
    await shop.orders.create({"id": 1, "customer_id": 1})

    with pytest.raises(UnitOfWorkError):
        async with shop.home.unit_of_work():
            await shop.orders.create({"id": 2})
            with pytest.raises(ConflictError):
                await shop.customers.delete(1)
            await shop.orders.count()

    assert await shop.sizes() == [1, 1, 0]


async def test_a_refusal_that_a_savepoint_has_undone_is_over() -> None:
    shop = Shop()
    await shop.customers.create({"id": 1})
    await shop.orders.create({"id": 1, "customer_id": 1})

    async with shop.home.unit_of_work() as unit:
        for attempt in (
            shop.customers.delete(1),
            shop.orders.create({"follows_id": 9}),
        ):
            with pytest.raises(ConflictError):
                async with unit.savepoint():
                    await attempt
        await shop.orders.delete(1)
        assert await shop.customers.delete(1) is True

    assert await shop.sizes() == [0, 0, 0]


async def test_a_key_that_moves_takes_no_other_rows_place() -> None:
    class Own(DeclarativeBase): ...

    class Person(Own):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(String(9), unique=True)

    class Badge(Own):
        __tablename__ = "badges"
        code: Mapped[str] = mapped_column(
            ForeignKey("people.code", onupdate="CASCADE"), primary_key=True
        )

    home = MemoryDatabase()
    badges = Repository[Badge, str](home, Badge)
    await badges.create_many([{"code": "a"}, {"code": "b"}])
    people = Repository[Person, int](home, Person)
    await people.create({"id": 1, "code": "a"})

    with pytest.raises(AlreadyExistsError):
        await people.update(1, {"code": "b"})

    assert [badge.code for badge in await badges.get_all()] == ["a", "b"]


# Units beside each other


@pytest.mark.parametrize("first", ["delete", "create"])
async def test_the_second_of_two_units_that_would_leave_an_orphan_is_refused(
    first: str,
) -> None:
    shop = Shop()
    await shop.customers.create({"id": 1})
    wrote, go_on = asyncio.Event(), asyncio.Event()
    refused: list[str] = []

    async def act(what: str) -> None:
        async with shop.home.unit_of_work():
            assert await shop.customers.get_by_id(1) is not None  # both have seen it
            if what == first:
                await write(what)
                wrote.set()
                await go_on.wait()
            else:
                await wrote.wait()
                go_on.set()
                await write(what)

    async def write(what: str) -> None:
        if what == "delete":
            await shop.customers.delete(1)
        else:
            await shop.orders.create({"id": 1, "customer_id": 1})

    async def told(what: str) -> None:
        try:
            await act(what)
        except ConflictError:
            refused.append(what)

    await asyncio.gather(told("delete"), told("create"))

    assert refused == ["create" if first == "delete" else "delete"]
    assert await shop.sizes() == ([0, 0, 0] if first == "delete" else [1, 1, 0])


# What it costs


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The classes whose rows were gone through, in order."""
    seen: list[str] = []
    plain = MemoryTransaction.stored_rows

    async def rows(self: Any, adapter: Any, *args: Any) -> Any:
        seen.append(adapter.name)
        return await plain(self, adapter, *args)

    monkeypatch.setattr(MemoryTransaction, "stored_rows", rows)
    return seen


async def test_what_a_row_refers_to_is_found_without_going_through_rows(
    looks: list[str],
) -> None:
    shop = Shop()
    await shop.customers.create_many([{"id": n} for n in range(1, 50)])
    orders = [{"id": n, "customer_id": n, "follows_id": n} for n in range(1, 50)]
    await shop.orders.create_many(orders)
    await shop.customers.update(1, {"name": "Ada"})

    assert looks == []


async def test_a_delete_goes_through_each_class_that_refers_once(
    looks: list[str],
) -> None:
    shop = Shop()
    await shop.customers.create_many([{"id": n} for n in range(1, 50)])
    await shop.tokens.create_many([{"id": n, "customer_id": n} for n in range(1, 50)])

    assert await shop.customers.delete_where(field("id") > 0) == 49

    assert await shop.sizes() == [0, 0, 0]
    assert sorted(looks[:4]) == ["Customer", "Order", "Token", "Token"]
