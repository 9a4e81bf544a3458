"""Small types that all layers share: clock, time-ordered ids, the UNSET sentinel."""

import os
import threading
import time
from datetime import UTC, datetime
from enum import Enum
from typing import Final, Protocol
from uuid import UUID


class Clock(Protocol):
    """Tell the time; tests pass a ``ManualClock`` in its place."""

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds since some fixed moment; they never step back."""


class SystemClock:
    """Tell the time of the machine."""

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """Return nanoseconds since some fixed moment; they never step back."""
        return time.monotonic_ns()


class Unset(Enum):
    """The type of UNSET, the value of what was not given, as opposed to None."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET
"""What was not given, where None would be a value."""

_COUNTER_BITS: Final = 74  # RFC 9562, section 5.7: rand_a (12 bits) and rand_b (62)
_uuid7_lock = threading.Lock()
_uuid7_last = 0


def _renew_lock() -> None:  # pragma: no cover - runs in forked children only
    """Replace the lock: the thread that holds it at a fork is not in the child."""
    global _uuid7_lock  # noqa: PLW0603 - the child's own
    _uuid7_lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_renew_lock)


def uuid7() -> UUID:
    """Return a time-ordered UUID, version 7 (RFC 9562, section 5.7).

    Ids of one process rise strictly: the milliseconds of the clock come first, and
    within one millisecond, or when the clock steps back, the last id counts on
    (RFC 9562, section 6.2, method 2). That holds for threads, and a forked process goes
    on above the ids of its parent. Ids can be guessed from their neighbours; they
    are keys, not secrets.
    """
    global _uuid7_last  # noqa: PLW0603 - ids rise in the process as a whole
    # 72 bits: the top ones stay clear, so that a burst of one millisecond can count up.
    random = int.from_bytes(os.urandom(9))
    with _uuid7_lock:
        now = time.time_ns() // 1_000_000 << _COUNTER_BITS
        # Steps of 48 random bits, so that forks which count on from one id never meet.
        step = 1 + (random >> 24)
        _uuid7_last = last = now | random if now > _uuid7_last else _uuid7_last + step
    head, rand_b = last >> 62, last & (1 << 62) - 1
    milliseconds, rand_a = head >> 12, head & (1 << 12) - 1
    return UUID(int=milliseconds << 80 | 7 << 76 | rand_a << 64 | 2 << 62 | rand_b)
