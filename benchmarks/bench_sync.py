"""A verb on a synchronous session, beside the same by hand: what a sync request pays.

Each case opens a session, reads one row by its key, and closes the session. What is
measured is the CPU of this process, on SQLite in a temporary folder, or on the database
that BENCH_SYNC_DATABASE_URL names, as `postgresql+psycopg://...`.
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import String, create_engine, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from benchmarks.run import Benchmark
from layerkit import BaseService, Repository
from layerkit.sync import run, unit_of_work

ROWS: Final = 1_000
TIMES: Final = 2_000
AIM: Final = 1.6

Operation = Callable[[Session, int], object]
"""Reads or changes the row with this id."""


class Base(DeclarativeBase):
    """Hold the table."""


class Item(Base):
    """Be stored."""

    __tablename__ = "bench_sync_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    qty: Mapped[int] = mapped_column(default=7)


class Items(Repository[Item, int]):
    """Store items."""


class ItemService(BaseService[Item, int]):
    """Serve items."""


def measured(operation: Operation) -> float:
    """Return the CPU seconds of one operation in a session of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{Path(folder) / 'bench.db'}"
        engine = create_engine(os.environ.get("BENCH_SYNC_DATABASE_URL", file))
        with engine.begin() as connection:
            Base.metadata.drop_all(connection)
            Base.metadata.create_all(connection)
            rows = [{"id": n + 1, "name": f"n{n}"} for n in range(ROWS)]
            connection.execute(insert(Item), rows)
        sessions = sessionmaker(engine)
        _repeat(sessions, operation, ROWS)  # what is compiled stays out of it
        start = time.process_time()
        _repeat(sessions, operation, TIMES)
        seconds = (time.process_time() - start) / TIMES
        engine.dispose()
    return seconds


def _repeat(sessions: sessionmaker[Session], operation: Operation, times: int) -> None:
    for number in range(times):
        with sessions() as session:
            operation(session, number % ROWS + 1)


def change_by_hand(session: Session, key: int) -> object:
    """Change one row and commit."""
    with session.begin():
        item = session.get_one(Item, key)
        item.qty += 1
    return item


def change(session: Session, key: int) -> object:
    """Do the same in a unit of work."""
    items = Items(session)
    with unit_of_work(items):
        item = run(items.get_by_id(key))
        if item is not None:
            item.qty += 1
    return item


READ: Final[dict[str, Operation]] = {
    "by hand": lambda session, key: session.get(Item, key),
    "repository": lambda session, key: run(Items(session).get_by_id(key)),
    "service": lambda session, key: run(ItemService(Items(session)).get_entity(key)),
}
CHANGE: Final[dict[str, Operation]] = {"by hand": change_by_hand, "layerkit": change}


def _benchmark(title: str, operations: dict[str, Operation]) -> Benchmark:
    return Benchmark(
        title=title,
        baseline="by hand",
        cases={name: partial(measured, work) for name, work in operations.items()},
    )


BENCHMARK = (
    _benchmark(f"open a session, get, close (aim: {AIM} x at most)", READ),
    _benchmark("open a session, get, change, commit, close", CHANGE),
)
