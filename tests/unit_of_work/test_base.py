"""UnitOfWork: how a unit begins, nests and ends."""

import asyncio
import contextlib
import gc
import logging
import weakref

import pytest

from layerkit.core.errors import (
    ConflictError,
    UnavailableError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.unit_of_work import current_unit, plain_unit_of_work, transaction_of
from tests.support.recording import RecordingHome


async def fail_inside(home: RecordingHome, *, write: bool) -> None:
    async with home.unit_of_work():
        if write:
            await home.write()
        raise LookupError("inner")


# One block


async def test_clean_exit_commits(home: RecordingHome) -> None:
    async with home.unit_of_work():
        await home.write()

    assert home.log == ["begin", "write", "commit", "release"]


async def test_error_rolls_back_and_goes_on(home: RecordingHome) -> None:
    with pytest.raises(LookupError, match="inner"):
        await fail_inside(home, write=True)

    assert home.log == ["begin", "write", "rollback", "release"]


async def test_failing_begin_leaves_no_unit(home: RecordingHome) -> None:
    home.failing["begin"] = ConflictError("locked")
    unit = home.unit_of_work()

    with pytest.raises(ConflictError, match="locked"):
        await unit.__aenter__()

    assert home.log == ["begin"]
    assert current_unit() is None
    assert transaction_of(home) is None


async def test_failing_commit_rolls_back_and_is_raised(home: RecordingHome) -> None:
    ran: list[str] = []
    home.failing["commit"] = ConflictError("taken", kind="unique")

    with pytest.raises(ConflictError, match="taken"):
        async with home.unit_of_work() as unit:
            unit.after_commit(lambda: ran.append("hook"))

    assert home.log == ["begin", "commit", "rollback", "release"]
    assert ran == []


async def test_failing_rollback_is_logged_and_hides_nothing(
    home: RecordingHome, caplog: pytest.LogCaptureFixture
) -> None:
    home.failing["rollback"] = ConnectionError("gone")

    with pytest.raises(LookupError, match="inner"):
        await fail_inside(home, write=True)

    assert "rollback failed" in caplog.messages
    assert home.log[-1] == "release"


@pytest.mark.parametrize(
    ("step", "outcome"),
    [("commit", UnavailableError), ("rollback", LookupError), ("release", None)],
)
async def test_a_step_of_the_end_that_stalls_is_cut_off(
    home: RecordingHome, step: str, outcome: type[Exception] | None
) -> None:
    home.stalled[step] = asyncio.Event()

    async def work() -> None:
        async with home.unit_of_work() as unit:
            assert unit.transaction is not None
            unit.transaction.commit_timeout_seconds = 0.01
            await home.write()
            if step == "rollback":
                raise LookupError

    done = asyncio.ensure_future(work())
    await asyncio.wait({done}, timeout=30)

    assert done.done()
    assert type(done.exception()) is (outcome or type(None))
    assert home.log[-1] == "release"


async def test_failing_release_is_logged_and_the_unit_stays_committed(
    home: RecordingHome, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    home.failing["release"] = ConnectionError("gone")

    async with home.unit_of_work() as unit:
        unit.after_commit(lambda: ran.append("hook"))

    assert "release failed" in caplog.messages
    assert ran == ["hook"]


async def test_unit_is_entered_once(home: RecordingHome) -> None:
    async with home.unit_of_work() as unit:
        with pytest.raises(UnitOfWorkError, match="entered once"):
            await unit.__aenter__()

    with pytest.raises(UnitOfWorkError, match="entered once"):
        await unit.__aenter__()


@pytest.mark.parametrize("method", ["emit", "after_commit", "savepoint"])
async def test_unit_that_is_not_open_is_refused(
    home: RecordingHome, method: str
) -> None:
    arguments = () if method == "savepoint" else (print,)
    unit = home.unit_of_work()
    with pytest.raises(UnitOfWorkError, match="is not open: use it inside"):
        getattr(unit, method)(*arguments)

    async with unit:
        pass

    with pytest.raises(UnitOfWorkError, match="is not open: use it inside"):
        getattr(unit, method)(*arguments)


async def test_read_only_unit_refuses_to_write(home: RecordingHome) -> None:
    async with home.unit_of_work(read_only=True):
        await home.read()
        with pytest.raises(UnitOfWorkError, match=r"update writes.*read_only=True"):
            await home.write("update")

    assert home.log == ["begin", "read", "commit", "release"]


async def test_each_verb_outside_is_a_unit_of_its_own(home: RecordingHome) -> None:
    await home.write()
    await home.read()

    assert home.log == [
        *("begin", "write", "commit", "release"),
        *("begin", "read", "commit", "release"),
    ]


# Blocks in blocks


async def test_inner_block_joins_and_the_outermost_commits(home: RecordingHome) -> None:
    async with home.unit_of_work():
        async with home.unit_of_work():
            await home.write()
        assert "commit" not in home.log
        await home.write()

    assert home.log == ["begin", "write", "write", "commit", "release"]


async def test_inner_failure_after_a_write_rolls_back_the_whole(
    home: RecordingHome,
) -> None:
    with pytest.raises(
        UnitOfWorkError, match="rollback-only after LookupError"
    ) as caught:
        async with home.unit_of_work():
            with pytest.raises(LookupError):
                await fail_inside(home, write=True)

    assert isinstance(caught.value.__cause__, LookupError)
    assert home.log == ["begin", "write", "rollback", "release"]


async def test_inner_failure_before_a_write_rolls_nothing_back(
    home: RecordingHome,
) -> None:
    async with home.unit_of_work():
        await home.write()
        with pytest.raises(LookupError):
            await fail_inside(home, write=False)

    assert home.log == ["begin", "write", "commit", "release"]


async def test_rollback_only_unit_refuses_what_would_go_on(home: RecordingHome) -> None:
    with pytest.raises(UnitOfWorkError, match="can only roll back"):
        async with home.unit_of_work() as unit:
            with pytest.raises(LookupError):
                await fail_inside(home, write=True)

            with pytest.raises(UnitOfWorkError, match="can only roll back"):
                await home.read()
            with pytest.raises(UnitOfWorkError, match="can only roll back"):
                await home.unit_of_work().__aenter__()
            with pytest.raises(UnitOfWorkError, match="can only roll back"):
                await unit.savepoint().__aenter__()

    assert home.log == ["begin", "write", "rollback", "release"]


async def test_first_cause_of_being_rollback_only_is_kept(home: RecordingHome) -> None:
    first, second = LookupError("first"), LookupError("second")

    with pytest.raises(UnitOfWorkError) as caught:
        async with home.unit_of_work():
            transaction = transaction_of(home)
            assert transaction is not None
            transaction.mark_rollback_only(first)
            transaction.mark_rollback_only(second)

    assert caught.value.__cause__ is first


async def test_error_that_leaves_a_rollback_only_unit_is_the_one_raised(
    home: RecordingHome,
) -> None:
    with pytest.raises(KeyError, match="outer"):
        async with home.unit_of_work():
            with pytest.raises(LookupError):
                await fail_inside(home, write=True)
            raise KeyError("outer")


async def test_home_is_fresh_after_a_rollback_only_unit(home: RecordingHome) -> None:
    with pytest.raises(UnitOfWorkError):
        async with home.unit_of_work():
            with pytest.raises(LookupError):
                await fail_inside(home, write=True)
    home.log.clear()

    await home.write()

    assert home.log == ["begin", "write", "commit", "release"]


async def test_a_hook_that_was_called_already_is_refused() -> None:
    async def send() -> None: ...

    async with plain_unit_of_work() as unit:
        with pytest.raises(UsageError, match="write after_commit"):
            unit.after_commit(send())  # type: ignore[arg-type] # the slip it catches
        with pytest.raises(UsageError, match="got a str"):
            unit.after_commit("send")  # type: ignore[arg-type] # the slip it catches


async def test_blocks_left_out_of_order_store_nothing(home: RecordingHome) -> None:
    outer, inner = home.unit_of_work(), home.unit_of_work()
    await outer.__aenter__()
    await inner.__aenter__()

    with pytest.raises(UnitOfWorkError, match="out of order"):
        await outer.__aexit__(None, None, None)
    with pytest.raises(UnitOfWorkError, match="is not open"):
        await inner.__aexit__(None, None, None)

    assert home.log == ["begin", "rollback", "release"]


async def test_inner_blocks_left_out_of_order_roll_back_the_whole(
    home: RecordingHome,
) -> None:
    middle, inner = home.unit_of_work(), home.unit_of_work()

    with pytest.raises(UnitOfWorkError, match="out of order"):
        async with home.unit_of_work():
            await middle.__aenter__()
            await inner.__aenter__()
            await middle.__aexit__(None, None, None)
            await inner.__aexit__(None, None, None)

    assert home.log == ["begin", "rollback", "release"]


async def test_units_of_two_homes_are_apart(home: RecordingHome) -> None:
    other = RecordingHome()

    async with home.unit_of_work():
        with pytest.raises(LookupError):
            await fail_inside(other, write=True)
        await home.write()

    assert home.log == ["begin", "write", "commit", "release"]
    assert other.log == ["begin", "write", "rollback", "release"]


# What is open


async def test_current_unit_is_the_innermost_open_one(home: RecordingHome) -> None:
    other = RecordingHome()
    seen = [current_unit()]

    async with home.unit_of_work() as outer:
        seen.append(current_unit())
        async with other.unit_of_work() as inner:
            seen.append(current_unit())
        seen.append(current_unit())

    assert seen == [None, outer, inner, outer]
    assert current_unit() is None


async def test_transaction_is_found_by_its_home(home: RecordingHome) -> None:
    other = RecordingHome()

    async with home.unit_of_work() as outer, other.unit_of_work() as inner:
        assert transaction_of(home) is outer.transaction
        assert transaction_of(other) is inner.transaction
        assert transaction_of(RecordingHome()) is None

    assert transaction_of(home) is None


async def test_a_task_that_outlives_a_block_is_in_no_transaction(
    home: RecordingHome,
) -> None:
    has_ended = asyncio.Event()

    async def look() -> object:
        await has_ended.wait()
        return transaction_of(home) or current_unit()

    async with home.unit_of_work():
        outliving = asyncio.create_task(look())
        await asyncio.sleep(0)
    has_ended.set()

    assert await outliving is None


@pytest.mark.parametrize("fail", [False, True])
async def test_context_forgets_a_unit_that_has_ended(
    home: RecordingHome, *, fail: bool
) -> None:
    async def open_and_close() -> "weakref.ref[object]":
        unit = home.unit_of_work()
        with contextlib.suppress(LookupError):
            async with unit:
                if fail:
                    raise LookupError
        return weakref.ref(unit)

    ended = await open_and_close()

    gc.collect()
    assert ended() is None


# Cancellation


async def test_cancelled_unit_rolls_back(home: RecordingHome) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with home.unit_of_work():
            await home.write()
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert home.log == ["begin", "write", "rollback", "release"]


async def test_cancelled_commit_runs_to_its_end_with_its_hooks(
    home: RecordingHome,
) -> None:
    ran: list[str] = []
    home.stalled["commit"] = asyncio.Event()

    async def work() -> None:
        async with home.unit_of_work() as unit:
            unit.after_commit(lambda: ran.append("hook"))
        ran.append("not cancelled")

    task = asyncio.create_task(work())
    await home.reached.wait()

    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # a second time changes nothing
    await asyncio.sleep(0)
    assert not task.done()
    home.stalled["commit"].set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert home.log == ["begin", "commit", "release"]
    assert ran == ["hook"]


async def test_verb_that_is_cut_off_makes_the_unit_rollback_only(
    home: RecordingHome,
) -> None:
    home.stalled["write"] = asyncio.Event()

    with pytest.raises(UnitOfWorkError, match="rollback-only after CancelledError"):
        async with home.unit_of_work():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await home.write()

    assert home.log == ["begin", "write", "rollback", "release"]


async def test_verb_that_is_refused_rolls_nothing_back(home: RecordingHome) -> None:
    home.failing["write"] = ConflictError("taken")

    async with home.unit_of_work():
        with pytest.raises(ConflictError):
            await home.write()

    assert home.log == ["begin", "write", "commit", "release"]


async def test_begin_that_is_cut_off_leaves_no_unit(home: RecordingHome) -> None:
    home.stalled["begin"] = asyncio.Event()

    async def open_late() -> None:
        async with asyncio.timeout(0.001):
            await home.unit_of_work().__aenter__()

    with pytest.raises(TimeoutError):
        await open_late()

    assert current_unit() is None


# Logging


async def test_clean_unit_logs_nothing(
    home: RecordingHome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async with home.unit_of_work():
        await home.write()

    assert [r for r in caplog.records if r.name.startswith("layerkit")] == []
