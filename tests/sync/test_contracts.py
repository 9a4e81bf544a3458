"""The contracts on synchronous sessions, each test driven by layerkit.sync.run."""

import asyncio
import functools
import inspect
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import sessionmaker
from typing_extensions import override

from layerkit.repository import Repository
from layerkit.sync import run
from layerkit.testing.contracts import OpenRepository, ReadRaw, UnitOfWorkContract
from tests.support.databases import fresh_database, new_tables_in_sync
from tests.support.entities import (
    Base,
    MappedItem,
    MappedReading,
    MappedRecord,
    MappedSale,
    MappedSeat,
)


class DrivenBySyncCode(UnitOfWorkContract):
    """Have every test of the contract as a plain function that drives it."""

    examples: ClassVar[int] = 8
    entity: ClassVar[type[Any]] = MappedItem
    record: ClassVar[type[Any]] = MappedRecord
    seat: ClassVar[type[Any]] = MappedSeat
    sale: ClassVar[type[Any]] = MappedSale
    reading: ClassVar[type[Any] | None] = MappedReading

    @override
    async def at_once(
        self, *works: Awaitable[Any], return_exceptions: bool = False
    ) -> list[Any]:
        """Race threads: what blocks its thread lets no other task run."""
        threads = (asyncio.to_thread(run, work) for work in works)
        return await asyncio.gather(*threads, return_exceptions=return_exceptions)


def driven(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def plain(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    return plain


for _name, _test in inspect.getmembers(DrivenBySyncCode, inspect.iscoroutinefunction):
    if _name.startswith("test_"):
        setattr(DrivenBySyncCode, _name, driven(_test))


def make_engine(url: str) -> Engine:
    """Make an engine; on SQLite, one whose units take the write lock at their begin."""
    options = {"timeout": 2} if url.startswith("sqlite") else {}
    engine = create_engine(url, connect_args=options)
    if url.startswith("sqlite"):

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, _: object) -> None:
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@pytest.mark.unmeasured
class TestSQLite(DrivenBySyncCode):
    known_failures: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("test_an_inner_block_joins_the_outer_one",),
        "every transaction of this engine takes the write lock, those that read too",
    )

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'contract.db'}"

    @pytest.fixture
    @override
    def read_raw(self, url: str) -> ReadRaw:
        async def read(entity: type[Any]) -> list[Mapping[str, Any]]:
            engine = make_engine(url)
            with engine.connect() as connection:
                found = connection.execute(
                    text(f"SELECT * FROM {entity.__tablename__}")  # noqa: S608 - a name of our own
                )
                rows: list[Mapping[str, Any]] = list(map(dict, found.mappings()))
            engine.dispose()
            return rows

        return read

    @pytest.fixture
    @override
    def open_repository(self, url: str) -> OpenRepository:
        @asynccontextmanager
        async def open_sessions(entity: type[Any]) -> AsyncIterator[Any]:
            engine = make_engine(url)
            new_tables_in_sync(engine, Base.metadata)
            yield Repository(sessionmaker(engine), entity)
            engine.dispose()

        return open_sessions


@pytest.fixture(scope="module")
def shared_postgres_url(postgres_server: str) -> Iterator[str]:
    """One database for the module: new tables cost a tenth of a new database."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def shared_mysql_url(mysql_server: str) -> Iterator[str]:
    with fresh_database(mysql_server) as url:
        yield url


class TestPsycopg(TestSQLite):
    known_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    @override
    def url(self, shared_postgres_url: str) -> str:
        return shared_postgres_url.replace("+asyncpg", "+psycopg")


class TestPyMySQL(TestPsycopg):
    @pytest.fixture
    @override
    def url(self, shared_mysql_url: str) -> str:
        return shared_mysql_url.replace("+asyncmy", "+pymysql")
