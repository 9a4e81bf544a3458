"""The contracts on SQL databases: SQLite, PostgreSQL and, where given, MariaDB."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from typing_extensions import override

from layerkit.repository import Repository
from layerkit.sql import Database, SQLRepository
from layerkit.testing.contracts import OpenRepository, ReadRaw, UnitOfWorkContract
from tests.support.databases import fresh_database, new_tables
from tests.support.entities import (
    Base,
    MappedItem,
    MappedReading,
    MappedRecord,
    MappedSale,
    MappedSeat,
)


@pytest.fixture(scope="module")
def shared_postgres_url(postgres_server: str) -> Iterator[str]:
    """One database for the module: new tables cost a tenth of a new database."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def shared_mysql_url(mysql_server: str) -> Iterator[str]:
    with fresh_database(mysql_server) as url:
        yield url


class TestSQLite(UnitOfWorkContract):
    entity: ClassVar[type[Any]] = MappedItem
    record: ClassVar[type[Any]] = MappedRecord
    seat: ClassVar[type[Any]] = MappedSeat
    sale: ClassVar[type[Any]] = MappedSale
    reading: ClassVar[type[Any] | None] = MappedReading

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'contract.db'}"

    @pytest.fixture
    @override
    def read_raw(self, url: str) -> ReadRaw:
        async def read(entity: type[Any]) -> list[Mapping[str, Any]]:
            engine = Database(url).engine
            async with engine.connect() as connection:
                table = entity.__tablename__
                found = await connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608 - a name of our own
                rows: list[Mapping[str, Any]] = list(map(dict, found.mappings()))
            await engine.dispose()
            return rows

        return read

    @pytest.fixture
    @override
    def open_repository(self, url: str) -> OpenRepository:
        @asynccontextmanager
        async def open_database(entity: type[Any]) -> AsyncIterator[Any]:
            async with Database(url) as database:
                await new_tables(database.engine, Base.metadata)
                yield Repository(database, entity)

        return open_database


@pytest.mark.unmeasured
class TestPostgreSQL(TestSQLite):
    examples: ClassVar[int] = 8

    @pytest.fixture
    @override
    def url(self, shared_postgres_url: str) -> str:
        return shared_postgres_url


class TestMariaDB(TestSQLite):
    examples: ClassVar[int] = 8

    @pytest.fixture
    @override
    def url(self, shared_mysql_url: str) -> str:
        return shared_mysql_url


class TestSessionFactoryOfOnesOwn(TestPostgreSQL):
    @pytest.fixture
    @override
    def open_repository(self, url: str) -> OpenRepository:
        @asynccontextmanager
        async def open_sessions(entity: type[Any]) -> AsyncIterator[Any]:
            engine = create_async_engine(url)
            await new_tables(engine, Base.metadata)
            yield SQLRepository(async_sessionmaker(engine), entity)
            await engine.dispose()

        return open_sessions
