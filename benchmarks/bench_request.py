"""Whole requests beside the same application by hand, one uvicorn each.

Both answer 16 connections of this process in turns. It runs on SQLite in a temporary
folder, and on the PostgreSQL that BENCH_DATABASE_URL names, where it is set.
"""

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.request.items import Base, Item
from benchmarks.run import Benchmark
from layerkit import Repository
from layerkit.sql import Database

CONNECTIONS: Final = 16
REQUESTS: Final = 1_200
WARM: Final = 100
ROWS: Final = 1_000
AIM: Final = 0.95

_fresh = itertools.count(1)
_HEAD: Final = "{} {} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n{}\r\n"


def message(verb: str, path: str, body: str = "") -> bytes:
    """Return a request."""
    kind = "content-type: application/json\r\n" if body else ""
    return (_HEAD.format(verb, path, len(body), kind) + body).encode()


def get(number: int) -> bytes:
    """Ask for one."""
    return message("GET", f"/items/{number % 900 + 1}")


def get_list(number: int) -> bytes:
    """Ask for fifty."""
    return message("GET", f"/items?skip={number % 900}&limit=50")


def post(_: int) -> bytes:
    """Store one."""
    code = f"c{time.time_ns()}-{next(_fresh)}"
    return message("POST", "/items", f'{{"code": "{code}", "name": "new", "qty": 3}}')


def patch(number: int) -> bytes:
    """Change one."""
    path = f"/items/{number % 900 + 1}"
    return message("PATCH", path, f'{{"qty": {next(_fresh)}}}')


async def ask(port: int, make: Callable[[int], bytes], requests: int) -> float:
    """Return the seconds that one request took, of *requests* over all connections.

    Raises:
        RuntimeError: An answer was no success.
    """
    numbers = iter(range(requests))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            writer.write(make(number))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            body = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 20"):
                raise RuntimeError(f"{head[:20]!r}: {body[:300]!r}")
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return (time.perf_counter() - start) / requests


@contextlib.contextmanager
def serving(name: str, url: str) -> Iterator[int]:
    """Serve an application in a process of its own, and yield its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.request", name, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env={**os.environ, "BENCH_REQUEST_URL": url},
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait()


async def fill(url: str) -> None:
    """Make the table again, with rows to read."""
    async with Database(url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        items = ({"code": f"c{n}", "name": f"n{n}", "qty": n} for n in range(ROWS))
        await Repository[Item, int](database, Item).create_many(items)


def measured(name: str, url: str, make: Callable[[int], bytes]) -> float:
    """Return the seconds that one request took of a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        url = url or f"sqlite:///{Path(folder) / 'bench.db'}"
        asyncio.run(fill(url))
        with serving(name, url) as port:
            asyncio.run(ask(port, make, WARM))  # what is compiled stays out of it
            return asyncio.run(ask(port, make, REQUESTS))


def _benchmark(kind: str, make: Callable[[int], bytes], url: str) -> Benchmark:
    server = url.partition(":")[0] or "sqlite"
    return Benchmark(
        title=f"{kind}, {server} (aim: {1 / AIM:.2f} x at most)",
        baseline="by hand",
        cases={
            "by hand": partial(measured, "by_hand", url, make),
            "layerkit": partial(measured, "with_layerkit", url, make),
        },
        runs=5,
    )


KINDS: Final = {"GET by id": get, "GET 50": get_list, "POST": post, "PATCH": patch}
BENCHMARK = tuple(
    _benchmark(kind, make, url)
    for url in sorted({"", os.environ.get("BENCH_DATABASE_URL", "")})
    for kind, make in KINDS.items()
)
