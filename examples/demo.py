"""Serve an example: ``make demo``, or ``python examples/demo.py``.

The variable EXAMPLE names it, ``users`` when not given; PORT is 8000 when not given.
An example of one file, ``EXAMPLE=quickstart``, is run, prints what it does, and ends.
``CHECK=1`` serves it on a free port, acts as its client would, and ends, with an error
if an answer was wrong. The database is a temporary one unless DATABASE_URL names one.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import httpx

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
MAX_PORT: Final = 65_535

TO_TRY: Final = {
    "users": (
        "curl -i {url}/users -H 'Content-Type: application/json' -d "
        """'{{"email": "ada@example.org", "name": "Ada", "password": "engine no 1"}}'"""
    )
}
"""A line for the command line, for each example that is served."""

SCRIPTS: Final = {
    path.stem: path
    for path in sorted((ROOT / "examples").glob("[!_]*.py"))
    if path.stem != "demo"
}
"""The examples of one file, which run and end."""


def main() -> None:
    """Do what the environment variables ask for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # cleans up, too
    example = os.environ.get("EXAMPLE") or "users"
    if example in SCRIPTS:
        sys.exit(subprocess.call([sys.executable, SCRIPTS[example]]))  # noqa: S603 - a program of our own
    if example not in TO_TRY:
        known = ", ".join((*TO_TRY, *SCRIPTS))
        sys.exit(f"There is no example {example!r}; there is: {known}.")
    is_check = os.environ.get("CHECK", "") not in {"", "0"}
    with tempfile.TemporaryDirectory(prefix="layerkit-demo-") as folder:
        try:
            if is_check:
                check(example, Path(folder))
            else:
                serve(example, Path(folder))
        except KeyboardInterrupt:
            print()


def serve(example: str, folder: Path) -> None:
    """Serve *example* until interrupted."""
    port = free_port(wanted_port())
    with running(example, port, folder, log=None) as server:
        url = f"http://{HOST}:{port}"
        print(f"\nThe API page: {url}/docs\n")
        print(f"To try:\n{TO_TRY[example].format(url=url)}\n")
        print("Ctrl+C ends it.\n", flush=True)
        sys.exit(server.wait())


def check(example: str, folder: Path) -> None:
    """Serve *example* on a free port and run its client; show the log if that fails."""
    port = free_port(0)
    log_path = folder / "server.log"
    url = f"http://{HOST}:{port}"
    client = [sys.executable, "-m", f"examples.{example}.check", url]
    try:
        with log_path.open("w") as log, running(example, port, folder, log):
            if subprocess.call(client, cwd=ROOT) != 0:  # noqa: S603 - a program of our own
                sys.exit("The check has failed.")
    except SystemExit:
        print(f"The log of the server:\n{log_path.read_text()}", file=sys.stderr)
        raise


@contextmanager
def running(
    example: str, port: int, folder: Path, log: IO[str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server of *example*; it answers by the time the block begins."""
    environment = {
        "DATABASE_URL": f"sqlite:///{folder.as_posix()}/{example}.db",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
        **os.environ,
        "HOST": HOST,
        "PORT": str(port),
    }
    command = [sys.executable, "-m", f"examples.{example}"]
    server = subprocess.Popen(  # noqa: S603 - a program of our own
        command, cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    try:
        wait_until_it_answers(server, port)
        yield server
    finally:
        stop(server)


def wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    """Return once the server is healthy; exit with a message where it never is."""
    health = f"http://{HOST}:{port}/health"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        code = server.poll()
        if code is not None:
            sys.exit(f"The server ended with status {code} before it answered.")
        try:
            # Without trust_env: a proxy could not reach this machine's own address.
            if httpx.get(health, timeout=1, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass  # not yet
        time.sleep(0.05)
    sys.exit(f"The server did not answer within {START_SECONDS:.0f} seconds.")


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server, by force where it does not end."""
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def wanted_port() -> int:
    """Return what PORT says; exit where that is no port."""
    text = os.environ.get("PORT") or "8000"
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        sys.exit(f"PORT={text} is no port: it takes a number up to {MAX_PORT}.")
    return int(text)


def free_port(wanted: int) -> int:
    """Return *wanted*, or for 0 any free port; exit where somebody has it."""
    with socket.socket() as probe:
        # As the server does: what was closed a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            sys.exit(f"Port {wanted} can't be had ({error.strerror}): choose by PORT=.")
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
