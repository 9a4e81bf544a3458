"""The verbs of a repository, beside the same by hand and by other libraries.

Each case works in one open transaction, which is rolled back, on SQLite in a temporary
folder, or on the database that BENCH_DATABASE_URL names. `BENCH_DATABASE_URL` with
PostgreSQL gives the same table there.
"""

import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sqlalchemy import String, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.run import Benchmark
from layerkit import Inc, Repository, field
from layerkit.sql import Database

ROWS: Final = 5_000
MANY: Final = 1_000
BATCH: Final = [{"email": f"new{n}", "name": "x", "qty": n} for n in range(MANY)]

Operation = Callable[[Any, int], Awaitable[object]]
"""Does the work once: takes a session or a repository, and the number of the call."""


class Base(DeclarativeBase):
    """Hold the table."""


class Item(Base):
    """Be stored."""

    __tablename__ = "bench_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(50))
    name: Mapped[str | None] = mapped_column(String(50))
    qty: Mapped[int] = mapped_column(default=7)


async def measured(
    make: Callable[[AsyncSession], Any], operation: Operation, times: int, loaded: bool
) -> float:
    """Return the seconds that one call takes, of *times* in one transaction.

    Args:
        make: Makes what *operation* takes from a session.
        operation: What is measured.
        times: How often.
        loaded: True where the session is to hold the last row already.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{Path(folder) / 'bench.db'}"
        url = os.environ.get("BENCH_DATABASE_URL", file)
        async with Database(url) as database:
            async with database.engine.begin() as connection:
                await connection.run_sync(Base.metadata.drop_all)
                await connection.run_sync(Base.metadata.create_all)
            await Repository[Item, int](database, Item).create_many(
                {"email": f"m{n}", "name": f"n{n}", "qty": n} for n in range(ROWS)
            )
            sessions = async_sessionmaker(database.engine, expire_on_commit=False)
            async with sessions() as session, session.begin() as transaction:
                subject = make(session)
                held = await session.get(Item, ROWS) if loaded else None
                await operation(subject, ROWS - 2)  # what is compiled stays out of it
                start = time.perf_counter()
                for number in range(times):
                    await operation(subject, number)
                seconds = (time.perf_counter() - start) / times
                del held  # the session holds on to nothing alone
                await transaction.rollback()
    return seconds


def layerkit(session: AsyncSession) -> Repository[Item, int]:
    """Return our repository."""
    return Repository[Item, int](session, Item)


def advanced_alchemy(session: AsyncSession) -> Any:
    """Return the repository of advanced-alchemy."""
    base: Any = import_module("advanced_alchemy.repository").SQLAlchemyAsyncRepository
    return type("Items", (base,), {"model_type": Item})(session=session)


class FastCRUD:
    """Call fastcrud with the session that each of its methods takes."""

    def __init__(self, session: AsyncSession) -> None:
        self.crud: Any = import_module("fastcrud").FastCRUD(Item)
        self.session = session


# By hand


async def get_by_hand(session: AsyncSession, n: int) -> object:
    """Read one by its key."""
    return (await session.scalars(select(Item).where(Item.id == n + 1))).one()


async def create_by_hand(session: AsyncSession, _: int) -> object:
    """Store one."""
    item = Item(email="x", name="y")
    session.add(item)
    await session.flush()
    return item


async def update_by_hand(session: AsyncSession, n: int) -> object:
    """Read one and change it."""
    item = await session.get_one(Item, n + 1)
    item.qty = n + ROWS
    await session.flush()
    return item


async def find_by_hand(session: AsyncSession, n: int) -> object:
    """Read the first 100."""
    query = select(Item).where(Item.qty >= n).order_by(Item.id).limit(100)
    return (await session.scalars(query)).all()


async def page_by_hand(session: AsyncSession, n: int) -> object:
    """Read the first 100, and count all."""
    items = await find_by_hand(session, n)
    count = select(func.count()).select_from(Item).where(Item.qty >= n)
    return items, await session.scalar(count)


async def add_all_by_hand(session: AsyncSession, _: int) -> object:
    """Store a thousand."""
    session.add_all([Item(**values) for values in BATCH])
    await session.flush()
    return None


def built() -> list[Item]:
    """Return a thousand entities."""
    return [Item(**values) for values in BATCH]


async def add_entities_by_hand(session: AsyncSession, _: int) -> object:
    """Store a thousand."""
    session.add_all(built())
    await session.flush()
    return None


async def upsert_by_hand(session: AsyncSession, n: int) -> object:
    """Change five hundred, and store as many, by Core."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement: Any = dialect.insert(Item.__table__)
    excluded = statement.excluded
    changes = {"email": excluded.email, "qty": excluded.qty}
    statement = statement.on_conflict_do_update(index_elements=["id"], set_=changes)
    return await session.execute(statement, mixed(n))


def mixed(n: int) -> list[dict[str, Any]]:
    """Return a thousand rows, of which half are stored."""
    first = ROWS - MANY // 2 + 1
    return [{"id": first + i, "email": f"u{i}", "qty": n} for i in range(MANY)]


HAND: Final[Mapping[str, Operation]] = {
    "get_by_id, cold": get_by_hand,
    "get_by_id, loaded": lambda s, _: s.get(Item, ROWS),
    "create": create_by_hand,
    "update": update_by_hand,
    "delete": lambda s, n: s.execute(delete(Item).where(Item.id == n + 1)),
    "exists": lambda s, n: s.scalar(select(1).where(Item.id == n + 1)),
    "find 100": find_by_hand,
    "page of 100": page_by_hand,
    "create_many 1000": add_all_by_hand,
    "create_many 1000 entities": add_entities_by_hand,
    "upsert_many 1000": upsert_by_hand,
    "update_where": lambda s, n: s.execute(
        update(Item).where(Item.qty >= n).values(qty=Item.qty + 1)
    ),
    "delete_where": lambda s, n: s.execute(delete(Item).where(Item.qty == n)),
}
OURS: Final[Mapping[str, Operation]] = {
    "get_by_id, cold": lambda r, n: r.get_by_id(n + 1),
    "get_by_id, loaded": lambda r, _: r.get_by_id(ROWS),
    "create": lambda r, _: r.create(Item(email="x", name="y")),
    "update": lambda r, n: r.update(n + 1, {"qty": n + ROWS}),
    "delete": lambda r, n: r.delete(n + 1),
    "exists": lambda r, n: r.exists(n + 1),
    "find 100": lambda r, n: r.find(field("qty") >= n),
    "page of 100": lambda r, n: r.paginate(field("qty") >= n, size=100),
    "create_many 1000": lambda r, _: r.create_many(BATCH),
    "create_many 1000 entities": lambda r, _: r.create_many(built()),
    "upsert_many 1000": lambda r, n: r.upsert_many(mixed(n), key="id"),
    "update_where": lambda r, n: r.update_where(field("qty") >= n, {"qty": Inc(1)}),
    "delete_where": lambda r, n: r.delete_where(field("qty") == n),
}
ADVANCED: Final[Mapping[str, Operation]] = {
    "get_by_id, cold": lambda r, n: r.get(n + 1),
    "get_by_id, loaded": lambda r, _: r.get(ROWS),
    "create": lambda r, _: r.add(Item(email="x", name="y")),
    "update": lambda r, n: r.update(Item(id=n + 1, qty=n + ROWS)),
    "exists": lambda r, n: r.exists(id=n + 1),
    "create_many 1000": lambda r, _: r.add_many([Item(**v) for v in BATCH]),
}
FAST: Final[Mapping[str, Operation]] = {
    "get_by_id, cold": lambda f, n: f.crud.get(f.session, id=n + 1),
    "update": lambda f, n: f.crud.update(
        f.session, {"qty": n + ROWS}, commit=False, id=n + 1
    ),
    "exists": lambda f, n: f.crud.exists(f.session, id=n + 1),
}
TIMES: Final = {
    "create_many 1000": 2,
    "create_many 1000 entities": 2,
    "upsert_many 1000": 5,
    "update_where": 20,
    "get_by_id, loaded": 1000,
}
AIMS: Final = {
    "get_by_id, cold": 1.15,
    "get_by_id, loaded": 1.5,
    "create": 1.2,
    "update": 0.8,
    "find 100": 1.1,
    "page of 100": 0.7,
    "create_many 1000": 0.1,
    "create_many 1000 entities": 0.25,
    "upsert_many 1000": 3.0,
}


def _benchmark(verb: str) -> Benchmark:
    ways: list[tuple[str, Callable[[AsyncSession], Any], Mapping[str, Operation]]] = [
        ("by hand", lambda session: session, HAND),
        ("layerkit", layerkit, OURS),
        ("advanced-alchemy", advanced_alchemy, ADVANCED),
        ("fastcrud", FastCRUD, FAST),
    ]
    times = TIMES.get(verb, 200)
    aim = AIMS.get(verb)
    return Benchmark(
        title=f"{verb}{f' (aim: {aim} x at most)' if aim else ''}",
        baseline="by hand",
        cases={
            name: partial(
                measured, make, operations[verb], times, verb.endswith("loaded")
            )
            for name, make, operations in ways
            if verb in operations
        },
    )


BENCHMARK = tuple(map(_benchmark, HAND))
