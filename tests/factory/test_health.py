"""Whether what is shared answers."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable
from dataclasses import FrozenInstanceError
from typing import NewType

import pytest

from layerkit.core import UnavailableError
from layerkit.factory import HealthReport, ServiceFactory
from layerkit.sql import Database


class Store:
    """Answer a ping as told."""

    def __init__(self, answer: object = None) -> None:
        self.answer = answer

    async def ping(self) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Hanging:
    """Start to answer a ping, and never end, not even when cancelled once."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def ping(self) -> None:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            await self.release.wait()


async def report_of(*shared: object) -> HealthReport:
    factory = ServiceFactory()
    for each in shared:
        factory.value(each)
    async with factory:
        return await factory.health(timeout_seconds=0.05)


async def test_all_is_well_where_every_ping_returns() -> None:
    report = await report_of(Store())

    [check] = report.checks
    assert report.ok
    assert (check.name, check.ok, check.code) == ("Store", True, None)
    assert 0 <= check.seconds < 0.05
    assert report.to_dict() == {
        "ok": True,
        "checks": {
            "Store": {"ok": True, "seconds": round(check.seconds, 6), "code": None}
        },
    }


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (UnavailableError(), "UNAVAILABLE"),
        (False, "UNAVAILABLE"),
        (TimeoutError(), "TIMEOUT_EXCEEDED"),
        (RuntimeError("dsn with hunter2"), "INTERNAL_ERROR"),
        (asyncio.CancelledError(), "INTERNAL_ERROR"),
    ],
    ids=repr,
)
async def test_what_a_ping_raises_becomes_a_code_and_no_text(
    answer: object, code: str
) -> None:
    report = await report_of(Store(answer))

    assert not report.ok
    assert [check.code for check in report.checks] == [code]
    assert "hunter2" not in str(report)


async def test_what_a_ping_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await report_of(Store(RuntimeError("no route")))

    [record] = caplog.records
    assert record.getMessage() == "Store did not answer a ping"
    assert record.exc_info is not None


async def test_a_ping_that_hangs_runs_out_of_time_and_keeps_nobody_waiting() -> None:
    hanging = Hanging()

    report = await report_of(hanging, Store())

    assert [(c.name, c.code) for c in report.checks] == [
        ("Hanging", "TIMEOUT_EXCEEDED"),
        ("Store", None),
    ]
    hanging.release.set()
    await asyncio.sleep(0)


async def test_pings_run_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    class Left:
        async def ping(self) -> None:
            await both.wait()

    class Right(Left): ...

    assert (await report_of(Left(), Right())).ok


async def test_cancelling_health_cancels_the_pings() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    class Slow:
        async def ping(self) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    async with ServiceFactory().value(Slow()) as factory:
        health = asyncio.create_task(factory.health())
        await started.wait()
        health.cancel()
        with pytest.raises(asyncio.CancelledError):
            await health
        await cancelled.wait()


async def test_a_ping_that_is_a_plain_function_runs_in_a_thread() -> None:
    threads: list[int] = []

    class Blocking:
        def ping(self) -> bool:
            threads.append(threading.get_ident())
            return True

    assert (await report_of(Blocking())).ok
    assert threads != [threading.get_ident()]


async def test_an_awaitable_that_a_plain_ping_returns_is_awaited() -> None:
    class Redis:
        def ping(self) -> Awaitable[object]:
            return Store(False).ping()

    assert [c.code for c in (await report_of(Redis())).checks] == ["UNAVAILABLE"]


async def test_what_has_no_ping_of_its_own_is_left_out() -> None:
    class Network:
        async def ping(self, host: str) -> None: ...

    class Proxy:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    class Statistics:
        ping = 3

    factory = ServiceFactory().value(Network()).value(Proxy()).value(Statistics())
    factory.value(Store, key=NewType("store_class", type)).scoped(Store, key=Store)

    async with factory.transient(Hanging):
        assert await factory.health() == HealthReport(ok=True)


async def test_an_object_under_two_keys_is_pinged_once() -> None:
    class Base(Store): ...

    store = Base()
    factory = ServiceFactory().value(store).value(store, key=Store)

    async with factory:
        assert [c.name for c in (await factory.health()).checks] == ["Base"]


async def test_checks_of_one_name_are_numbered_in_order_of_registration() -> None:
    first, second = Store, type("Store", (Store,), {})

    async def open_first() -> AsyncIterator[Store]:
        yield first(False)

    factory = ServiceFactory().singleton(open_first).value(second())

    async with factory:
        checks = (await factory.health()).checks

    assert [(c.name, c.ok) for c in checks] == [("Store", False), ("Store (2)", True)]


async def test_a_factory_that_is_not_open_is_not_ok() -> None:
    assert await ServiceFactory().value(Store()).health() == HealthReport(ok=False)


async def test_health_pings_what_an_override_put_there() -> None:
    async with ServiceFactory().value(Store()) as factory:
        with factory.override({Store: Store(UnavailableError())}):
            assert not (await factory.health()).ok
        assert (await factory.health()).ok


async def test_a_report_can_not_be_changed() -> None:
    report = await report_of()

    with pytest.raises(FrozenInstanceError):
        report.ok = False  # type: ignore[misc] # that is the point


async def test_a_database_is_pinged() -> None:
    async with Database("sqlite://") as database:
        factory = ServiceFactory().value(database)
        async with factory:
            up = await factory.health()
            await database.close()
            down = await factory.health()

    assert (up.ok, down.ok) == (True, False)
    assert [check.name for check in up.checks] == ["Database"]
