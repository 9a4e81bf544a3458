"""savepoint(): how to catch an error and go on."""

import asyncio

import pytest

from layerkit.core.errors import ConflictError, UnitOfWorkError
from tests.support.recording import RecordingHome


async def fail_after_a_write(home: RecordingHome) -> None:
    async with home.unit_of_work():
        await home.write()
        raise LookupError


async def test_savepoint_that_ends_well_is_kept(home: RecordingHome) -> None:
    async with home.unit_of_work() as unit, unit.savepoint():
        await home.write()
        unit.after_commit(lambda: home.log.append("hook"))

    assert home.log == [
        *("begin", "savepoint", "write", "release savepoint"),
        *("commit", "release", "hook"),
    ]


async def test_caught_error_undoes_the_savepoint_alone(home: RecordingHome) -> None:
    async with home.unit_of_work() as unit:
        with pytest.raises(LookupError):
            async with unit.savepoint():
                await fail_after_a_write(home)
        await home.write("second write")

    assert home.log == [
        *("begin", "savepoint", "write", "rollback to savepoint", "second write"),
        *("commit", "release"),
    ]


async def test_write_of_an_undone_savepoint_makes_no_block_around_it_rollback_only(
    home: RecordingHome,
) -> None:
    async def undo_then_fail() -> None:
        async with home.unit_of_work() as inner:
            with pytest.raises(LookupError):
                async with inner.savepoint():
                    await fail_after_a_write(home)
            raise KeyError

    async with home.unit_of_work():
        with pytest.raises(KeyError):
            await undo_then_fail()

    assert home.log[-2:] == ["commit", "release"]


async def test_hooks_and_events_of_an_undone_savepoint_are_dropped(
    home: RecordingHome,
) -> None:
    ran: list[str] = []

    async with home.unit_of_work() as unit:
        unit.after_commit(lambda: ran.append("before"))
        with pytest.raises(LookupError):
            async with unit.savepoint():
                unit.after_commit(lambda: ran.append("inside"))
                raise LookupError
        unit.after_commit(lambda: ran.append("after"))

    assert ran == ["before", "after"]


async def test_error_that_was_swallowed_inside_leaves_the_savepoint(
    home: RecordingHome,
) -> None:
    async with home.unit_of_work() as unit:
        with pytest.raises(UnitOfWorkError, match="rollback-only after LookupError"):
            async with unit.savepoint():
                with pytest.raises(LookupError):
                    await fail_after_a_write(home)
        await home.write()

    assert home.log[-3:] == ["write", "commit", "release"]


async def test_savepoints_nest(home: RecordingHome) -> None:
    async with home.unit_of_work() as unit, unit.savepoint():
        with pytest.raises(LookupError):
            async with unit.savepoint():
                raise LookupError

    assert home.log == [
        *("begin", "savepoint", "savepoint", "rollback to savepoint"),
        *("release savepoint", "commit", "release"),
    ]


async def test_release_that_fails_has_undone_the_savepoint(home: RecordingHome) -> None:
    home.failing["release savepoint"] = ConflictError("taken")

    async with home.unit_of_work() as unit:
        with pytest.raises(ConflictError):
            async with unit.savepoint():
                await home.write()
        await home.write()

    assert home.log[-2:] == ["commit", "release"]


async def test_savepoint_that_can_not_be_undone_makes_the_unit_rollback_only(
    home: RecordingHome,
) -> None:
    home.failing["rollback to savepoint"] = ConnectionError("gone")

    with pytest.raises(UnitOfWorkError, match="rollback-only after ConnectionError"):
        async with home.unit_of_work() as unit:
            with pytest.raises(ConnectionError):
                async with unit.savepoint():
                    await fail_after_a_write(home)

    assert home.log[-2:] == ["rollback", "release"]


async def test_cancelled_verb_inside_a_savepoint_is_undone_with_it(
    home: RecordingHome,
) -> None:
    home.stalled["slow write"] = asyncio.Event()

    async with home.unit_of_work() as unit:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001), unit.savepoint():
                await home.write("slow write")
        await home.write()

    assert home.log[-3:] == ["write", "commit", "release"]
