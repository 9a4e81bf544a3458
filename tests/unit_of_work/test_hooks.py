"""What follows a commit: hooks in their order, then the events."""

import asyncio
from collections.abc import Sequence

import pytest

from layerkit.core.errors import ConflictError, UnitOfWorkError, UsageError
from layerkit.unit_of_work import EventSink, current_unit, run_hooks
from tests.support.recording import RecordingHome


class Sink:
    """A sink that notes in a home's log what it is given, and may fail."""

    def __init__(self, home: RecordingHome) -> None:
        self.home = home
        self.refused: object = object()

    def check(self, event: object) -> None:
        if event == self.refused:
            raise UsageError(f"no room for {event!r}")

    async def before_commit(self, events: Sequence[object]) -> None:
        await self.home.step(f"store {list(events)}")

    async def after_commit(self, events: Sequence[object]) -> None:
        await self.home.step(f"publish {list(events)}")


class EmptySink(Sink):
    """A sink that is false, as a container without items is."""

    def __len__(self) -> int:
        return 0


@pytest.fixture
def sink(home: RecordingHome) -> Sink:
    return Sink(home)


# Hooks


async def test_hooks_run_after_the_commit_in_their_order(home: RecordingHome) -> None:
    async def slow() -> None:
        await home.step("slow hook")

    async with home.unit_of_work() as unit:
        unit.after_commit(slow)
        unit.after_commit(lambda: home.log.append("sync hook"))
        unit.after_commit(lambda: home.step("lambda hook"))
        await home.write()

    assert home.log == [
        *("begin", "write", "commit", "release"),
        *("slow hook", "sync hook", "lambda hook"),
    ]


@pytest.mark.defect("R37")
async def test_hooks_are_awaited_before_the_block_is_left(home: RecordingHome) -> None:
    done = asyncio.Event()

    async def hook() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        done.set()

    async with home.unit_of_work() as unit:
        unit.after_commit(hook)

    assert done.is_set()


async def test_hooks_of_an_inner_block_wait_for_the_outer_commit(
    home: RecordingHome,
) -> None:
    async with home.unit_of_work():
        async with home.unit_of_work() as inner:
            inner.after_commit(lambda: home.log.append("hook"))
        assert home.log == ["begin"]

    assert home.log == ["begin", "commit", "release", "hook"]


async def test_hooks_are_dropped_with_their_unit(home: RecordingHome) -> None:
    async def fail() -> None:
        async with home.unit_of_work() as unit:
            unit.after_commit(lambda: home.log.append("hook"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert "hook" not in home.log


async def test_failing_hook_stops_neither_the_others_nor_the_events(
    home: RecordingHome, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise LookupError("no template")

    async with home.unit_of_work(events=sink) as unit:
        unit.after_commit(broken)
        unit.after_commit(lambda: home.log.append("hook"))
        unit.emit("event")

    assert home.log[-2:] == ["hook", "publish ['event']"]
    [record] = caplog.records
    assert "broken" in record.getMessage()
    assert "the unit has committed" in record.getMessage()
    assert "no template" in caplog.text


async def test_hook_that_awaits_something_cancelled_stops_only_itself(
    home: RecordingHome, caplog: pytest.LogCaptureFixture
) -> None:
    async def await_cancelled() -> None:
        answer = asyncio.get_running_loop().create_future()
        answer.cancel()
        await answer

    async with home.unit_of_work() as unit:
        unit.after_commit(await_cancelled)
        unit.after_commit(lambda: home.log.append("hook"))

    assert home.log[-1] == "hook"
    assert "the unit has committed" in caplog.text


async def test_hooks_that_are_cancelled_themselves_stop() -> None:
    started = asyncio.Event()
    ran: list[str] = []

    async def wait_for_ever() -> None:
        started.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(
        run_hooks([wait_for_ever, lambda: ran.append("hook")], [], None)
    )
    await started.wait()

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert ran == []


async def test_hook_sees_no_open_unit(home: RecordingHome) -> None:
    seen: list[object] = []

    async with home.unit_of_work() as unit:
        unit.after_commit(lambda: seen.append(current_unit()))

    assert seen == [None]


async def test_hook_of_a_hook_is_refused_and_logged(
    home: RecordingHome, caplog: pytest.LogCaptureFixture
) -> None:
    async with home.unit_of_work() as unit:
        unit.after_commit(lambda: unit.after_commit(print))

    assert "UnitOfWorkError: this unit of work is not open" in caplog.text


async def test_hook_may_open_a_unit_of_its_own(home: RecordingHome) -> None:
    async with home.unit_of_work() as unit:
        unit.after_commit(home.write)

    assert home.log == [
        *("begin", "commit", "release"),
        *("begin", "write", "commit", "release"),
    ]


# Events


@pytest.mark.defect("E19")
async def test_sink_stores_inside_the_transaction_and_publishes_after_it(
    home: RecordingHome, sink: Sink
) -> None:
    async with home.unit_of_work(events=sink) as unit:
        unit.emit(1)
        unit.after_commit(lambda: home.log.append("hook"))
        unit.emit(2)
        await home.write()

    assert home.log == [
        *("begin", "write", "store [1, 2]", "commit", "release"),
        *("hook", "publish [1, 2]"),
    ]


async def test_unit_without_events_leaves_the_sink_alone(
    home: RecordingHome, sink: Sink
) -> None:
    async with home.unit_of_work(events=sink):
        await home.write()

    assert home.log == ["begin", "write", "commit", "release"]


@pytest.mark.defect("E19")
async def test_events_are_dropped_with_their_unit(
    home: RecordingHome, sink: Sink
) -> None:
    async def fail() -> None:
        async with home.unit_of_work(events=sink) as unit:
            unit.emit(1)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert home.log == ["begin", "rollback", "release"]


@pytest.mark.defect("E19")
async def test_events_are_dropped_with_a_failed_commit(
    home: RecordingHome, sink: Sink
) -> None:
    home.failing["commit"] = ConflictError("taken")

    with pytest.raises(ConflictError):
        async with home.unit_of_work(events=sink) as unit:
            unit.emit(1)

    assert home.log == ["begin", "store [1]", "commit", "rollback", "release"]


async def test_sink_that_can_not_store_rolls_the_unit_back(
    home: RecordingHome, sink: Sink
) -> None:
    home.failing["store [1]"] = ConflictError("outbox is full")

    with pytest.raises(ConflictError, match="outbox is full"):
        async with home.unit_of_work(events=sink) as unit:
            unit.emit(1)

    assert home.log == ["begin", "store [1]", "rollback", "release"]


async def test_sink_that_can_not_publish_is_logged_and_the_unit_stays_committed(
    home: RecordingHome, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    home.failing["publish [1, 2]"] = ConnectionError("bus is down")

    async with home.unit_of_work(events=sink) as unit:
        unit.emit(1)
        unit.emit(2)

    assert caplog.messages == ["2 events were not published"]
    assert "commit" in home.log


async def test_emit_without_a_sink_is_refused(home: RecordingHome) -> None:
    async with home.unit_of_work() as unit:
        with pytest.raises(UsageError, match=r"emit\(int\) has nowhere to go"):
            unit.emit(1)


async def test_emit_of_what_the_sink_refuses_is_refused_at_once(
    home: RecordingHome, sink: Sink
) -> None:
    sink.refused = "big"

    async with home.unit_of_work(events=sink) as unit:
        with pytest.raises(UsageError, match="no room for 'big'"):
            unit.emit("big")

    assert home.log == ["begin", "commit", "release"]


@pytest.mark.parametrize("named", [False, True])
async def test_inner_block_keeps_the_sink_of_the_outer(
    home: RecordingHome, sink: Sink, *, named: bool
) -> None:
    again: EventSink | None = sink if named else None

    async with (
        home.unit_of_work(events=sink) as outer,
        home.unit_of_work(events=again) as inner,
    ):
        inner.emit(1)
        outer.emit(2)

    assert home.log[-1] == "publish [1, 2]"


async def test_inner_block_may_bring_the_sink(home: RecordingHome, sink: Sink) -> None:
    async with home.unit_of_work(), home.unit_of_work(events=sink) as inner:
        inner.emit(1)

    assert home.log[-1] == "publish [1]"


async def test_inner_block_with_another_sink_is_refused(
    home: RecordingHome, sink: Sink
) -> None:
    async with home.unit_of_work(events=sink):
        with pytest.raises(UsageError, match="one unit has one sink"):
            await home.unit_of_work(events=Sink(home)).__aenter__()
        await home.write()

    assert home.log == ["begin", "write", "commit", "release"]


async def test_sink_that_is_false_is_a_sink(home: RecordingHome) -> None:
    async with home.unit_of_work(events=EmptySink(home)) as unit, home.unit_of_work():
        unit.emit(1)

    assert home.log[-1] == "publish [1]"


async def test_sink_ends_with_its_unit(home: RecordingHome, sink: Sink) -> None:
    async with home.unit_of_work(events=sink) as unit:
        unit.emit(1)
    home.log.clear()

    async with home.unit_of_work(events=Sink(home)) as unit:
        unit.emit(2)

    assert home.log[-1] == "publish [2]"


async def test_unit_in_a_unit_of_another_home_has_events_of_its_own(
    home: RecordingHome, sink: Sink
) -> None:
    other = RecordingHome()

    with pytest.raises(UnitOfWorkError):
        async with home.unit_of_work(events=sink) as outer:
            outer.emit("outer")
            async with other.unit_of_work(events=sink) as inner:
                inner.emit("inner")
            raise UnitOfWorkError("outer")

    assert home.log == [
        "begin",
        *("store ['inner']", "publish ['inner']"),
        *("rollback", "release"),
    ]
