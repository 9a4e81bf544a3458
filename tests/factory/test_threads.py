"""Plain generators in threads: nothing that they wait for holds up the event loop."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from layerkit import ConflictError, ServiceFactory
from layerkit.factory import Scope

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Session:
    pass


class Service:
    def __init__(self, session: Session) -> None:
        self.session = session


class Recorder:
    """Open sessions, and note in which threads that was done, and what was raised."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.raised: list[str] = []
        self.may_enter = threading.Event()
        self.may_leave = threading.Event()
        self.may_enter.set()
        self.may_leave.set()
        self.is_entering = threading.Event()
        self.is_leaving = threading.Event()

    def session(self) -> Iterator[Session]:
        self.threads.append(threading.current_thread())
        self.is_entering.set()
        self.may_enter.wait()
        token = variable.set("open")
        try:
            yield Session()
        except BaseException as error:
            self.raised.append(type(error).__name__)
            raise
        finally:
            self.threads.append(threading.current_thread())
            self.is_leaving.set()
            self.may_leave.wait()
            variable.reset(token)

    @property
    def is_on_the_loop(self) -> set[bool]:
        return {thread is threading.current_thread() for thread in self.threads}

    def factory(self) -> ServiceFactory:
        return ServiceFactory().scoped(self.session).scoped(Service)


def threaded(factory: ServiceFactory) -> Scope:
    return factory.scope(in_threads=True)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_both_ends_run_in_threads_where_that_is_asked_for(
    recorder: Recorder,
) -> None:
    async with recorder.factory() as factory, threaded(factory) as scope:
        service = await scope.get(Service)
        assert await scope.get(Session) is service.session

    assert len(recorder.threads) == 2
    assert recorder.is_on_the_loop == {False}


async def test_they_run_on_the_loop_where_it_is_not(recorder: Recorder) -> None:
    async with recorder.factory() as factory, factory.scope() as scope:
        await scope.get(Service)

    assert recorder.is_on_the_loop == {True}


async def test_one_that_needs_what_is_awaited_runs_on_the_loop_too() -> None:
    threads: list[threading.Thread] = []

    async def make_service() -> Service:
        return Service(Session())

    def open_session(service: Service) -> Iterator[Session]:
        threads.append(threading.current_thread())
        yield service.session

    factory = ServiceFactory().scoped(make_service).scoped(open_session)
    async with factory, factory.scope() as scope:
        await scope.get(Session)

    assert threads == [threading.current_thread()]


async def test_a_transient_generator_runs_in_a_thread_too(recorder: Recorder) -> None:
    factory = ServiceFactory().transient(recorder.session)

    async with factory, threaded(factory) as scope:
        await scope.get(Session)
        await scope.get(Session)

    assert len(recorder.threads) == 4
    assert recorder.is_on_the_loop == {False}


async def test_a_singleton_is_opened_and_closed_on_the_loop(recorder: Recorder) -> None:
    factory = ServiceFactory().singleton(recorder.session).scoped(Service)

    async with factory, threaded(factory) as scope:
        await scope.get(Service)

    assert recorder.is_on_the_loop == {True}


async def test_what_opens_nothing_is_made_without_a_thread(recorder: Recorder) -> None:
    made: list[threading.Thread] = []

    class Plain:
        def __init__(self) -> None:
            made.append(threading.current_thread())

    factory = recorder.factory().scoped(Plain)

    async with factory, threaded(factory) as scope:
        await scope.get(Plain)

    assert made == [threading.current_thread()]


async def test_context_variables_are_as_if_there_were_no_threads(
    recorder: Recorder,
) -> None:
    async with recorder.factory() as factory, threaded(factory) as scope:
        await scope.get(Session)
        assert variable.get() == "open"

    assert variable.get() == "unset"


async def test_variables_are_left_alone_where_another_task_closes_the_scope(
    recorder: Recorder,
) -> None:
    async with recorder.factory() as factory:
        scope = await threaded(factory).__aenter__()
        await scope.get(Session)
        await asyncio.create_task(scope.__aexit__(None, None, None))

    assert variable.get() == "open"
    assert recorder.raised == []


async def test_a_variable_that_had_a_value_has_it_again() -> None:
    def open_session() -> Iterator[Session]:
        token = variable.set("open")
        yield Session()
        variable.reset(token)

    variable.set("mine")
    factory = ServiceFactory().scoped(open_session)
    async with factory, threaded(factory) as scope:
        await scope.get(Session)
        inside = variable.get()

    assert (inside, variable.get()) == ("open", "mine")


async def test_a_variable_that_the_block_changes_stays_changed(
    recorder: Recorder,
) -> None:
    other: ContextVar[str] = ContextVar("other", default="before")

    other.set("while it is opened")

    async with recorder.factory() as factory, threaded(factory) as scope:
        await scope.get(Session)
        other.set("after")

    assert other.get() == "after"


async def test_the_error_of_the_block_is_raised_in_the_generator(
    recorder: Recorder,
) -> None:
    with pytest.raises(ConflictError):
        async with recorder.factory() as factory, threaded(factory) as scope:
            await scope.get(Session)
            raise ConflictError("taken")

    assert recorder.raised == ["ConflictError"]


async def test_an_error_at_either_end_reaches_the_caller() -> None:
    def refuse() -> Iterator[Session]:
        raise ConflictError("entering")
        yield

    def fail() -> Iterator[Service]:
        yield Service(Session())
        raise ConflictError("leaving")

    async with ServiceFactory().scoped(refuse).scoped(fail) as factory:
        scope = threaded(factory)
        await scope.__aenter__()
        with pytest.raises(ConflictError, match="entering") as caught:
            await scope.get(Session)
        await scope.get(Service)
        with pytest.raises(ConflictError, match="leaving"):
            await scope.__aexit__(None, None, None)

    assert caught.value.__notes__ == ["while Session was made by refuse"]


async def use(factory: ServiceFactory) -> None:
    async with threaded(factory) as scope:
        await scope.get(Session)


async def test_what_is_entered_while_its_caller_is_cancelled_is_left_again(
    recorder: Recorder,
) -> None:
    recorder.may_enter.clear()

    async with recorder.factory() as factory:
        using = asyncio.create_task(use(factory))
        await asyncio.to_thread(recorder.is_entering.wait)
        using.cancel()
        await asyncio.sleep(0)
        recorder.may_enter.set()
        with pytest.raises(asyncio.CancelledError):
            await using

    assert recorder.raised == ["CancelledError"]
    assert len(recorder.threads) == 2


async def test_a_cancellation_waits_for_the_end_of_a_clean_up(
    recorder: Recorder,
) -> None:
    recorder.may_leave.clear()

    async with recorder.factory() as factory:
        using = asyncio.create_task(use(factory))
        await asyncio.to_thread(recorder.is_leaving.wait)
        using.cancel()
        await asyncio.sleep(0)
        assert not using.done()
        recorder.may_leave.set()
        with pytest.raises(asyncio.CancelledError):
            await using

    assert variable.get() == "unset"


async def test_a_clean_up_runs_while_all_threads_of_the_pool_wait(
    recorder: Recorder,
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    async with recorder.factory() as factory, threaded(factory) as scope:
        await scope.get(Session)
        waiting = asyncio.create_task(asyncio.to_thread(recorder.is_leaving.wait))
        await asyncio.sleep(0)
    await waiting

    assert len(recorder.threads) == 2


async def test_a_plain_handler_has_its_generators_in_threads(
    recorder: Recorder,
) -> None:
    factory = recorder.factory()

    def plain(service: Service) -> str:
        assert isinstance(service, Service)
        return variable.get()

    async def awaiting(service: Service) -> None:
        assert isinstance(service, Service)

    in_thread, on_loop = factory.handler(plain), factory.handler(awaiting)

    async with factory:
        assert await in_thread() == "open"
        assert recorder.is_on_the_loop == {False}
        recorder.threads.clear()
        await on_loop()
        assert recorder.is_on_the_loop == {True}
