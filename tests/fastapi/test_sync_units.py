"""Units of work of ``def`` routes: who may open one, and where."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import pytest
from anyio import from_thread
from fastapi import Depends, FastAPI
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from layerkit import ConflictError, ServiceFactory
from layerkit.fastapi import Inject, install
from layerkit.sql import Database
from layerkit.sync import run, unit_of_work
from tests.fastapi.conftest import Serve
from tests.fastapi.seats import Base, Seats, SeatService, stored, watched

Sessions: TypeAlias = sessionmaker[Session]


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


async def test_a_unit_that_a_generator_of_fastapis_opens_is_refused_at_its_end(
    engine: Engine, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install(app)
    database = Database(sessionmaker(engine))

    def unit_of_database() -> Iterator[Seats]:
        with unit_of_work(database):
            yield Seats(database)

    @app.post("/seats")
    def take(
        place: int, seats: Annotated[Seats, Depends(unit_of_database, scope="function")]
    ) -> None:
        run(seats.create({"place": place}))

    async with serve(app) as client:
        answer = await client.post("/seats?place=1")

    # FastAPI runs it apart from the route, so the verb was no part of it.
    assert (answer.status_code, answer.json()["code"]) == (500, "UNIT_OF_WORK_ERROR")
    # It may be in the same thread, which then has another context.
    assert re.search("from another (thread|context) than the open unit's", caplog.text)
    assert stored(engine) == [1]


# A home whose driver is asynchronous


async def test_an_asynchronous_home_is_refused_by_run_and_reached_through_the_loop(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def open_database() -> AsyncIterator[Database]:
        async with Database(f"sqlite:///{tmp_path / 'async.db'}") as database:
            await database.create_all(Base.metadata)
            yield database

    factory = ServiceFactory().singleton(open_database)
    app = FastAPI()
    install(app, factory.scoped(Seats).scoped(SeatService))

    @app.post("/seats", status_code=201)
    def drive(places: list[int], seats: Inject[SeatService]) -> None:
        run(seats.take(*places))

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
