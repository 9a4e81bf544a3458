"""How often a verb waits for the server: counted on the way to PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import permutations, product
from typing import Any

import pytest
from sqlalchemy import Connection, String, event, make_url, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from layerkit.core.errors import (
    AlreadyExistsError,
    ConflictError,
    NotSupportedError,
    UnavailableError,
)
from layerkit.repository import ALL, Inc, Order, Repository, field
from layerkit.sql import Database, Statements, TooManyStatementsError, statements
from tests.sql.conftest import make_tables
from tests.sql.test_budget import BUDGETS, Base, Parts
from tests.support.databases import new_tables
from tests.support.library import Author
from tests.support.proxies import SilentProxy, silent_proxy

PARTS = [{"code": f"c{n}", "qty": n} for n in range(1, 61)]


@pytest.fixture
async def proxy(library_postgres_url: str) -> AsyncIterator[SilentProxy]:
    address = make_url(library_postgres_url)
    async with silent_proxy(str(address.host), int(address.port or 5432)) as opened:
        yield opened


@pytest.fixture
async def database(
    library_postgres_url: str, proxy: SilentProxy
) -> AsyncIterator[Database]:
    address = make_url(library_postgres_url)
    far = address.set(host="127.0.0.1", port=proxy.port)
    async with Database(far, pool_size=1, max_overflow=0) as opened:
        await make_tables(opened.engine)
        await Repository[Author, int](opened, Author).create_many(
            [{"name": "Ada"}, {"name": "Bob"}]
        )
        yield opened


async def trips(proxy: SilentProxy, verb: Callable[[], Awaitable[object]]) -> int:
    """Return the round trips of *verb*, once its statements are prepared."""
    await verb()
    before = proxy.round_trips
    with statements() as seen:
        await verb()
    assert proxy.round_trips - before == seen.round_trips, seen.sent
    return seen.round_trips


@pytest.fixture
async def parts(database: Database) -> Parts:
    await new_tables(database.engine, Base.metadata)
    parts = Parts(database)
    await parts.create_many(PARTS)  # which counts the keys
    return parts


async def waited(
    proxy: SilentProxy, parts: Parts, work: Callable[[], Awaitable[object]]
) -> tuple[int, Statements]:
    """Return what *work* waits for on the wire, and as counted, with all prepared."""
    await refill(parts)
    await work()
    await refill(parts)
    before = proxy.round_trips
    with statements() as seen:
        await work()
    return proxy.round_trips - before, seen


async def refill(parts: Parts) -> None:
    await parts.delete_where(ALL)
    await parts.create_many({"id": n, **part} for n, part in enumerate(PARTS, 1))


@pytest.mark.parametrize("name", BUDGETS)
async def test_a_verb_keeps_to_its_round_trips_outside_of_a_unit(
    proxy: SilentProxy, parts: Parts, name: str
) -> None:
    budget = BUDGETS[name]

    on_wire, seen = await waited(proxy, parts, lambda: budget.verb(parts))

    assert on_wire == seen.round_trips == budget.alone, seen.sent
    assert seen.count == budget.returning


@pytest.mark.parametrize("name", BUDGETS)
async def test_a_verb_keeps_to_its_round_trips_in_a_unit(
    proxy: SilentProxy, parts: Parts, name: str
) -> None:
    budget = BUDGETS[name]

    async def in_unit() -> None:
        async with parts.unit_of_work():
            await budget.verb(parts)

    on_wire, seen = await waited(proxy, parts, in_unit)

    assert on_wire == seen.round_trips == budget.in_unit + 2, seen.sent
    assert (seen.sent[0], seen.sent[-1]) == ("BEGIN", "COMMIT")


async def test_savepoints_and_what_is_rolled_back_are_counted(
    proxy: SilentProxy, parts: Parts
) -> None:
    async def undone() -> None:
        with suppress(ZeroDivisionError):
            async with parts.unit_of_work() as unit:
                with suppress(KeyError):
                    async with unit.savepoint():
                        await parts.count()
                        raise KeyError
                raise ZeroDivisionError

    on_wire, seen = await waited(proxy, parts, undone)

    assert on_wire == seen.round_trips == 5
    assert [text.split()[0] for text in seen.sent] == [
        *("BEGIN", "SAVEPOINT", "SELECT", "ROLLBACK", "ROLLBACK")
    ]


async def test_a_unit_that_asks_nothing_waits_for_nothing(
    proxy: SilentProxy, parts: Parts
) -> None:
    async def idle() -> None:
        async with parts.unit_of_work():
            """Send nothing."""

    on_wire, seen = await waited(proxy, parts, idle)

    assert on_wire == seen.round_trips == 0


async def test_a_connection_that_was_idle_is_pinged_in_three_round_trips(
    proxy: SilentProxy, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerkit.sql.engine._IDLE_SECONDS", 0.0)

    on_wire, seen = await waited(proxy, parts, lambda: parts.exists(1))

    assert on_wire == seen.round_trips == 4
    assert seen.sent[:3] == ["BEGIN", "ping", "ROLLBACK"]


async def test_nothing_is_counted_of_a_rollback_that_no_connection_is_left_for(
    proxy: SilentProxy, parts: Parts
) -> None:
    proxy.cut_at(b"DELETE")

    with pytest.raises(UnavailableError), statements() as seen:
        async with parts.unit_of_work():
            await parts.delete_where(ALL)

    assert [text.split()[0] for text in seen.sent] == ["BEGIN", "DELETE"]


async def test_round_trips_are_held_to_a_budget(parts: Parts) -> None:
    with statements(max=1, max_round_trips=1):
        await parts.exists(1)

    with (
        pytest.raises(TooManyStatementsError) as exceeded,
        statements(max=1, max_round_trips=2),
    ):
        async with parts.unit_of_work():
            await parts.exists(1)

    assert "3 round trips were made, and at most 2 may be" in str(exceeded.value)
    assert "\n  1. BEGIN\n  2. SELECT 1" in str(exceeded.value)
    assert str(exceeded.value).endswith("\n  3. COMMIT")


@pytest.mark.parametrize(
    ("server", "driver", "beside"),
    [
        ("postgres", "postgresql+psycopg", ["ping", "BEGIN"]),
        ("mysql", "mysql+asyncmy", ["ping"]),
        ("mysql", "mysql+aiomysql", ["ping"]),
    ],
)
async def test_round_trips_of_other_drivers_are_those_on_the_wire(
    request: pytest.FixtureRequest, server: str, driver: str, beside: list[str]
) -> None:
    address = make_url(request.getfixturevalue(f"library_{server}_url"))
    port = int(address.port or {"postgres": 5432, "mysql": 3306}[server])
    async with silent_proxy(str(address.host), port) as proxy:
        far = address.set(drivername=driver, host="127.0.0.1", port=proxy.port)
        async with Database(far, pool_size=1, max_overflow=0) as opened:
            await new_tables(opened.engine, Base.metadata)
            parts = Parts(opened)

            async def in_unit() -> None:
                async with parts.unit_of_work() as unit, unit.savepoint():
                    await parts.exists(1)

            alone = await waited(proxy, parts, parts.count)
            joined = await waited(proxy, parts, in_unit)

    for on_wire, seen in (alone, joined):
        assert on_wire == seen.round_trips, seen.sent
    assert joined[1].sent[: len(beside)] == beside


async def test_a_read_of_several_statements_is_one_transaction(
    proxy: SilentProxy, database: Database
) -> None:
    authors = Repository[Author, int](database, Author)

    # BEGIN, the page, the count, COMMIT
    assert await trips(proxy, lambda: authors.paginate(size=1, total="exact")) == 4
    # BEGIN, as many ids as a statement takes, the last one, COMMIT
    assert await trips(proxy, lambda: authors.get_many(range(1, 10_002))) == 4


async def test_a_read_leaves_no_transaction_and_no_mode_behind(
    database: Database,
) -> None:
    authors = Repository[Author, int](database, Author)
    await authors.get_by_id(1)

    with pytest.raises(ZeroDivisionError):
        async with authors.unit_of_work():
            await authors.create({"name": "Joe"})
            raise ZeroDivisionError
    assert await authors.count() == 2

    async with database.engine.connect() as connection:
        left = await connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' "
                "AND datname = current_database()"
            )
        )
    assert left == 0


async def test_who_listens_to_what_begins_is_heard_by_each_read(
    database: Database,
) -> None:
    begun: list[object] = []

    @event.listens_for(database.engine.sync_engine, "begin")
    def note(connection: Connection) -> None:
        begun.append(connection.get_execution_options().get("isolation_level"))

    await Repository[Author, int](database, Author).get_by_id(1)

    assert begun == [None]


async def test_what_a_session_sets_as_it_begins_holds_for_each_read(
    database: Database,
) -> None:
    timeouts: list[object] = []

    def note(_: Session, __: object, connection: Connection) -> None:
        connection.execute(text("SET LOCAL statement_timeout = 4321"))
        timeouts.append(connection.scalar(text("SHOW statement_timeout")))

    event.listen(Session, "after_begin", note)
    try:
        await Repository[Author, int](database, Author).get_by_id(1)
    finally:
        event.remove(Session, "after_begin", note)

    assert timeouts == ["4321ms"]


async def test_what_a_connection_was_set_up_for_stays_after_a_read(
    database: Database,
) -> None:
    serializable = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL "
    async with Database(database.engine.url, pool_size=1, max_overflow=0) as strict:

        @event.listens_for(strict.engine.sync_engine, "connect")
        def set_up(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            cursor.execute(serializable + "SERIALIZABLE")
            cursor.close()
            connection.commit()

        authors = Repository[Author, int](strict, Author)
        await authors.count()
        async with strict.unit_of_work():
            level = await strict.session().scalar(text("SHOW transaction_isolation"))

    assert level == "serializable"


# Writes


class Shelf(DeclarativeBase):
    """Hold the table of boxes."""


class Box(Shelf):
    """Have nothing that a statement does not return."""

    __tablename__ = "round_trip_boxes"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(20), unique=True)
    size: Mapped[int] = mapped_column(default=1)


Boxes = Repository[Box, int]

WRITES: dict[str, Callable[[Boxes, str], Awaitable[object]]] = {
    "create": lambda boxes, label: boxes.create({"label": label}),
    "update": lambda boxes, _: boxes.update(1, {"size": Inc(1)}),
    "update_where": lambda boxes, _: boxes.update_where(ALL, {"size": 4}),
    "upsert": lambda boxes, _: boxes.upsert({"label": "a", "size": 5}, key="label"),
    "delete": lambda boxes, _: boxes.delete(7),
    "delete_where": lambda boxes, _: boxes.delete_where(field("size") > 100),
}


@pytest.fixture
async def boxes(database: Database) -> Boxes:
    await new_tables(database.engine, Shelf.metadata)
    boxes = Boxes(database, Box)
    await boxes.create_many([{"label": "a"}, {"label": "b"}])
    return boxes


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_of_one_statement_is_one_round_trip(
    proxy: SilentProxy, boxes: Boxes, name: str
) -> None:
    write, labels = WRITES[name], iter("xyz")

    assert await trips(proxy, lambda: write(boxes, next(labels))) == 1


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_is_a_transaction_where_somebody_listens_to_flushes(
    proxy: SilentProxy, boxes: Boxes, name: str
) -> None:
    def hear(*_: object) -> None:
        """Change nothing."""

    event.listen(Session, "after_flush", hear)
    try:
        write, labels = WRITES[name], iter("xyz")
        assert await trips(proxy, lambda: write(boxes, next(labels))) > 1
    except NotSupportedError:
        assert name == "upsert"
    finally:
        event.remove(Session, "after_flush", hear)


async def test_a_write_that_is_refused_stores_nothing_and_leaves_nothing_open(
    boxes: Boxes,
) -> None:
    with pytest.raises(AlreadyExistsError):
        await boxes.create({"label": "a"})
    with pytest.raises(AlreadyExistsError):
        await boxes.update_where(ALL, {"label": "c"})
    with pytest.raises(ConflictError):
        await boxes.update(1, {"size": 9}, when=field("size") > 5)

    assert [(box.label, box.size) for box in await boxes.get_all()] == [
        ("a", 1),
        ("b", 1),
    ]


@pytest.mark.parametrize("name", ["create", "update", "delete"])
async def test_a_write_that_the_connection_broke_in_may_be_stored(
    proxy: SilentProxy, boxes: Boxes, name: str
) -> None:
    words = {"create": b"INSERT", "update": b"UPDATE", "delete": b"DELETE"}
    proxy.cut_at(words[name])

    with pytest.raises(UnavailableError, match="stored") as caught:
        await WRITES[name](boxes, "x")

    assert not caught.value.retryable


async def test_a_write_that_reads_before_or_after_is_one_transaction(
    proxy: SilentProxy, boxes: Boxes
) -> None:
    # BEGIN, UPDATE, COMMIT
    expecting = await trips(
        proxy, lambda: boxes.update_where(ALL, {"size": 4}, expect=2)
    )
    several = await trips(
        proxy, lambda: boxes.upsert_many([{"label": "a", "size": 2}], key="label")
    )

    assert (expecting, several) == (3, 3)


def ways_of(name: str) -> list[Order]:
    """Return each way to sort by a field."""
    one = field(name)
    return [way(nulls_first=n) for way in (one.asc, one.desc) for n in (False, True)]


async def test_more_ways_to_sort_than_are_kept_are_all_sorted(boxes: Boxes) -> None:
    pairs = permutations(("label", "size"))
    ways = [
        list(way)
        for one, other in pairs
        for way in product(ways_of(one), ways_of(other), ways_of("id"))
    ]

    firsts = [(await boxes.find(ALL, way, limit=1))[0].label for way in ways * 2]

    assert len(ways) == 128
    assert firsts[:128] == firsts[128:]
    assert firsts.count("a") == firsts.count("b") == 128
