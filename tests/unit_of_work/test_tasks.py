"""Who may use a unit: one flow of control, decided by context and not by task."""

import asyncio
from contextvars import Context, copy_context

import pytest

from layerkit.core.errors import UnitOfWorkError
from layerkit.unit_of_work import Transaction, UnitOfWork, plain_unit_of_work
from tests.support.recording import RecordingHome, RecordingTransaction


class SharedTransaction:
    """What a session of the user's is: one transaction for whoever has it at hand."""

    def __init__(self) -> None:
        self.home = RecordingHome()
        self.transaction = RecordingTransaction(self.home)

    def unit_of_work(self) -> UnitOfWork:
        def choose() -> Transaction:
            return self.transaction

        return UnitOfWork(choose)

    async def read(self) -> None:
        with self.transaction.verb("read", writes=False):
            await self.home.step("read")


@pytest.fixture
def session() -> SharedTransaction:
    return SharedTransaction()


# Refused


@pytest.mark.defect("R40")
async def test_two_verbs_at_once_are_refused(home: RecordingHome) -> None:
    async with home.unit_of_work():
        first, second = await asyncio.gather(
            home.write("create"), home.read("find"), return_exceptions=True
        )

    assert first is None
    assert isinstance(second, UnitOfWorkError)
    assert str(second).startswith("find while create runs: a unit of work belongs to")


@pytest.mark.defect("R40")
async def test_verb_beside_an_inner_block_of_another_task_is_refused(
    home: RecordingHome,
) -> None:
    entered, read = asyncio.Event(), asyncio.Event()

    async def inner_block() -> None:
        async with home.unit_of_work():
            entered.set()
            await read.wait()

    async with home.unit_of_work():
        other = asyncio.create_task(inner_block())
        await entered.wait()
        with pytest.raises(UnitOfWorkError, match="find from another task than"):
            await home.read("find")
        read.set()
        await other
        await home.read("find")


@pytest.mark.defect("R40")
async def test_task_that_knows_nothing_of_the_unit_is_refused(
    session: SharedTransaction,
) -> None:
    outside = copy_context()

    async with session.unit_of_work():
        verb = asyncio.create_task(session.read(), context=outside.copy())
        entry = asyncio.create_task(
            session.unit_of_work().__aenter__(), context=outside.copy()
        )

        with pytest.raises(UnitOfWorkError, match="read from another task"):
            await verb
        with pytest.raises(UnitOfWorkError, match=r"unit_of_work\(\) from another"):
            await entry


@pytest.mark.defect("R40")
async def test_a_loop_in_another_thread_is_refused_as_one(
    session: SharedTransaction,
) -> None:
    def read() -> None:
        asyncio.run(session.read())

    async with session.unit_of_work():
        inside = copy_context()
        with pytest.raises(UnitOfWorkError, match="read from another thread than"):
            await asyncio.to_thread(Context().run, read)

    with pytest.raises(UnitOfWorkError, match="read from a thread that outlived its"):
        await asyncio.to_thread(inside.run, read)


@pytest.mark.defect("R40")
async def test_task_that_outlives_the_unit_is_refused(
    session: SharedTransaction,
) -> None:
    ended = asyncio.Event()

    async def outlive() -> None:
        await ended.wait()
        await session.read()

    async with session.unit_of_work():
        task = asyncio.create_task(outlive())
        await asyncio.sleep(0)
    ended.set()

    with pytest.raises(UnitOfWorkError, match="read from a task that outlived its"):
        await task


@pytest.mark.defect("R40")
async def test_entry_while_another_task_begins_is_refused(
    session: SharedTransaction,
) -> None:
    session.home.stalled["begin"] = asyncio.Event()
    first = session.unit_of_work()
    entering = asyncio.create_task(first.__aenter__())
    await session.home.reached.wait()

    with pytest.raises(UnitOfWorkError, match="while unit_of_work\\(\\) runs"):
        await session.unit_of_work().__aenter__()

    session.home.stalled["begin"].set()
    await entering


async def test_savepoint_of_another_task_is_refused(session: SharedTransaction) -> None:
    outside = copy_context()

    async with session.unit_of_work() as unit:
        task = asyncio.create_task(
            anext_of(unit.savepoint().__aenter__()), context=outside
        )

        with pytest.raises(UnitOfWorkError, match=r"savepoint\(\) from another task"):
            await task


async def anext_of(entering: object) -> None:
    await entering  # type: ignore[misc]  # an awaitable; create_task wants a coroutine


@pytest.mark.defect("R40")
async def test_block_left_while_a_verb_runs_waits_for_it_and_stores_nothing(
    home: RecordingHome,
) -> None:
    home.stalled["write"] = asyncio.Event()
    ended: list[str] = []

    async def leave_early() -> None:
        async with home.unit_of_work():
            task = asyncio.create_task(home.write())
            await home.reached.wait()
        ended.append("unit")
        await task

    async def let_go() -> None:
        await home.reached.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        assert ended == []
        assert "rollback" not in home.log
        home.stalled["write"].set()

    left, _ = await asyncio.gather(leave_early(), let_go(), return_exceptions=True)

    assert isinstance(left, UnitOfWorkError)
    assert "was left while write was running" in str(left)
    assert home.log == ["begin", "write", "rollback", "release"]


# Allowed


async def test_wait_for_around_a_verb_is_allowed(home: RecordingHome) -> None:
    async with home.unit_of_work():
        await asyncio.wait_for(home.write(), timeout=5)

    assert home.log == ["begin", "write", "commit", "release"]


async def test_wait_for_around_an_inner_block_is_allowed(home: RecordingHome) -> None:
    async def inner_block() -> None:
        async with home.unit_of_work():
            await home.write()

    async with home.unit_of_work():
        await asyncio.wait_for(inner_block(), timeout=5)

    assert home.log == ["begin", "write", "commit", "release"]


async def test_unit_opened_in_one_task_may_be_used_in_another_of_its_context(
    home: RecordingHome,
) -> None:
    context = copy_context()
    unit = home.unit_of_work()

    async def close() -> None:
        await home.write()
        await unit.__aexit__(None, None, None)

    await asyncio.create_task(unit.__aenter__(), context=context)
    await asyncio.create_task(close(), context=context)

    assert home.log == ["begin", "write", "commit", "release"]


async def test_tasks_outside_of_a_unit_have_units_of_their_own(
    home: RecordingHome,
) -> None:
    async def work() -> None:
        async with home.unit_of_work():
            await home.write()

    await asyncio.gather(work(), work(), work())

    assert sorted(home.log) == sorted(["begin", "write", "commit", "release"] * 3)


async def test_transaction_serves_one_unit_after_the_other(
    session: SharedTransaction,
) -> None:
    for _ in range(2):
        async with session.unit_of_work():
            await session.read()
        await session.read()

    assert session.home.log == ["begin", "read", "commit", "release", "read"] * 2


async def test_hook_may_use_the_transaction_of_its_unit_again(
    session: SharedTransaction,
) -> None:
    async def read_again() -> None:
        async with session.unit_of_work():
            await session.read()

    async with session.unit_of_work() as unit:
        unit.after_commit(read_again)

    assert session.home.log == [
        *("begin", "commit", "release"),
        *("begin", "read", "commit", "release"),
    ]


async def test_unit_without_a_home_in_an_open_unit_is_part_of_it(
    home: RecordingHome,
) -> None:
    async with home.unit_of_work() as outer, plain_unit_of_work() as inner:
        assert inner.transaction is outer.transaction
        await home.write()

    assert home.log == ["begin", "write", "commit", "release"]
