"""Scopes: clean-up, errors, cancellation, concurrency."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from layerkit.core import ConflictError, UsageError, WiringError
from layerkit.factory import ServiceFactory


class Session:
    pass


class Cache:
    pass


class Service:
    def __init__(self, session: Session, cache: Cache) -> None:
        self.session = session
        self.cache = cache


@dataclass
class Principal:
    name: str


class Recorder:
    """Open and close a few objects, and write down what their generators see."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failing: set[str] = set()
        self.swallowing: set[str] = set()
        self.waiting: asyncio.Event | None = None

    async def session(self) -> AsyncIterator[Session]:
        try:
            yield Session()
        except BaseException as error:
            self.log.append(f"session: {type(error).__name__}")
            raise
        else:
            self.log.append("session: ended")

    async def cache(self, _: Session) -> AsyncIterator[Cache]:
        try:
            yield Cache()
        except BaseException as error:
            self.log.append(f"cache: {type(error).__name__}")
            if "cache" not in self.swallowing:
                raise
        else:
            self.log.append("cache: ended")
        finally:
            if self.waiting is not None:
                self.waiting.set()
                await asyncio.Event().wait()
            if "cache" in self.failing:
                raise LookupError("cache can't close")

    def service(self, session: Session, cache: Cache) -> Iterator[Service]:
        try:
            yield Service(session, cache)
        except BaseException as error:
            self.log.append(f"service: {type(error).__name__}")
            raise
        else:
            self.log.append("service: ended")
            if "service" in self.failing:
                raise RuntimeError("service can't close")

    def factory(self) -> ServiceFactory:
        factory = ServiceFactory().scoped(self.session)
        return factory.scoped(self.cache).scoped(self.service)


async def use(factory: ServiceFactory, error: Exception | None = None) -> None:
    async with factory, factory.scope() as scope:
        await scope.get(Service)
        if error is not None:
            raise error


@pytest.mark.defect("F5")
async def test_the_error_of_the_body_is_raised_into_every_generator() -> None:
    recorder = Recorder()

    with pytest.raises(ConflictError):
        await use(recorder.factory(), ConflictError("taken"))

    assert recorder.log == [
        "service: ConflictError",
        "cache: ConflictError",
        "session: ConflictError",
    ]


async def test_a_generator_that_swallows_the_error_hides_it_from_nobody() -> None:
    recorder = Recorder()
    recorder.swallowing.add("cache")

    with pytest.raises(ConflictError):
        await use(recorder.factory(), ConflictError("taken"))

    assert recorder.log[-1] == "session: ConflictError"


@pytest.mark.defect("F3")
async def test_failing_clean_ups_neither_skip_nor_hide_others() -> None:
    recorder = Recorder()
    recorder.failing |= {"service", "cache"}

    with pytest.raises(LookupError) as caught:
        await use(recorder.factory())

    assert recorder.log == [
        "service: ended",
        "cache: RuntimeError",
        "session: LookupError",
    ]
    assert isinstance(caught.value.__context__, RuntimeError)


async def test_a_failing_clean_up_is_chained_to_the_error_of_the_body() -> None:
    recorder = Recorder()
    recorder.failing.add("cache")
    recorder.swallowing.add("cache")

    with pytest.raises(LookupError) as caught:
        await use(recorder.factory(), ConflictError("taken"))

    assert isinstance(caught.value.__context__, ConflictError)


@pytest.mark.defect("F4")
async def test_a_cancellation_during_a_clean_up_runs_the_others() -> None:
    recorder = Recorder()
    recorder.waiting = asyncio.Event()

    task = asyncio.create_task(use(recorder.factory()))
    await recorder.waiting.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert recorder.log == ["service: ended", "cache: ended", "session: CancelledError"]


@pytest.mark.defect("F6")
async def test_tasks_that_ask_at_once_get_one_object() -> None:
    made: list[Session] = []

    async def make_session() -> Session:
        await asyncio.sleep(0)
        made.append(Session())
        return made[-1]

    factory = ServiceFactory().scoped(make_session).scoped(Cache).scoped(Service)

    async with factory, factory.scope() as scope:
        services = await asyncio.gather(*(scope.get(Service) for _ in range(5)))

    assert len({id(service) for service in services}) == 1
    assert len(made) == 1


@pytest.mark.defect("F7")
async def test_a_slow_object_blocks_no_unrelated_one() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def make_session() -> Session:
        started.set()
        await release.wait()
        return Session()

    async def make_cache() -> Cache:
        return Cache()

    factory = ServiceFactory().scoped(make_session).scoped(make_cache)

    async with factory, factory.scope() as scope:
        slow = asyncio.create_task(scope.get(Session))
        await started.wait()

        assert isinstance(await scope.get(Cache), Cache)

        release.set()
        await slow


@pytest.mark.defect("F8")
async def test_the_first_waiters_cancellation_does_not_cancel_the_second() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def make_session() -> Session:
        started.set()
        await release.wait()
        return Session()

    factory = ServiceFactory().scoped(make_session)

    async with factory, factory.scope() as scope:
        first = asyncio.create_task(scope.get(Session))
        await started.wait()
        others = [asyncio.create_task(scope.get(Session)) for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        release.set()

        second, third = await asyncio.gather(*others)

        assert second is third
        assert first.cancelled()


async def test_a_failed_making_is_tried_again_by_who_asks_next() -> None:
    outcomes: list[Exception | Session] = [ConnectionError("down"), Session()]

    async def make_session() -> Session:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    factory = ServiceFactory().scoped(make_session)

    async with factory, factory.scope() as scope:
        with pytest.raises(ConnectionError):
            await scope.get(Session)
        assert isinstance(await scope.get(Session), Session)


async def test_an_error_in_a_plain_provider_says_what_was_made() -> None:
    class Broken:
        def __init__(self) -> None:
            raise ConnectionError("down")

    factory = ServiceFactory().scoped(Broken)

    async with factory, factory.scope() as scope:
        with pytest.raises(ConnectionError) as caught:
            await scope.get(Broken)

    assert caught.value.__notes__ == ["while Broken was made by Broken"]


async def make_broken_session() -> Session:
    raise ConnectionError("down")


def open_broken_session() -> Iterator[Session]:
    raise ConnectionError("down")
    yield


@pytest.mark.parametrize("make", [make_broken_session, open_broken_session])
async def test_an_error_in_a_provider_says_for_whom_it_was_made(
    make: Callable[..., object],
) -> None:
    factory = ServiceFactory().scoped(make).scoped(Cache).scoped(Service)

    async with factory, factory.scope() as scope:
        with pytest.raises(ConnectionError) as caught:
            await scope.get(Service)

    assert caught.value.__notes__ == [
        f"while Session was made by {make.__name__}",
        "while Service was made by Service",
    ]


@pytest.mark.defect("F11")
async def test_a_scope_refuses_outside_its_block() -> None:
    factory = ServiceFactory().scoped(Session)
    async with factory:
        scope = factory.scope()
        with pytest.raises(UsageError, match="outside an open scope"):
            await scope.get(Session)
        async with scope:
            await scope.get(Session)
        with pytest.raises(UsageError, match="Session was asked for outside"):
            await scope.get(Session)
        with pytest.raises(UsageError, match="entered once"):
            await scope.__aenter__()


async def test_leaving_a_scope_that_was_never_entered_does_nothing() -> None:
    async with ServiceFactory() as factory:
        await factory.scope().__aexit__(None, None, None)


@pytest.mark.defect("F11")
async def test_a_scope_refuses_once_its_factory_is_closed() -> None:
    factory = ServiceFactory().singleton(Session).scoped(Cache)
    await factory.__aenter__()
    async with factory.scope() as scope:
        await factory.__aexit__(None, None, None)

        with pytest.raises(UsageError, match="while its factory is open"):
            await scope.get(Cache)


async def test_what_is_opened_while_the_scope_closes_is_closed_and_refused() -> None:
    started, release = asyncio.Event(), asyncio.Event()
    log: list[str] = []

    async def open_session() -> AsyncIterator[Session]:
        started.set()
        await release.wait()
        yield Session()
        log.append("closed")

    factory = ServiceFactory().scoped(open_session)
    async with factory:
        async with factory.scope() as scope:
            late = asyncio.create_task(scope.get(Session))
            await started.wait()
        release.set()

        with pytest.raises(UsageError, match="Session was asked for outside"):
            await late

    assert log == ["closed"]


async def test_values_belong_to_one_scope() -> None:
    class Greeter:
        def __init__(self, principal: Principal) -> None:
            self.name = principal.name

    factory = ServiceFactory().given(Principal).scoped(Greeter)

    async with factory:
        async with factory.scope(values={Principal: Principal("ada")}) as scope:
            assert (await scope.get(Greeter)).name == "ada"
        async with factory.scope() as scope:
            with pytest.raises(UsageError, match="opened without") as caught:
                await scope.get(Greeter)

    assert "factory.scope({Principal: ...})" in caught.value.message


async def test_a_value_of_a_scope_comes_before_what_is_registered() -> None:
    factory = ServiceFactory().scoped(lambda: Principal("nobody"), key=Principal)

    async with factory, factory.scope({Principal: Principal("ada")}) as scope:
        assert (await scope.get(Principal)).name == "ada"


async def test_get_of_what_nobody_provides_says_so() -> None:
    async with ServiceFactory() as factory, factory.scope() as scope:
        with pytest.raises(WiringError) as caught:
            await scope.get(Session)

    assert caught.value.message == (
        "Session was asked for: nothing provides it; add factory.singleton(...)"
    )
    assert caught.value.problems == (caught.value.message,)


@pytest.mark.defect("F13")
async def test_nothing_of_a_closed_scope_is_kept() -> None:
    factory = ServiceFactory().scoped(Session).scoped(Cache).scoped(Service)
    async with factory:
        async with factory.scope() as scope:
            service = weakref.ref(await scope.get(Service))
        del scope
        gc.collect()

        assert service() is None


async def test_a_wiring_without_awaits_is_made_without_yielding_to_the_loop() -> None:
    factory = ServiceFactory().scoped(Session).scoped(Cache).scoped(Service)
    async with factory, factory.scope() as scope:
        making = scope.get(Service)

        with pytest.raises(StopIteration) as made:
            making.send(None)

        assert isinstance(made.value.value, Service)


async def test_a_generator_without_awaits_is_closed_with_its_scope() -> None:
    log: list[str] = []

    def open_session() -> Iterator[Session]:
        yield Session()
        log.append("closed")

    factory = ServiceFactory().scoped(open_session).scoped(Cache).scoped(Service)
    async with factory, factory.scope() as scope:
        await scope.get(Service)
        assert log == []

    assert log == ["closed"]


async def test_scopes_of_many_tasks_share_nothing_scoped() -> None:
    factory = ServiceFactory().scoped(Session)

    async def take() -> Session:
        async with factory.scope() as scope:
            await asyncio.sleep(0)
            return await scope.get(Session)

    async with factory:
        sessions = await asyncio.gather(*(take() for _ in range(10)))

    assert len({id(session) for session in sessions}) == 10
