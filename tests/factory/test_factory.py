"""Lifetimes, opening and closing."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NewType

import pytest

from layerkit.core import TimeoutExceededError, UsageError, WiringError
from layerkit.factory import ServiceFactory


class Engine:
    pass


class Repository:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Service:
    def __init__(self, repository: Repository, engine: Engine) -> None:
        self.repository = repository
        self.engine = engine


class Clock:
    pass


def chain() -> ServiceFactory:
    return ServiceFactory().singleton(Engine).scoped(Repository).scoped(Service)


async def test_a_singleton_is_one_object_in_all_scopes() -> None:
    async with chain() as factory, factory.scope() as first, factory.scope() as second:
        engines = {id(await scope.get(Engine)) for scope in (first, second)}

        assert engines == {id(await factory.get(Engine))}


async def test_a_scoped_object_is_one_in_its_scope_and_another_in_the_next() -> None:
    async with chain() as factory, factory.scope() as first, factory.scope() as second:
        service = await first.get(Service)

        assert await first.get(Service) is service
        assert await first.get(Repository) is service.repository
        assert await second.get(Service) is not service
        assert service.repository.engine is service.engine


async def test_a_transient_object_is_new_for_each_who_asks() -> None:
    class Left:
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

    class Right:
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

    factory = ServiceFactory().transient(Clock).scoped(Left).scoped(Right)

    async with factory, factory.scope() as scope:
        clocks = {
            await scope.get(Clock),
            (await scope.get(Left)).clock,
            (await scope.get(Right)).clock,
        }
        assert len(clocks) == 3


async def test_a_transient_that_awaits_is_new_for_each_who_asks() -> None:
    async def make_clock() -> Clock:
        return Clock()

    factory = ServiceFactory().transient(make_clock)

    async with factory, factory.scope() as scope:
        assert await scope.get(Clock) is not await scope.get(Clock)


async def test_a_value_is_found_by_its_class_or_its_key() -> None:
    dsn_type = NewType("dsn_type", str)
    engine = Engine()
    factory = ServiceFactory().value(engine).value("sqlite://", key=dsn_type)

    async with factory, factory.scope() as scope:
        assert await scope.get(Engine) is engine
        assert await scope.get(dsn_type) == "sqlite://"


async def test_functions_coroutines_and_generators_make_objects() -> None:
    class A: ...

    class B: ...

    class C: ...

    class D: ...

    class E: ...

    class F: ...

    def make_a() -> A:
        return A()

    async def make_b(_: A) -> B:
        return B()

    def make_c(_: B) -> Iterator[C]:
        yield C()

    async def make_d(_: C) -> AsyncIterator[D]:
        yield D()

    @asynccontextmanager
    async def make_e(_: D) -> AsyncIterator[E]:
        yield E()

    @contextmanager
    def make_f() -> Iterator[F]:
        yield F()

    factory = ServiceFactory()
    for make in (make_a, make_b, make_c, make_d, make_e, make_f):
        factory.scoped(make)

    async with factory, factory.scope() as scope:
        for key in (F, E, D, C, B, A):
            assert type(await scope.get(key)) is key


async def test_a_partial_a_method_and_a_callable_object_make_objects() -> None:
    class Maker:
        def repository(self, engine: Engine) -> Repository:
            return Repository(engine)

        def __call__(self, repository: Repository) -> Service:
            return Service(repository, repository.engine)

    def make_engine(engine: Engine | None, _: int) -> Engine:
        return engine or Engine()

    maker = Maker()
    factory = ServiceFactory().singleton(functools.partial(make_engine, None, 3))
    factory.scoped(maker.repository).scoped(maker)

    async with factory, factory.scope() as scope:
        assert (await scope.get(Service)).repository is await scope.get(Repository)


async def test_arguments_go_by_name_where_places_are_left_out() -> None:
    class Keen:
        def __init__(
            self, times: int = 2, engine: Engine | None = None, *, clock: Clock
        ) -> None:
            self.found = (times, engine, clock)

    factory = ServiceFactory().singleton(Engine).singleton(Clock).scoped(Keen)

    async with factory, factory.scope() as scope:
        keen = await scope.get(Keen)

        assert keen.found == (2, await scope.get(Engine), await scope.get(Clock))


@pytest.mark.defect("F2")
async def test_what_is_needed_is_closed_after_what_needs_it() -> None:
    log: list[str] = []

    async def open_engine() -> AsyncIterator[Engine]:
        yield Engine()
        log.append("engine")

    async def open_repository(engine: Engine) -> AsyncIterator[Repository]:
        yield Repository(engine)
        log.append("repository")

    def open_service(repository: Repository, engine: Engine) -> Iterator[Service]:
        yield Service(repository, engine)
        log.append("service")

    factory = ServiceFactory().singleton(open_engine)
    factory.scoped(open_repository).scoped(open_service)

    async with factory:
        async with factory.scope() as scope:
            await scope.get(Repository)
            await scope.get(Service)
        log.append("scope closed")

    assert log == ["service", "repository", "scope closed", "engine"]


async def test_singletons_are_made_when_the_factory_opens() -> None:
    made: list[str] = []

    async def make_engine() -> Engine:
        made.append("engine")
        return Engine()

    def make_clock() -> Clock:
        made.append("clock")
        return Clock()

    factory = ServiceFactory().singleton(make_engine).singleton(make_clock)

    async with factory:
        assert made == ["engine", "clock"]


async def test_a_failing_start_closes_what_was_opened_and_shows_the_error() -> None:
    closed: list[str] = []

    async def open_engine() -> AsyncIterator[Engine]:
        try:
            yield Engine()
        finally:
            closed.append("engine")

    def make_clock(_: Engine) -> Clock:
        raise ConnectionError("no clock")

    factory = ServiceFactory().singleton(open_engine).singleton(make_clock)

    with pytest.raises(ConnectionError) as caught:
        await factory.__aenter__()

    assert closed == ["engine"]
    assert caught.value.__notes__ == ["while Clock was made by make_clock"]
    assert not factory.is_open


async def test_a_start_that_is_cancelled_closes_what_was_opened() -> None:
    closed: list[str] = []
    hanging = asyncio.Event()

    async def open_engine() -> AsyncIterator[Engine]:
        try:
            yield Engine()
        finally:
            closed.append("engine")

    async def make_clock(_: Engine) -> Clock:
        hanging.set()
        await asyncio.Event().wait()
        return Clock()

    factory = ServiceFactory().singleton(open_engine).singleton(make_clock)
    start = asyncio.create_task(factory.__aenter__())
    await hanging.wait()

    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start

    assert closed == ["engine"]
    assert not factory.is_open


async def test_a_start_that_is_cancelled_names_what_was_being_made() -> None:
    hanging = asyncio.Event()

    async def make_clock() -> Clock:
        hanging.set()
        await asyncio.Event().wait()
        return Clock()

    start = asyncio.create_task(ServiceFactory().singleton(make_clock).__aenter__())
    await hanging.wait()

    start.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await start

    assert caught.value.__notes__ == ["while Clock was made by make_clock"]


async def test_a_start_that_hangs_ends_in_time_and_names_what_was_being_made() -> None:
    closed: list[str] = []

    async def open_engine() -> AsyncIterator[Engine]:
        try:
            yield Engine()
        finally:
            closed.append("engine")

    async def make_clock(_: Engine) -> Clock:
        await asyncio.Event().wait()
        return Clock()

    factory = ServiceFactory(start_timeout_seconds=0.01)
    factory.singleton(open_engine).singleton(make_clock)

    with pytest.raises(TimeoutExceededError) as caught:
        await factory.__aenter__()

    assert caught.value.message == (
        "the factory was to open in 0.01 s, and Clock was still being made: see why "
        "it hangs, or allow more by start_timeout_seconds="
    )
    assert closed == ["engine"]
    assert not factory.is_open


async def test_a_timeout_of_a_provider_is_its_own() -> None:
    async def make_clock() -> Clock:
        raise TimeoutError("no clock")

    factory = ServiceFactory(start_timeout_seconds=10).singleton(make_clock)

    with pytest.raises(TimeoutError, match="no clock"):
        await factory.__aenter__()


async def test_a_closed_factory_can_be_opened_again_with_new_singletons() -> None:
    factory = chain()
    async with factory:
        first = await factory.get(Engine)

    async with factory:
        assert await factory.get(Engine) is not first


async def test_an_open_factory_refuses_to_be_opened_or_registered_with() -> None:
    async with chain() as factory:
        with pytest.raises(UsageError, match="open already"):
            await factory.__aenter__()
        with pytest.raises(UsageError, match="register everything before"):
            factory.singleton(Clock)


async def test_a_factory_that_is_opening_refuses_to_be_opened() -> None:
    factory = ServiceFactory()
    refused: list[str] = []

    async def make_engine() -> Engine:
        with contextlib.suppress(UsageError):
            await factory.__aenter__()
            refused.append("not")
        refused.append("yes")
        return Engine()

    async with factory.singleton(make_engine):
        assert refused == ["yes"]


@pytest.mark.defect("F11")
async def test_a_factory_that_is_not_open_refuses() -> None:
    factory = chain()

    with pytest.raises(UsageError, match="not open"):
        await factory.get(Engine)
    async with factory:
        assert factory.is_open
    with pytest.raises(UsageError, match="not open"):
        await factory.scope().__aenter__()
    assert not factory.is_open


async def test_get_of_the_factory_refuses_what_needs_a_scope() -> None:
    async with chain() as factory:
        with pytest.raises(UsageError, match="Service is scoped"):
            await factory.get(Service)
        with pytest.raises(WiringError, match="Clock was asked for: nothing provides"):
            await factory.get(Clock)


async def test_the_factory_can_be_asked_for_itself() -> None:
    class Worker:
        def __init__(self, factory: ServiceFactory) -> None:
            self.factory = factory

    factory = chain().singleton(Worker)

    async with factory:
        assert (await factory.get(Worker)).factory is factory


def test_what_cannot_be_called_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="can't be called"):
        ServiceFactory().singleton("engine")  # type: ignore[arg-type] # that is the point


@pytest.mark.defect("F14")
async def test_a_coroutine_function_is_awaited_once_and_its_object_kept() -> None:
    async def make_engine() -> Engine:
        await asyncio.sleep(0)
        return Engine()

    factory = ServiceFactory().scoped(make_engine)

    async with factory, factory.scope() as scope:
        assert await scope.get(Engine) is await scope.get(Engine)
