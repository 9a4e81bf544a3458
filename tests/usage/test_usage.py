"""The promises of the library, used as they are written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from typing_extensions import override

from layerkit import (
    AlreadyExistsError,
    CacheInterface,
    ConflictError,
    Event,
    InMemoryEventBus,
    MemoryCache,
    MemoryDatabase,
    NotFoundError,
    NotificationInterface,
    NotSupportedError,
    ServiceFactory,
    ValidationError,
)
from layerkit.fastapi import Inject, install, problems
from layerkit.repository import Repository
from layerkit.sql import Database
from layerkit.testing import MockNotification
from layerkit.testing.contracts import Capabilities, OpenRepository, RepositoryContract
from tests.support.databases import new_tables
from tests.support.entities import MappedItem, MappedRecord, MappedSale, MappedSeat
from tests.usage.shop import (
    Base,
    Line,
    OrderPlaced,
    OrderRepository,
    Stock,
    StockRepository,
    UserCreate,
    UserOut,
    UserRepository,
    UserService,
    open_memory_sqlite,
    place,
)

ADA = {"email": "ada@example.org"}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}") as opened:
        await opened.create_all(Base.metadata)
        yield opened


async def test_1_a_repository_and_a_service_of_ones_own(database: Database) -> None:
    mail = MockNotification()

    ada = await UserService(UserRepository(database), mail).create_entity(
        {"email": "ada@example.org"}
    )

    assert (ada.id, ada.email, ada.active) == (1, "ada@example.org", True)
    mail.assert_sent(to="ada@example.org", type="welcome")


async def test_1_sql_of_ones_own_beside_the_verbs(database: Database) -> None:
    orders = OrderRepository(database)
    async with orders.unit_of_work():
        for amounts in ([1, 2], [10], [4]):
            order = await orders.create({"item_id": 1})
            orders.db_session.add_all(
                Line(order_id=order.id, amount=n) for n in amounts
            )

    largest = await orders.largest()

    assert [[line.amount for line in order.lines] for order in largest] == [
        [10], [4], [1, 2],
    ]  # fmt: skip


async def test_2_several_repositories_one_transaction(database: Database) -> None:
    bus = InMemoryEventBus()
    placed: list[Event[OrderPlaced]] = []
    bus.subscribe(OrderPlaced, placed.append)
    stock = StockRepository(database)
    await stock.create(Stock(id=1, qty=1))

    order = await place(database, bus, 1)
    with pytest.raises(ConflictError):
        await place(database, bus, 1)
    with pytest.raises(NotFoundError, match="no Stock with id 9"):
        await place(database, bus, 9)

    assert [event.data.order_id for event in placed] == [order.id]
    assert await OrderRepository(database).count() == 1


def make_app() -> tuple[FastAPI, MockNotification]:
    mail = MockNotification()

    async def open_cache() -> AsyncIterator[MemoryCache]:
        yield MemoryCache()

    factory = ServiceFactory()
    factory.value(mail, key=NotificationInterface)
    factory.singleton(open_memory_sqlite)
    factory.singleton(open_cache, key=CacheInterface)
    factory.scoped(UserRepository)
    factory.scoped(UserService)
    app = FastAPI()

    @app.post(
        "/users", status_code=201, responses=problems(ConflictError, ValidationError)
    )
    async def create_user(body: UserCreate, users: Inject[UserService]) -> UserOut:
        return UserOut.model_validate(await users.create_entity(body))

    install(app, factory)
    return app, mail


async def test_3_fastapi_with_the_factory() -> None:
    app, mail = make_app()

    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test") as client,
    ):
        created = await client.post("/users", json=ADA)
        again = await client.post("/users", json=ADA)
        bad = await client.post("/users", json={"mail": "x"})

    assert (created.status_code, created.json()["id"]) == (201, 1)
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_EXISTS")
    assert bad.status_code == 422
    assert again.headers["content-type"] == "application/problem+json"
    mail.assert_sent(to="ada@example.org", type="welcome")
    assert len(mail.sent) == 1


async def test_4_an_application_that_exists(database: Database) -> None:
    mail = MockNotification()
    maker = async_sessionmaker(database.engine)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with maker() as session:
            yield session

    app = FastAPI()
    install(app)

    @app.post("/users", status_code=201)
    async def create_user(
        body: UserCreate,
        session: AsyncSession = Depends(get_session, scope="function"),  # noqa: B008 - FastAPI's way
    ) -> UserOut:
        users = UserService(UserRepository(session), mail)
        return UserOut.model_validate(await users.create_entity(body))

    async with AsyncClient(
        transport=ASGITransport(app), base_url="http://test"
    ) as client:
        created = await client.post("/users", json=ADA)
        again = await client.post("/users", json=ADA)

    assert (created.status_code, again.status_code) == (201, 409)
    mail.assert_sent(to="ada@example.org", type="welcome")


async def test_4_a_transaction_of_theirs_is_joined(database: Database) -> None:
    users = UserRepository(database)
    ada = await users.create(ADA)

    async def nightly(session: AsyncSession, *, fails: bool) -> None:
        async with session.begin():
            service = UserService(UserRepository(session), MockNotification())
            await service.update_entity(ada.id, {"active": False})
            if fails:
                raise LookupError

    async with AsyncSession(database.engine) as session:
        with pytest.raises(LookupError):
            await nightly(session, fails=True)
        untouched = await users.get_by_id(ada.id)
        await nightly(session, fails=False)
        changed = await users.get_by_id(ada.id)

    assert untouched is not None
    assert changed is not None
    assert (untouched.active, changed.active) == (True, False)


async def test_5_a_typed_event_and_a_handler_with_dependencies() -> None:
    shipped: list[object] = []

    class ShippingService:
        async def ship(self, order_id: object) -> None:
            shipped.append(order_id)

    async def ship(event: Event[OrderPlaced], shipping: ShippingService) -> None:
        await shipping.ship(event.data.order_id)

    factory = ServiceFactory()
    factory.scoped(ShippingService)
    bus = InMemoryEventBus()
    bus.subscribe(OrderPlaced, factory.handler(ship), name="shipping.ship")
    order_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    async with factory:
        await bus.publish(OrderPlaced.model_validate({"order_id": order_id}))

    assert [str(found) for found in shipped] == [order_id]


async def test_7_tests_take_doubles_and_memory() -> None:
    users = UserService(UserRepository(MemoryDatabase()), mail := MockNotification())

    await users.create_entity(ADA)

    mail.assert_sent(to="ada@example.org", type="welcome")
    with pytest.raises(AlreadyExistsError):
        await users.create_entity(ADA)


class MineRepository(Repository[Any, Any]):
    @override
    def unit_of_work(self, **_: object) -> NoReturn:
        raise NotSupportedError("this backend has no transactions")


@asynccontextmanager
async def open_mine(path: Path, entity: type[Any]) -> AsyncIterator[Any]:
    async with Database(f"sqlite:///{path / 'mine.db'}") as database:
        await new_tables(database.engine, MappedItem.metadata)
        yield MineRepository(database, entity)


@pytest.mark.unmeasured
class TestMine(RepositoryContract):
    """Certify a backend of one's own; this one has no transactions to offer."""

    capabilities = Capabilities(transactions=False)
    entity = MappedItem
    record = MappedRecord
    seat = MappedSeat
    sale = MappedSale
    sale = MappedSale

    @pytest.fixture
    @override
    def open_repository(self, tmp_path: Path) -> OpenRepository:
        return lambda entity: open_mine(tmp_path, entity)
