"""Databases with the tables of tests.support.library, on every dialect."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from layerkit.redis import RedisDatabase
from layerkit.repository import Home, MemoryDatabase
from layerkit.sql import Database
from tests.support.authors import Sessions
from tests.support.databases import fresh_database, new_tables
from tests.support.library import Base


@pytest.fixture(scope="session")
def library_postgres_url(postgres_server: str) -> Iterator[str]:
    """One database for the run: new tables cost a tenth of a new database."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def library_mysql_url(mysql_server: str) -> Iterator[str]:
    with fresh_database(mysql_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that may have tables of an earlier test."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'library.db'}"
    server = {"postgresql": "postgres", "mariadb": "mysql"}[request.param]
    found: str = request.getfixturevalue(f"library_{server}_url")
    return found


async def make_tables(engine: AsyncEngine) -> None:
    await new_tables(engine, Base.metadata)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """The library, empty."""
    async with Database(url) as opened:
        await make_tables(opened.engine)
        yield opened


@pytest.fixture(params=["memory", "redis", "sqlite", "postgres", "mysql"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """Every home in turn, with the tables of the module's own ``Base``."""
    if request.param == "memory":
        yield MemoryDatabase()
        return
    if request.param == "redis":
        prefix = request.getfixturevalue("redis_prefix")
        async with Redis.from_url(request.getfixturevalue("redis_url")) as client:
            yield RedisDatabase(client, prefix=prefix, allow_scan=True)
        return
    url = f"sqlite:///{tmp_path / 'home.db'}"
    if request.param != "sqlite":
        url = request.getfixturevalue(f"library_{request.param}_url")
    async with Database(url) as opened:
        await new_tables(opened.engine, request.module.Base.metadata)
        yield opened


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """The library, empty, on SQLite alone."""
    async with Database(f"sqlite:///{tmp_path / 'library.db'}") as opened:
        await make_tables(opened.engine)
        yield opened


@pytest.fixture(params=["sqlite-ours", "sqlite-bare", "postgresql", "mariadb"])
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[AsyncEngine]:
    """An engine that Database has set up, or one as users make them."""
    file = tmp_path / "session.db"
    servers = {"postgresql": "postgres", "mariadb": "mysql"}
    if request.param == "sqlite-ours":
        made = Database(f"sqlite:///{file}").engine
    elif request.param == "sqlite-bare":
        made = create_async_engine(f"sqlite+aiosqlite:///{file}")
    else:
        server = servers[request.param]
        made = create_async_engine(request.getfixturevalue(f"library_{server}_url"))
    await make_tables(made)
    yield made
    await made.dispose()
    # aiosqlite's thread tells the loop when it has closed a connection whose making was
    # cancelled, and nobody waits for that.
    for thread in threading.enumerate():
        if thread.name.endswith("(_connection_worker_thread)"):
            await asyncio.to_thread(thread.join, 10)


@pytest.fixture
def sessions(engine: AsyncEngine) -> Sessions:
    """Sessions as SQLAlchemy makes them: they expire on commit."""
    return async_sessionmaker(engine)
