"""ManualClock: time as the test sets it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from layerkit.core.errors import UsageError
from layerkit.core.types import Clock, SystemClock
from layerkit.testing import ManualClock


def test_clock_stands_still() -> None:
    clock: Clock = ManualClock()

    assert clock.now() == clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.monotonic_ns() == clock.monotonic_ns() == 0


@pytest.mark.parametrize("step", [1.5, timedelta(seconds=1.5)])
def test_advance_moves_both_readings(step: float | timedelta) -> None:
    clock = ManualClock()

    clock.advance(step)

    assert clock.now() == datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert clock.monotonic_ns() == 1_500_000_000


def test_steps_add_up_exactly() -> None:
    clock = ManualClock()

    for _ in range(10):
        clock.advance(0.1)

    assert clock.monotonic_ns() == 1_000_000_000


def test_start_is_kept_in_utc() -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    clock = ManualClock(start)

    assert clock.now() == start
    assert clock.now().tzinfo is UTC


def test_naive_start_is_refused() -> None:
    with pytest.raises(UsageError, match="is naive"):
        ManualClock(datetime(2026, 3, 1))  # noqa: DTZ001 - the subject of the test


@pytest.mark.parametrize("step", [-1, timedelta(seconds=-1)])
def test_time_never_steps_back(step: float | timedelta) -> None:
    with pytest.raises(UsageError, match="never steps back"):
        ManualClock().advance(step)


def test_system_clock_gives_both_readings() -> None:
    clock: Clock = SystemClock()

    first = clock.monotonic_ns()

    assert clock.now().tzinfo is UTC
    assert clock.monotonic_ns() >= first
