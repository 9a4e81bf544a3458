"""Follows docs/how-to/existing-application.md from an empty folder, as a newcomer does.

Runs with the Python of a fresh environment, which has nothing of this project:
installs what the page says, the wheel in place of a release, writes the page's files
as they come, serves the application before and after the move, and calls it.
"""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PAGE = (
    Path(__file__).parent.parent.joinpath("docs/how-to/existing-application.md")
).read_text("utf-8")
MOVE = "\n## What changes\n"
FILE = re.compile(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALL = re.compile(r"pip install 'layerkit(\[[\w,]+\])' (.*)")
START_SECONDS = 30.0
STOP_SECONDS = 10.0
ADA = {"email": "ada@example.org"}
ALAN = {"email": "alan@example.org"}


def main(wheel: str, constraints: str) -> None:
    """Act as the newcomer; an assertion or a failed command says where it ended."""
    before, move, after = PAGE.partition(MOVE)
    assert move, f"the page has no heading {MOVE.strip()!r}"
    line = INSTALL.search(after)
    assert line, "the page has no pip line"
    extras, others = line.groups()
    packages = [f"{wheel}{extras}", *others.split()]
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", constraints]
    subprocess.run([*pip, *packages], check=True)

    write_files(before)
    with serving() as url:
        assert call(f"{url}/users", ADA)[0] == 201, "the application before the move"

    write_files(after)
    with serving() as url:
        assert call(f"{url}/users", ALAN)[0] == 201, "the application after it"
        status, problem = call(f"{url}/users", ADA)
        assert (status, problem["code"]) == (409, "ALREADY_EXISTS"), problem
        assert call(f"{url}/users/7")[0] == 404, "a user who is not there"
        status, user = call(f"{url}/users/1")
        assert (status, user["email"]) == (200, ADA["email"]), user


def write_files(text: str) -> None:
    """Write the files that *text* shows into the working folder."""
    files = FILE.findall(text)
    assert files, "the page shows no file"
    for name, source in files:
        Path(name).write_text(source, "utf-8")


@contextmanager
def serving() -> Iterator[str]:
    """Run uvicorn as the page says, on a free port; yield its address."""
    assert "uvicorn main:app" in PAGE, "the page serves it in another way"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "main:app", "--log-level", "warning"]
    server = subprocess.Popen([*command, "--port", str(port)])
    try:
        wait_for(server, f"http://127.0.0.1:{port}/openapi.json")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(STOP_SECONDS)


def wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    """Return once *server* answers; its end, or too long a silence, is a failure."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, "the application did not start"
        try:
            call(url)
        except URLError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"no answer within {START_SECONDS:.0f} seconds")


def call(url: str, body: object = None) -> tuple[int, dict[str, object]]:
    """Send a request, a POST where there is a *body*; return status and answer."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - always our own server
    try:
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - always our own server
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AssertionError as failure:
        sys.exit(f"newcomer: {failure}")
