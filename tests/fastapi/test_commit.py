"""A commit that fails late, in a real database: never 2xx, nothing stored, no hook."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from sqlalchemy import UniqueConstraint, event, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from layerkit import BaseService, Repository, ServiceFactory
from layerkit.fastapi import Inject, install
from layerkit.sql import Database
from tests.fastapi.conftest import Serve


class Base(DeclarativeBase): ...


class Seat(Base):
    __tablename__ = "seats"
    __table_args__ = (
        # Checked at COMMIT and not before, on PostgreSQL.
        UniqueConstraint("place", deferrable=True, initially="DEFERRED").ddl_if(
            dialect="postgresql"
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int]


class Seats(Repository[Seat, int]): ...


class Hooks:
    """Count the hooks that have run."""

    ran = 0


class SeatService(BaseService[Seat, int]):
    repository: Seats

    def __init__(self, seats: Seats, hooks: Hooks) -> None:
        super().__init__(seats)
        self.hooks = hooks

    async def take(self, *places: int) -> None:
        async with self.unit_of_work():
            for place in places:
                await self.repository.create({"place": place})
            self.after_commit(self.note)

    async def note(self) -> None:
        self.hooks.ran += 1


def application(url: str, hooks: Hooks) -> FastAPI:
    async def open_database() -> AsyncIterator[Database]:
        async with Database(url) as database:
            await database.create_all(Base.metadata)
            yield database

    factory = ServiceFactory().singleton(open_database).value(hooks)
    factory.scoped(Seats).scoped(SeatService)
    app = FastAPI()
    install(app, factory)

    @app.post("/seats", status_code=201)
    async def take(places: list[int], seats: Inject[SeatService]) -> str:
        await seats.take(*places)
        return "taken"

    @app.get("/seats")
    async def count(seats: Inject[Seats]) -> int:
        return await seats.count()

    return app


@pytest.mark.defect("F1")
async def test_a_rule_that_is_checked_at_commit_answers_409(
    postgres_url: str, serve: Serve
) -> None:
    hooks = Hooks()

    async with serve(application(postgres_url, hooks)) as client:
        twice = await client.post("/seats", json=[1, 1])
        stored = (await client.get("/seats")).json()
        ran = hooks.ran
        once = await client.post("/seats", json=[1])

    assert twice.status_code == 409
    assert twice.json()["code"] == "ALREADY_EXISTS"
    assert (stored, ran) == (0, 0)
    assert (once.status_code, hooks.ran) == (201, 1)


@pytest.mark.defect("F1")
@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("disk full"), 500), (OSError("disk full"), 503)]
)
async def test_a_commit_that_a_listener_fails_is_never_answered_with_success(
    serve: Serve, error: Exception, status: int
) -> None:
    hooks = Hooks()

    def fail(_: Session) -> None:
        raise error

    async with serve(application("sqlite://", hooks)) as client:
        event.listen(Session, "before_commit", fail)
        try:
            failed = await client.post("/seats", json=[1])
        finally:
            event.remove(Session, "before_commit", fail)
        stored = (await client.get("/seats")).json()

    assert failed.status_code == status
    assert "disk full" not in failed.text
    assert (stored, hooks.ran) == (0, 0)


@pytest.mark.defect("F1")
async def test_a_commit_of_the_applications_own_never_answers_success(
    postgres_url: str, serve: Serve
) -> None:
    engine = create_async_engine(postgres_url)
    maker = async_sessionmaker(engine, expire_on_commit=False)
    hooks = Hooks()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    async def open_session() -> AsyncIterator[AsyncSession]:
        async with maker.begin() as session:
            yield session

    async def open_seats(session: AsyncSession) -> Seats:
        return Seats(session)

    factory = ServiceFactory().scoped(open_session).scoped(open_seats)
    factory.value(hooks).scoped(SeatService)
    app = FastAPI()
    install(app, factory)

    @app.post("/seats", status_code=201)
    async def take(places: list[int], seats: Inject[SeatService]) -> str:
        await seats.take(*places)
        return "taken"

    async with serve(app) as client:
        answer = await client.post("/seats", json=[1, 1])
    async with maker() as session:
        stored = await session.scalar(select(func.count()).select_from(Seat))
    await engine.dispose()

    # Whose commit it is says what its error means: what is not ours to know is a 500.
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "seats_place_key" not in answer.text
    assert (stored, hooks.ran) == (0, 0)
