"""Fixtures that give tests real servers, and the profiles of hypothesis.

Servers start with the first test that needs them and end with the run; under
pytest-xdist each worker has its own. Environment variables name others to use:
LAYERKIT_TEST_POSTGRES_URL, LAYERKIT_TEST_REDIS_URL, LAYERKIT_TEST_MYSQL_URL.
"""

import os
from collections.abc import Generator, Iterator

import pytest
from coverage import Coverage
from hypothesis import settings

import tests.support.defects  # noqa: F401 - marks tests of the contracts
from tests.support.databases import fresh_database, fresh_prefix
from tests.support.servers import (
    PostgresServer,
    ValkeyServer,
    find_postgres,
    find_valkey,
    unavailable,
)

settings.register_profile("default", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("full", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# The longest tests of the contracts, which are measured on two homes: on one that does
# everything, and in a repository that can do little.
LONGEST = (
    *("_end_as_in_the_reference", "test_a_filter_may_have_many_parts"),
    "test_get_many_takes_many_keys_of_two_fields",
    "test_cursors_lead_forward_and_back_over_every_entity_once",
)
MEASURED = ("TestDataclassesInMemory::", "TestDictRepository::")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what needs a MariaDB where none is given, in place of many skips.

    The longest tests are measured on two homes: they call what others of a home do too,
    and coverage doubles their time.
    """
    if not os.environ.get("LAYERKIT_TEST_MYSQL_URL"):
        out = [i for i in items if "mysql_server" in getattr(i, "fixturenames", ())]
        items[:] = [item for item in items if item not in set(out)]
        config.hook.pytest_deselected(items=out)
    for item in items:
        is_long = item.name.partition("[")[0].endswith(LONGEST)
        if is_long and not any(name in item.nodeid for name in MEASURED):
            item.add_marker("unmeasured")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage of a test that is marked so, nor of its fixtures."""
    stopped: list[Coverage] = []  # a worker has two: its own, and that of any process
    if item.get_closest_marker("unmeasured") is not None:
        while (coverage := Coverage.current()) is not None:
            coverage.stop()
            stopped.append(coverage)
    try:
        return (yield)
    finally:
        for coverage in reversed(stopped):
            coverage.start()


def pytest_report_header() -> str:
    """Say whether tests on MariaDB are among those that run."""
    given = bool(os.environ.get("LAYERKIT_TEST_MYSQL_URL"))
    return f"MariaDB: {'tested' if given else 'none; set LAYERKIT_TEST_MYSQL_URL'}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's maintenance database."""
    if url := os.environ.get("LAYERKIT_TEST_POSTGRES_URL"):
        yield url
        return
    programs = find_postgres()
    if programs is None:
        unavailable("PostgreSQL", "LAYERKIT_TEST_POSTGRES_URL")
    with PostgresServer(programs) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis or Valkey server."""
    if url := os.environ.get("LAYERKIT_TEST_REDIS_URL"):
        yield url
        return
    program = find_valkey()
    if program is None:
        unavailable("Redis or Valkey", "LAYERKIT_TEST_REDIS_URL")
    with ValkeyServer(program) as server:
        yield server.url


@pytest.fixture(scope="session")
def mysql_server() -> str:
    """The URL of a MariaDB or MySQL server; there is no wheel to start one from."""
    url = os.environ.get("LAYERKIT_TEST_MYSQL_URL")
    if not url:
        pytest.skip("no MariaDB: set LAYERKIT_TEST_MYSQL_URL")
    return url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty PostgreSQL database of the test's own, for SQLAlchemy with asyncpg."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def mysql_url(mysql_server: str) -> Iterator[str]:
    """An empty MariaDB database of the test's own, for SQLAlchemy with asyncmy."""
    with fresh_database(mysql_server) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of a Redis that all tests share: prefix each key by `redis_prefix`."""
    return redis_server


@pytest.fixture
def redis_prefix(redis_server: str) -> Iterator[str]:
    """A key prefix of the test's own; what it leaves there is deleted."""
    with fresh_prefix(redis_server) as prefix:
        yield prefix
