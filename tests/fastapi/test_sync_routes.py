"""``def`` routes on synchronous sessions: stored before the answer, or an error.

FastAPI runs such a route in a worker thread, and so does what it gets the session by.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, TypeAlias

import pytest
from fastapi import Depends, FastAPI, Request
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from layerkit import ConflictError, ServiceFactory
from layerkit.fastapi import Inject, install
from layerkit.sql import Database
from layerkit.sync import run
from tests.fastapi.conftest import Serve
from tests.fastapi.seats import Seats, SeatService, stored, watched

pytestmark = pytest.mark.unmeasured

TOGETHER = 5

Sessions: TypeAlias = sessionmaker[Session]
Serving: TypeAlias = Callable[[Sessions], FastAPI]


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
