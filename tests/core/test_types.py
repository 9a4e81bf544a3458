"""The clock, time-ordered ids and UNSET."""

import os
import pickle
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from layerkit.core import UNSET, Clock, SystemClock, Unset, uuid7


def test_the_system_clock_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()

    now = clock.now()

    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_system_clock_never_steps_back() -> None:
    clock: Clock = SystemClock()

    first, second = clock.monotonic_ns(), clock.monotonic_ns()

    assert 0 < first <= second


def test_unset_is_one_object_in_every_process() -> None:
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET  # noqa: S301 - our own
    assert isinstance(UNSET, Unset)


@pytest.mark.defect("R38")
def test_a_uuid7_is_of_version_7_and_holds_the_time() -> None:
    before = time.time_ns() // 1_000_000

    made = uuid7()

    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == UUID(int=0x8 << 60).variant
    assert before <= made.int >> 80 <= after + 1


def test_uuid7s_rise_strictly_within_one_millisecond() -> None:
    made = [uuid7() for _ in range(5_000)]

    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}


def test_uuid7s_rise_though_the_clock_steps_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)

    second = uuid7()

    assert second > first
    assert second.version == 7


def test_uuid7s_of_several_threads_never_collide() -> None:
    made: list[UUID] = []

    def make() -> None:
        made.extend([uuid7() for _ in range(500)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 2_000


_FORK = """
import os, sys, threading
from layerkit.core import types

before = types.uuid7()
held, done = threading.Event(), threading.Event()

def hold():
    with types._uuid7_lock:
        held.set()
        done.wait()

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    after = types.uuid7()
    os._exit(0 if after > before else 1)
status = os.waitpid(child, 0)[1]
done.set()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_makes_uuid7s_though_a_thread_held_the_lock() -> None:
    command = [sys.executable, "-W", "ignore", "-c", _FORK]

    ended = subprocess.run(command, timeout=60, check=False)

    assert ended.returncode == 0
