"""How far a verb walks through layerkit: calls, functions and files.

Counted are frames of layerkit itself, each once, however often a coroutine is resumed:
before the statement of the verb is sent, and in the whole verb. Nothing of this depends
on the machine. Homes are a SQLite database in a temporary folder, and, where
BENCH_REDIS_URL names it, Redis.

The walks of another commit are counted with its ``src`` first on PYTHONPATH.
"""

import asyncio
import dis
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, Self, TypeAlias

from redis.asyncio import Redis
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

import layerkit
from benchmarks.run import Benchmark
from layerkit import BaseService, Event, InMemoryEventBus, Repository
from layerkit import field as name_of
from layerkit.redis import RedisDatabase
from layerkit.sql import Database

SOURCE: Final = str(Path(layerkit.__file__).parent)
RESUME: Final = dis.opmap["RESUME"]
TIMES: Final = 100

# What sends a statement: SQLAlchemy's dialects, and redis-py's connections
SENDERS: Final = {"do_execute", "do_execute_no_params", "send_packed_command"}


class Base(DeclarativeBase):
    """Hold the tables."""


class Item(Base):
    """Be stored."""

    __tablename__ = "bench_walks_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(50))
    qty: Mapped[int] = mapped_column(default=7)


class ItemService(BaseService[Item, int]):
    """Create items."""


@dataclass
class Steps:
    """What has been called: how often, which functions, and how deep."""

    calls: int = 0
    functions: set[CodeType] = field(default_factory=set)
    depth: int = 0

    @property
    def files(self) -> set[str]:
        """The files of the functions."""
        return {code.co_filename for code in self.functions}

    @override
    def __str__(self) -> str:
        return f"{self.calls:4} /{len(self.functions):4} /{len(self.files):3}"


class Walk:
    """What a verb is entered with; this one looks away."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def mark(self) -> None:
        """Say that what the walk leads to is reached."""


class Clock(Walk):
    """Sum up the processor time of walks."""

    seconds = 0.0

    @override
    def __enter__(self) -> Self:
        self._start = time.process_time()
        return self

    @override
    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._start


class Counter(Walk):
    """Count what is called.

    Args:
        statement: How the statement of the verb begins; what is sent before it, such as
            BEGIN, belongs to the way there.
    """

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self.before: Steps | None = None
        self.whole = Steps()

    @override
    def __enter__(self) -> Self:
        sys.setprofile(self._see)
        return self

    @override
    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    @override
    def mark(self) -> None:
        if self.before is None:
            self.before = Steps(self.whole.calls, {*self.whole.functions})

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not _begins(frame):
            return
        if code.co_filename.startswith(SOURCE):
            self.whole.calls += 1
            self.whole.functions.add(code)
            self.whole.depth = max(self.whole.depth, _depth(frame))
        elif code.co_name in SENDERS:
            sent = str(frame.f_locals.get("statement", ""))
            if sent.startswith(self._statement):
                self.mark()


def _begins(frame: FrameType) -> bool:
    """Tell whether *frame* begins; a coroutine that goes on is called once more."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at] == RESUME and code[at + 1] & 3 == 0


def _depth(frame: FrameType) -> int:
    """Return how many frames of layerkit are open."""
    depth = 0
    above: FrameType | None = frame
    while above is not None:
        depth += above.f_code.co_filename.startswith(SOURCE)
        above = above.f_back
    return depth


Items: TypeAlias = Repository[Item, int]
Opener: TypeAlias = Callable[[], Any]
Verb: TypeAlias = Callable[[Items, Walk], Awaitable[None]]

# What is walked; each is called once before, so that what is kept is made


@asynccontextmanager
async def on_sqlite() -> AsyncIterator[Any]:
    """Open a home on SQLite, with an item."""
    with tempfile.TemporaryDirectory() as folder:
        async with Database(f"sqlite:///{Path(folder) / 'bench.db'}") as database:
            async with database.engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            yield database


@asynccontextmanager
async def on_redis(url: str) -> AsyncIterator[Any]:
    """Open a home on Redis, and remove what was stored there."""
    async with Redis.from_url(url) as client:
        try:
            yield RedisDatabase(client, prefix="bench_walks")
        finally:
            async for key in client.scan_iter("{bench_walks}*"):
                await client.unlink(key)


async def create(items: Items, walk: Walk) -> None:
    """Create an item by a service."""
    service = ItemService(items)
    with walk:
        await service.create_entity({"code": "new"})


async def find(items: Items, walk: Walk) -> None:
    """Find items by a field."""
    with walk:
        await items.find(name_of("code") == "first")


async def update(items: Items, walk: Walk) -> None:
    """Change a field of an item."""
    entity_id = (await items.get_all(limit=1))[0].id
    with walk:
        await items.update(entity_id, {"code": "first"})


async def emit(items: Items, walk: Walk) -> None:
    """Emit an event in a unit of work."""
    async with items.unit_of_work(events=InMemoryEventBus()) as uow:
        event = Event(event_type="item.created", data=1)
        with walk:
            uow.emit(event)


async def commit(items: Items, walk: Walk) -> None:
    """Commit a unit of work with an event, up to the handler of the event."""

    def handle(_: Event[object]) -> None:
        walk.mark()

    bus = InMemoryEventBus()
    bus.subscribe("item.created", handle)
    uow = items.unit_of_work(events=bus)
    await uow.__aenter__()
    await items.create({"code": "new"})
    uow.emit(Event(event_type="item.created", data=1))
    with walk:
        await uow.__aexit__(None, None, None)


def walks() -> dict[str, tuple[Opener, Verb, str]]:
    """Return by name what opens the home, the verb, and how its statement begins."""
    found: dict[str, tuple[Opener, Verb, str]] = {
        "service create to INSERT": (on_sqlite, create, "INSERT"),
        "find to SELECT": (on_sqlite, find, "SELECT"),
        "update to UPDATE RETURNING": (on_sqlite, update, "UPDATE"),
        "emit": (on_sqlite, emit, ""),
        "commit to handler": (on_sqlite, commit, "no statement"),
    }
    if url := os.environ.get("BENCH_REDIS_URL"):
        found["Redis update to first command"] = (partial(on_redis, url), update, "")
    return found


async def walked(open_home: Opener, verb: Verb, walk: Walk, times: int = 1) -> None:
    """Walk *times*, after once without being counted."""
    async with open_home() as home:
        items: Items = Repository(home, Item)
        await items.create({"code": "first"})
        await verb(items, Walk())
        for _ in range(times):
            await verb(items, walk)


def timed(open_home: Opener, verb: Verb) -> float:
    """Return the seconds of processor time that one walk takes."""
    clock = Clock()
    asyncio.run(walked(open_home, verb, clock, TIMES))
    return clock.seconds / TIMES


def table(_: Mapping[str, float]) -> str:
    """Return what each walk has met."""
    lines = [
        "calls / functions / files of layerkit, before the statement and in all, depth"
    ]
    for name, (open_home, verb, statement) in walks().items():
        walk = Counter(statement)
        asyncio.run(walked(open_home, verb, walk))
        before = "" if walk.before is None else str(walk.before)
        lines.append(f"  {name:<30}{before:>18}{walk.whole!s:>20}{walk.whole.depth:5}")
    return "\n".join(lines)


BENCHMARK = Benchmark(
    title="Walks through layerkit, and their processor time",
    baseline="find to SELECT",
    cases={
        name: partial(timed, open_home, verb)
        for name, (open_home, verb, _) in walks().items()
    },
    conclude=table,
)
