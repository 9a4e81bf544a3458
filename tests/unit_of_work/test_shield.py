"""Running what must not be torn in two."""

import asyncio
import gc
import weakref

import pytest

from layerkit.unit_of_work import is_being_cancelled, shielded
from layerkit.unit_of_work.shield import OverdueError, within


async def give(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def test_result_is_passed_on() -> None:
    assert await shielded(give(7)) == 7


async def test_error_is_passed_on() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await shielded(fail())


async def test_work_runs_to_its_end_before_the_cancellation_is_raised() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    steps: list[str] = []

    async def work() -> None:
        begun.set()
        await go_on.wait()
        steps.append("done")

    task = asyncio.create_task(shielded(work()))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["done"]


async def test_error_of_the_work_comes_before_the_cancellation() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        raise LookupError

    task = asyncio.create_task(shielded(work()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()

    with pytest.raises(LookupError):
        await task


async def test_timeout_around_shielded_work_is_a_timeout() -> None:
    done: list[str] = []
    late = asyncio.Event()

    async def work() -> None:
        await late.wait()
        done.append("work")

    asyncio.get_running_loop().call_later(0.005, late.set)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await shielded(work())
    assert done == ["work"]


async def test_task_knows_whether_it_is_being_cancelled() -> None:
    answers: list[bool] = []

    async def ask() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answers.append(is_being_cancelled())

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert answers == [True]
    assert is_being_cancelled() is False


async def test_what_runs_within_its_time_is_left_alone() -> None:
    async with within(60):
        assert await give(7) == 7

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_has_ended_is_not_cut_off_later() -> None:
    async with within(0):
        ended = True
    for _ in range(3):
        await asyncio.sleep(0)

    assert ended
    assert not is_being_cancelled()


async def test_what_takes_too_long_is_cut_off_and_its_task_goes_on() -> None:
    with pytest.raises(OverdueError):
        async with within(0):
            await asyncio.Event().wait()

    assert not is_being_cancelled()
    assert await give(7) == 7


async def test_what_ignores_a_cancellation_is_cancelled_again() -> None:
    ignored: list[str] = []

    with pytest.raises(OverdueError):
        async with within(0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ignored.append("once")
                await asyncio.Event().wait()

    assert ignored == ["once"]
    assert not is_being_cancelled()


async def test_an_error_of_what_is_cut_off_is_kept_as_its_cause() -> None:
    with pytest.raises(OverdueError) as caught:
        async with within(0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise LookupError from None

    assert isinstance(caught.value.__cause__, LookupError)


async def test_an_error_and_a_cancellation_within_the_time_pass() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with within(60):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(LookupError):
        async with within(60):
            raise LookupError


async def test_who_is_cancelled_while_it_is_cut_off_stays_cancelled() -> None:
    async def work() -> None:
        async with within(0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


def test_work_without_a_loop_has_no_bound() -> None:
    async def work() -> int:
        async with within(0):
            return 7

    with pytest.raises(StopIteration) as done:
        work().send(None)

    assert done.value.value == 7


async def test_what_ran_within_its_time_goes_without_the_garbage_collector() -> None:
    async def bounded() -> None:
        async with within(60):
            await asyncio.sleep(0)

    gc.disable()
    try:
        task = asyncio.create_task(bounded())
        await task
        gone = weakref.ref(task)
        del task
        await asyncio.sleep(0)

        assert gone() is None
    finally:
        gc.enable()
