"""The loop in a thread of docs/how-to/sync-code.md does what the page says."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from layerkit import NotFoundError
from layerkit.core import correlation_id
from tests.support.project import ROOT

PAGE = ROOT / "docs" / "how-to" / "sync-code.md"
FILE = re.compile(r"^```python\n# background\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_names: dict[str, object] = {"__name__": "background"}
for source in FILE.findall(PAGE.read_text("utf-8")):
    exec(compile(source, str(PAGE), "exec"), _names)  # noqa: S102 - the blocks are our own
Background: type = _names["Background"]  # type: ignore[assignment] # what the page defines


def test_calls_of_several_threads_run_side_by_side() -> None:
    meeting = asyncio.Barrier(3)

    async def meet() -> int:
        return await meeting.wait()

    with Background() as background, ThreadPoolExecutor(3) as pool:
        places = pool.map(lambda _: background.run(meet(), timeout=10), range(3))

        assert sorted(places) == [0, 1, 2]


def test_error_comes_out_as_it_is() -> None:
    async def fail() -> None:
        raise NotFoundError(entity="Note", entity_id=7)

    with Background() as background, pytest.raises(NotFoundError, match="no Note"):
        background.run(fail())


def test_work_that_takes_too_long_is_cancelled() -> None:
    was_cancelled = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    with Background() as background:
        with pytest.raises(TimeoutError):
            background.run(wait_for_ever(), timeout=0.05)

        assert was_cancelled.wait(10)


def test_correlation_id_of_the_calling_thread_is_that_of_the_work() -> None:
    async def read() -> str | None:
        return correlation_id.get()

    with Background() as background:
        token = correlation_id.set("job-1")
        seen = background.run(read())
        correlation_id.reset(token)

    assert seen == "job-1"


def test_what_is_left_at_the_end_is_cancelled() -> None:
    left: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            left.append("cancelled")
            raise

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(linger())
        await asyncio.sleep(0)
        return task

    with Background() as background:
        background.run(start())

    assert left == ["cancelled"]


def test_thread_is_gone_at_the_end() -> None:
    before = threading.active_count()

    with Background():
        assert threading.active_count() == before + 1

    assert threading.active_count() == before
