"""run: one coroutine, driven to its end in the calling thread."""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable
from typing import assert_type

import pytest

from layerkit import MemoryDatabase, NotFoundError, Repository, UsageError
from layerkit.core import correlation_id
from layerkit.sql import Database
from layerkit.sync import iterate, run, unit_of_work
from layerkit.unit_of_work import current_unit, driver
from tests.support.library import Author


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


class Answer:
    """Be awaitable, and no coroutine."""

    def __await__(self):  # type: ignore[no-untyped-def] # a generator of asyncio's own
        return answer().__await__()


def test_the_result_is_returned_and_typed() -> None:
    assert assert_type(run(answer()), int) == 42


def test_whatever_can_be_awaited_is_run() -> None:
    work: Awaitable[int] = Answer()

    assert run(work) == 42


def test_an_error_comes_out_as_it_is() -> None:
    async def fail() -> None:
        raise NotFoundError(entity="Note", entity_id=7)

    with pytest.raises(NotFoundError, match="no Note"):
        run(fail())


async def test_a_running_loop_is_told_to_await() -> None:
    with pytest.raises(UsageError, match="`await` the call"):
        run(answer())
    with pytest.raises(UsageError, match="`await` the call"):
        run(Answer())


def test_a_home_with_an_async_driver_is_refused() -> None:
    database = Database("sqlite://")
    authors = Repository[Author, int](database, Author)

    with pytest.raises(UsageError, match=r"sessionmaker.*portal"):
        run(authors.get_all())
    with pytest.raises(UsageError, match="portal"), unit_of_work(database):
        pass


def test_a_home_in_memory_is_driven_too() -> None:
    authors = Repository[Author, int](MemoryDatabase(), Author)

    with unit_of_work(authors):
        run(authors.create({"name": "Ada"}))

    assert run(authors.count()) == 1
    assert current_unit() is None


def test_variables_of_the_caller_are_seen() -> None:
    async def read() -> str | None:
        return correlation_id.get()

    token = correlation_id.set("job-1")
    seen = run(read())
    correlation_id.reset(token)

    assert seen == "job-1"


def test_tasks_that_are_left_behind_are_cancelled() -> None:
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

    task = run(start())

    assert left == ["cancelled"]
    assert task.cancelled()


def test_a_task_that_fails_when_it_is_cancelled_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(linger())
        await asyncio.sleep(0)
        return task

    with caplog.at_level(logging.ERROR, "layerkit.unit_of_work"):
        run(start())

    (record,) = [r for r in caplog.records if r.name == "layerkit.unit_of_work"]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_ctrl_c_ends_the_work_and_the_next_run_begins_clean() -> None:
    closed: list[str] = []

    async def interrupted() -> None:
        try:
            asyncio.get_running_loop().call_soon(_interrupt)
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    def _interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted())

    assert closed == ["closed"]
    assert run(answer()) == 42


def test_each_thread_has_a_loop_that_ends_with_it() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def here() -> None:
        loops.append(asyncio.get_running_loop())

    def work() -> None:
        run(here())
        run(here())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    run(here())

    first, second, own = loops
    assert first is second
    assert first.is_closed()
    assert not own.is_closed()


def test_an_iterator_that_can_not_be_closed_is_iterated() -> None:
    class Two:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> "Two":
            return self

        async def __anext__(self) -> int:
            if self.left == 0:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    assert list(iterate(Two())) == [1, 0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_process_has_a_loop_of_its_own() -> None:
    run(answer())
    inherited = driver._thread.driver
    driver._forget_loop()
    driver._forget_loop()  # in a process that is forked from that one

    assert run(answer()) == 42
    assert driver._thread.driver is not inherited
    assert inherited in driver._inherited
    driver._thread.driver = inherited
