"""``def`` routes on synchronous sessions: stored before the answer, or an error.

FastAPI runs such a route in a worker thread, and so does what it gets the session by.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import pytest
from anyio import from_thread
from fastapi import Depends, FastAPI, Request
from sqlalchemy import Engine, UniqueConstraint, create_engine, event, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    sessionmaker,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layerkit import (
    BaseService,
    BusinessRuleError,
    ConflictError,
    Repository,
    ServiceFactory,
)
from layerkit.fastapi import Inject, install
from layerkit.sql import Database
from layerkit.sync import run, unit_of_work
from tests.fastapi.conftest import Serve
from tests.support.databases import fresh_database


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


class SeatService(BaseService[Seat, int]):
    def __init__(self, seats: Seats) -> None:
        super().__init__(seats)
        self.seats = seats

    async def take(self, *places: int) -> None:
        async with self.unit_of_work():
            for place in places:
                await self.seats.create({"place": place})
            if 0 in places:
                raise BusinessRuleError("there is no place 0")


TOGETHER = 5

Sessions: TypeAlias = sessionmaker[Session]
Serving: TypeAlias = Callable[[Sessions], FastAPI]


@pytest.fixture(params=["pysqlite", "psycopg"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "pysqlite":
        made = create_engine(f"sqlite:///{tmp_path / 'seats.db'}")
        Base.metadata.create_all(made)
        yield made
        made.dispose()
        return
    with fresh_database(request.getfixturevalue("postgres_server")) as url:
        made = create_engine(url.replace("+asyncpg", "+psycopg"), pool_size=10)
        Base.metadata.create_all(made)
        yield made
        made.dispose()


def stored(engine: Engine) -> list[int]:
    """Return the places that another connection sees."""
    with Session(engine) as other:
        return sorted(other.scalars(select(Seat.place)))


# The four ways in which such an application is put together


def get_session(request: Request) -> Iterator[Session]:
    with request.app.state.sessions() as session:
        yield session


OwnSession: TypeAlias = Annotated[Session, Depends(get_session)]


def with_a_session_of_its_own(sessions: Sessions) -> FastAPI:
    app = FastAPI()
    app.state.sessions = sessions
    install(app)

    together = threading.Barrier(TOGETHER)

    @app.post("/seats", status_code=201)
    def take(places: list[int], session: OwnSession) -> str:
        run(SeatService(Seats(session)).take(*places))
        return "taken"

    @app.post("/seats/together", status_code=201)
    def take_together(places: list[int], session: OwnSession) -> None:
        seats = SeatService(Seats(session))
        run(seats.list_entities())
        together.wait()
        run(seats.take(*places))

    @app.get("/seats")
    def count(session: OwnSession) -> int:
        return run(Seats(session).count())

    return app


def injecting(factory: ServiceFactory) -> FastAPI:
    app = FastAPI()
    install(app, factory.scoped(Seats).scoped(SeatService))

    together = threading.Barrier(TOGETHER)

    @app.post("/seats", status_code=201)
    def take(places: list[int], seats: Inject[SeatService]) -> str:
        run(seats.take(*places))
        return "taken"

    @app.post("/seats/together", status_code=201)
    def take_together(places: list[int], seats: Inject[SeatService]) -> None:
        run(seats.list_entities())
        together.wait()
        run(seats.take(*places))

    @app.get("/seats")
    def count(seats: Inject[Seats]) -> int:
        return run(seats.count())

    return app


def with_a_database(sessions: Sessions) -> FastAPI:
    return injecting(ServiceFactory().value(Database(sessions)))


def with_an_injected_session(sessions: Sessions) -> FastAPI:
    def get_session() -> Iterator[Session]:
        with sessions() as session:
            yield session

    return injecting(ServiceFactory().scoped(get_session))


def with_a_session_that_is_begun(sessions: Sessions) -> FastAPI:
    def begin() -> Iterator[Session]:
        with sessions.begin() as session:
            yield session

    return injecting(ServiceFactory().scoped(begin))


WAYS: list[Serving] = [
    with_a_session_of_its_own,
    with_a_database,
    with_an_injected_session,
    with_a_session_that_is_begun,
]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def application(request: pytest.FixtureRequest, engine: Engine) -> FastAPI:
    app: FastAPI = request.param(sessionmaker(engine))
    return app


class Watch:
    """See what is stored as an answer is sent."""

    def __init__(self, app: ASGIApp, look: Callable[[], list[int]]) -> None:
        self.app, self.look = app, look
        self.seen: list[list[int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(await asyncio.to_thread(self.look))
            await send(message)

        await self.app(scope, receive, note)


def watched(app: FastAPI, engine: Engine) -> list[list[int]]:
    """Return what will be there at each answer of *app*."""
    seen: list[list[int]] = []

    class Noting(Watch):
        def __init__(self, app: ASGIApp) -> None:
            super().__init__(app, lambda: stored(engine))
            self.seen = seen

    app.add_middleware(Noting)
    return seen


@pytest.mark.defect("F1")
async def test_what_a_route_has_stored_is_there_before_its_answer(
    application: FastAPI, engine: Engine, serve: Serve
) -> None:
    seen = watched(application, engine)

    async with serve(application) as client:
        answer = await client.post("/seats", json=[1, 2])

    assert answer.status_code == 201
    assert seen == [[1, 2]]


async def test_an_error_rolls_back(
    application: FastAPI, engine: Engine, serve: Serve
) -> None:
    async with serve(application) as client:
        failed = await client.post("/seats", json=[1, 0])
        again = await client.post("/seats", json=[2])

    assert (failed.status_code, again.status_code) == (409, 201)
    assert stored(engine) == [2]


@pytest.mark.defect("F1")
@pytest.mark.parametrize(
    ("error", "statuses"),
    [(ConflictError("late"), {409}), (OSError("disk full"), {500, 503})],
    ids=["conflict", "unknown"],
)
async def test_a_commit_that_fails_is_an_error_answer(
    application: FastAPI,
    engine: Engine,
    serve: Serve,
    error: Exception,
    statuses: set[int],
) -> None:
    def fail(_: Session) -> None:
        raise error

    async with serve(application) as client:
        event.listen(Session, "before_commit", fail)
        try:
            failed = await client.post("/seats", json=[1])
        finally:
            event.remove(Session, "before_commit", fail)
        again = await client.post("/seats", json=[2])

    assert failed.status_code in statuses
    assert "disk full" not in failed.text
    assert again.status_code == 201
    assert stored(engine) == [2]


@pytest.mark.defect("F1")
async def test_a_rule_that_the_database_checks_at_commit_answers_no_success(
    application: FastAPI, engine: Engine, serve: Serve
) -> None:
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE UNIQUE INDEX one ON seats (place)")

    async with serve(application) as client:
        answer = await client.post("/seats", json=[1, 1])

    assert answer.status_code in {409, 500}  # 500: a commit of the application's own
    assert stored(engine) == []


async def test_no_statement_holds_up_the_event_loop(
    application: FastAPI, engine: Engine, serve: Serve
) -> None:
    threads: dict[str, set[int]] = {}

    def note(name: str) -> Callable[..., None]:
        seen = threads.setdefault(name, set())
        return lambda *_, **__: seen.add(threading.get_ident())

    names = ("begin", "before_cursor_execute", "commit", "rollback", "reset")
    for name in names:
        event.listen(engine, name, note(name))

    async with serve(application) as client:
        await client.post("/seats", json=[1])
        await client.post("/seats", json=[1, 0])
        await client.get("/seats")

    assert all(threads.values())
    assert threading.get_ident() not in set.union(*threads.values())


async def test_requests_at_once_have_a_session_each(
    application: FastAPI, engine: Engine, serve: Serve
) -> None:
    async with serve(application) as client:
        answers = await asyncio.gather(
            *(client.post("/seats/together", json=[n, -n]) for n in range(1, TOGETHER)),
            client.post("/seats/together", json=[TOGETHER, 0]),
        )

    # In a session that two of them shared, the error would have undone more.
    assert [answer.status_code for answer in answers] == [*[201] * (TOGETHER - 1), 409]
    assert stored(engine) == [n for n in range(1 - TOGETHER, TOGETHER) if n != 0]


# One transaction for the whole route


def open_unit(sessions: Sessions) -> Iterator[Seats]:
    database = Database(sessions)
    with unit_of_work(database):
        yield Seats(database)


def open_unit_of_session(sessions: Sessions) -> Iterator[Seats]:
    with sessions() as session, unit_of_work(session):
        yield Seats(session)


@pytest.mark.parametrize("opening", [open_unit, open_unit_of_session])
async def test_a_generator_of_the_factory_opens_a_unit_for_the_route(
    engine: Engine, serve: Serve, opening: Callable[[Sessions], Iterator[Seats]]
) -> None:
    factory = ServiceFactory().value(sessionmaker(engine), key=Sessions)
    app = FastAPI()
    install(app, factory.scoped(opening))

    @app.post("/seats", status_code=201)
    def take(places: list[int], seats: Inject[Seats]) -> None:
        for place in places:
            run(seats.create({"place": place}))
        if 0 in places:
            raise ConflictError("there is no place 0")

    seen = watched(app, engine)

    async with serve(app) as client:
        refused = await client.post("/seats", json=[1, 0])
        taken = await client.post("/seats", json=[2, 3])

    assert (refused.status_code, taken.status_code) == (409, 201)
    assert seen == [[], [2, 3]]


async def test_a_route_opens_a_unit_itself(engine: Engine, serve: Serve) -> None:
    app = FastAPI()
    factory = ServiceFactory().value(Database(sessionmaker(engine)))
    install(app, factory.scoped(Seats).scoped(SeatService))

    @app.post("/seats", status_code=201)
    def take(places: list[int], seats: Inject[SeatService]) -> None:
        with unit_of_work(seats):
            for place in places:
                run(seats.take(place))

    seen = watched(app, engine)

    async with serve(app) as client:
        refused = await client.post("/seats", json=[1, 0])
        taken = await client.post("/seats", json=[2, 3])

    assert (refused.status_code, taken.status_code) == (409, 201)
    assert seen == [[], [2, 3]]


# A home whose driver is asynchronous


async def test_an_asynchronous_home_is_refused_by_run_and_reached_through_the_loop(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def open_database() -> AsyncIterator[Database]:
        async with Database(f"sqlite:///{tmp_path / 'async.db'}") as database:
            await database.create_all(Base.metadata)
            yield database

    factory = ServiceFactory().singleton(open_database)
    app = injecting(factory)

    @app.post("/loop", status_code=201)
    def take(places: list[int], seats: Inject[SeatService]) -> None:
        from_thread.run(seats.take, *places)

    @app.get("/loop")
    def count(seats: Inject[Seats]) -> int:
        return from_thread.run(seats.count)

    async with serve(app) as client:
        driven = await client.post("/seats", json=[1])
        refused = await client.post("/loop", json=[1, 0])
        taken = await client.post("/loop", json=[2])
        left = await client.get("/loop")

    assert (driven.status_code, driven.json()["code"]) == (500, "USAGE_ERROR")
    assert "a portal of anyio.from_thread" in caplog.text
    assert (refused.status_code, taken.status_code, left.json()) == (409, 201, 1)
