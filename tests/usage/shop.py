"""The code of the promises: a model, repositories and services as users write them."""

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import ForeignKey, String, func
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
    selectinload,
)
from typing_extensions import override

from layerkit import (
    AlreadyExistsError,
    BaseService,
    CreateSchema,
    EventBus,
    Inc,
    NotFoundError,
    NotificationInterface,
    Payload,
    Repository,
    ResponseSchema,
    field,
)
from layerkit.core import uuid7
from layerkit.sql import Database, SQLRepository


class Base(DeclarativeBase):
    """Hold the tables of the shop."""


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(100), unique=True)
    active: Mapped[bool] = mapped_column(default=True)


class Stock(Base):
    __tablename__ = "stock"

    id: Mapped[int] = mapped_column(primary_key=True)
    qty: Mapped[int]


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    item_id: Mapped[int]
    lines: Mapped[list["Line"]] = relationship()


class Line(Base):
    __tablename__ = "lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    amount: Mapped[int]


class UserCreate(CreateSchema):
    email: str


class UserOut(ResponseSchema[int]):
    email: str


class OrderPlaced(Payload, event_type="order.placed"):
    order_id: UUID


class UserRepository(Repository[User, int]):
    async def get_by_email(self, email: str) -> User | None:
        return await self.find_one(field("email") == email)


class StockRepository(Repository[Stock, int]):
    pass


class OrderRepository(SQLRepository[Order, UUID]):
    load = (selectinload(Order.lines),)

    async def largest(self) -> list[Order]:
        return await self.all(
            self.select()
            .join(Order.lines)
            .group_by(Order.id)
            .order_by(func.sum(Line.amount).desc())
        )


class UserService(BaseService[User, int]):
    def __init__(self, users: UserRepository, mail: NotificationInterface) -> None:
        super().__init__(users)
        self.users, self.mail = users, mail

    @override
    async def _validate_create_data(self, data: UserCreate) -> None:
        if await self.users.get_by_email(data.email):
            raise AlreadyExistsError("E-mail already registered", fields=("email",))

    @override
    async def _post_create_actions(self, user: User) -> None:
        self.after_commit(
            lambda: self.mail.send_notification(user.email, "Welcome", "welcome")
        )


async def place(database: Database, bus: EventBus, item_id: int) -> Order:
    orders, stock = OrderRepository(database), StockRepository(database)
    async with database.unit_of_work(events=bus) as uow:
        if (
            await stock.update(item_id, {"qty": Inc(-1)}, when=field("qty") >= 1)
            is None
        ):
            raise NotFoundError(entity=Stock, entity_id=item_id)
        order = await orders.create({"item_id": item_id})
        uow.emit(OrderPlaced(order_id=order.id))
        return order


async def open_memory_sqlite() -> AsyncIterator[Database]:
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        yield database
