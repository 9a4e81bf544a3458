"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta
from typing import Final

from layerkit.core.errors import UsageError

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Tell the time that the test has set, to the microsecond; a Clock.

    Args:
        start: The first moment, aware; the start of 2026, UTC, when not given.

    Raises:
        UsageError: *start* is naive.
    """

    def __init__(self, start: datetime = _START) -> None:
        if start.tzinfo is None:
            raise UsageError(f"{start!r} is naive: pass datetime(..., tzinfo=UTC)")
        self._start = start.astimezone(UTC)
        self._passed = timedelta(0)

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC."""
        return self._start + self._passed

    def monotonic_ns(self) -> int:
        """Return nanoseconds since the clock was made."""
        return self._passed // timedelta(microseconds=1) * 1000

    def advance(self, by: float | timedelta) -> None:
        """Let time pass.

        Args:
            by: Seconds or a timedelta.

        Raises:
            UsageError: *by* is negative.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise UsageError(f"advance({by!r}): time never steps back")
        self._passed += step
