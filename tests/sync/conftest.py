"""The library of tests.support on synchronous engines, as applications make them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from tests.support.databases import fresh_database
from tests.support.library import Base

DRIVERS = {
    "psycopg": ("postgres_server", "+asyncpg"),
    "psycopg2": ("postgres_server", "+asyncpg"),
    "pymysql": ("mysql_server", "+asyncmy"),
}


@pytest.fixture(params=["pysqlite", *DRIVERS])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine without any settings, with the tables of the library."""
    if request.param == "pysqlite":
        made = create_engine(f"sqlite:///{tmp_path / 'sync.db'}")
        Base.metadata.create_all(made)
        yield made
        made.dispose()
        return
    server, driver = DRIVERS[request.param]
    with fresh_database(request.getfixturevalue(server)) as url:
        made = create_engine(url.replace(driver, f"+{request.param}"))
        Base.metadata.create_all(made)
        yield made
        made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session as SQLAlchemy makes it: it expires on commit."""
    with Session(engine) as opened:
        yield opened
