"""How the cost of a verb grows with what its unit of work holds.

Each case takes the seconds that one call costs of a process's own time: how long others
keep the machine busy is no part of them. SQLite is in a temporary folder, PostgreSQL is
what BENCH_DATABASE_URL names and Redis what BENCH_REDIS_URL does; without these, they
are left out.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import log
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.run import Benchmark
from layerkit import MemoryDatabase, Repository, field
from layerkit.redis import RedisDatabase
from layerkit.sql import Database

FEW: Final = 50
MANY: Final = 5_000
HELD_FEW: Final = 10
HELD_MANY: Final = 3_000
ROWS: Final = 6_000
TIMES: Final = 20

Items = Repository[Any, int]
Opener = Callable[[], Any]
Work = Callable[[Items, int], Awaitable[object]]


class Base(DeclarativeBase):
    """Hold the tables."""


class Item(Base):
    """Be stored."""

    __tablename__ = "bench_growth_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(50), index=True)
    qty: Mapped[int] = mapped_column(default=7)


class UniqueItem(Base):
    """Be stored, no two with the same code."""

    __tablename__ = "bench_growth_unique"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(50), unique=True)
    qty: Mapped[int] = mapped_column(default=7)


@asynccontextmanager
async def on_memory() -> AsyncIterator[Any]:
    """Open a home in memory."""
    yield MemoryDatabase()


@asynccontextmanager
async def on_sqlite() -> AsyncIterator[Any]:
    """Open a home on SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        async with on_sql(f"sqlite:///{Path(folder) / 'bench.db'}") as database:
            yield database


@asynccontextmanager
async def on_sql(url: str) -> AsyncIterator[Any]:
    """Open a home on an SQL database, with new tables."""
    async with Database(url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        yield database


@asynccontextmanager
async def on_redis(url: str) -> AsyncIterator[Any]:
    """Open a home on Redis, and remove what was stored there."""
    async with Redis.from_url(url) as client:
        try:
            yield RedisDatabase(client, prefix="bench_growth")
        finally:
            async for key in client.scan_iter("{bench_growth}*", count=1_000):
                await client.unlink(key)


def homes() -> dict[str, Opener]:
    """Return what opens each home that can be measured here."""
    found: dict[str, Opener] = {"memory": on_memory, "SQLite": on_sqlite}
    if url := os.environ.get("BENCH_DATABASE_URL"):
        found["PostgreSQL"] = partial(on_sql, url)
    if url := os.environ.get("BENCH_REDIS_URL"):
        found["Redis"] = partial(on_redis, url)
    return found


# In one unit, with all that is made or read kept


async def creating(open_home: Opener, kind: type[Any], keeps: bool, many: int) -> float:
    """Return what each of *many* creates costs."""
    async with open_home() as home:
        items: Items = Repository(home, kind)
        await items.create(kind(code="first"))  # what is compiled stays out of it
        kept: list[Any] = []
        spent = 0.0
        for turn in range(max(1, 1_000 // many)):
            async with items.unit_of_work():
                start = time.process_time()
                for number in range(many):
                    made = await items.create(kind(code=f"{turn} {number}"))
                    if keeps:
                        kept.append(made)
                spent += time.process_time() - start
        return spent / many / max(1, 1_000 // many)


async def changing(open_home: Opener, many: int) -> float:
    """Return what each of *many* reads costs, with a change of what is read."""
    async with open_home() as home:
        items: Items = Repository(home, Item)
        turns = max(1, 1_000 // many)
        await items.create_many({"code": f"c{n}"} for n in range(many * turns))
        ids = [item.id async for item in items.stream(batch_size=5_000)]
        start = time.process_time()
        for turn in range(turns):
            kept: list[Any] = []
            async with items.unit_of_work():
                for entity_id in ids[turn * many :][:many]:
                    item: Any = await items.get_by_id(entity_id)
                    item.qty += 1
                    kept.append(item)
        return (time.process_time() - start) / many / turns


# With objects held that a statement may hit


async def holding(open_home: Opener, work: Work, held: int) -> float:
    """Return what *work* costs in a unit that holds so many objects."""
    async with open_home() as home:
        items: Items = Repository(home, Item)
        await items.create_many({"code": f"c{n}", "qty": n} for n in range(ROWS))
        async with items.unit_of_work():
            kept = await items.find(field("id") <= held, limit=held)
            await work(items, 0)
            start = time.process_time()
            for number in range(1, TIMES + 1):
                await work(items, number)
            spent = (time.process_time() - start) / TIMES
            del kept
            return spent


async def update_some(items: Items, number: int) -> object:
    """Change ten that are held."""
    return await items.update_where(field("id") <= HELD_FEW, {"qty": number})


async def update_none(items: Items, number: int) -> object:
    """Change nothing."""
    return await items.update_where(field("qty") == -number - 1, {"code": "x"})


async def delete_some(items: Items, number: int) -> object:
    """Delete ten that are not held."""
    first = HELD_MANY + number * 10
    return await items.delete_where(field("id").between(first + 1, first + 10))


async def upsert_some(items: Items, number: int) -> object:
    """Change ten that are held, and store ten."""
    first = ROWS + number * 10
    ids = [*range(1, HELD_FEW + 1), *range(first + 1, first + 11)]
    return await items.upsert_many(
        [{"id": entity_id, "code": "u", "qty": number} for entity_id in ids], key="id"
    )


async def undo_savepoint(items: Items, number: int) -> object:
    """Change one in a savepoint that is undone."""
    try:
        async with items.unit_of_work() as uow, uow.savepoint():
            await items.update(number % HELD_FEW + 1, {"qty": -1})
            _fail()
    except _UndoneError:
        pass
    return None


class _UndoneError(Exception):
    """Leave a savepoint."""


def _fail() -> None:
    raise _UndoneError


WORK: Final[Mapping[str, Work]] = {
    "update_where, 10 hit": update_some,
    "update_where, none hit": update_none,
    "delete_where, 10 hit": delete_some,
    "upsert_many, 20": upsert_some,
    "an undone savepoint": undo_savepoint,
}


def _exponents(few: int, many: int, names: list[str], aim: float) -> Any:
    """Return what tells how cost grows; an exponent of 1 is the same for each call."""

    def told(medians: Mapping[str, float]) -> str:
        lines = []
        for name in names:
            ratio = medians[f"{name}, {many}"] / medians[f"{name}, {few}"]
            exponent = 1 + log(ratio) / log(many / few)
            lines.append(f"{name} {ratio:.2f} x, exponent {exponent:.2f}")
        return f"aim: {aim} x at most; " + "; ".join(lines)

    return told


def _one_unit(title: str, measured: Callable[[Opener, int], Any]) -> Benchmark:
    opened = homes()
    return Benchmark(
        title=f"{title}: each of {FEW} and of {MANY} in one unit",
        baseline=f"memory, {FEW}",
        cases={
            f"{name}, {many}": partial(_run, measured, open_home, many)
            for name, open_home in opened.items()
            for many in (FEW, MANY)
        },
        conclude=_exponents(FEW, MANY, [*opened], 1.5),
    )


def _run(measured: Callable[[Opener, int], Any], open_home: Opener, many: int) -> float:
    seconds: float = asyncio.run(measured(open_home, many))
    return seconds


def _held(title: str, work: Work) -> Benchmark:
    opened = {n: home for n, home in homes().items() if n in {"SQLite", "PostgreSQL"}}

    def measured(open_home: Opener, held: int) -> Any:
        return holding(open_home, work, held)

    return Benchmark(
        title=f"{title}: with {HELD_FEW} and with {HELD_MANY} objects held",
        baseline=f"SQLite, {HELD_FEW}",
        cases={
            f"{name}, {held}": partial(_run, measured, open_home, held)
            for name, open_home in opened.items()
            for held in (HELD_FEW, HELD_MANY)
        },
        conclude=_exponents(HELD_FEW, HELD_MANY, [*opened], 2.0),
    )


BENCHMARK = (
    _one_unit("create", lambda home, many: creating(home, Item, True, many)),
    _one_unit(
        "create with a unique field",
        lambda home, many: creating(home, UniqueItem, True, many),
    ),
    _one_unit(
        "create with a unique field, and let go",
        lambda home, many: creating(home, UniqueItem, False, many),
    ),
    _one_unit("get and change", changing),
    *(_held(title, work) for title, work in WORK.items()),
)
