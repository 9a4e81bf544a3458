"""Functions with a scope of their own per call."""

import functools
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from layerkit.core import ConflictError, UsageError, WiringError
from layerkit.factory import ServiceFactory


class Session:
    pass


class Shipping:
    def __init__(self, session: Session) -> None:
        self.session = session


class Recorder:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def session(self) -> AsyncIterator[Session]:
        self.log.append("begin")
        try:
            yield Session()
        except ConflictError:
            self.log.append("rollback")
            raise
        self.log.append("commit")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def factory(recorder: Recorder) -> ServiceFactory:
    return ServiceFactory().scoped(recorder.session).scoped(Shipping)


async def test_each_call_gets_a_scope_of_its_own(
    factory: ServiceFactory, recorder: Recorder
) -> None:
    seen: list[Shipping] = []

    async def ship(event: str, shipping: Shipping, session: Session) -> str:
        assert shipping.session is session
        seen.append(shipping)
        return event.upper()

    handle = factory.handler(ship)

    async with factory:
        assert [await handle("a"), await handle(event="b")] == ["A", "B"]

    assert seen[0] is not seen[1]
    assert recorder.log == ["begin", "commit", "begin", "commit"]


async def test_an_error_closes_the_scope_and_goes_on(
    factory: ServiceFactory, recorder: Recorder
) -> None:
    async def ship(event: str, _: Shipping) -> None:
        raise ConflictError(event)

    handle = factory.handler(ship)

    async with factory:
        with pytest.raises(ConflictError, match="late"):
            await handle("late")

    assert recorder.log == ["begin", "rollback"]


async def test_a_job_without_arguments_has_everything_injected(
    factory: ServiceFactory,
) -> None:
    async def nightly(shipping: Shipping) -> bool:
        return isinstance(shipping, Shipping)

    job = factory.handler(nightly)

    async with factory:
        assert await job()
        with pytest.raises(WiringError, match="str was asked for"):
            await factory.handler(upper)()


def upper(text: str) -> str:
    return text.upper()


async def test_a_plain_function_runs_in_a_thread(factory: ServiceFactory) -> None:
    def where(_event: str, _session: Session) -> int:
        return threading.get_ident()

    handle = factory.handler(where)

    async with factory:
        assert await handle("x") != threading.get_ident()


class Answer:
    def __call__(self) -> Awaitable[int]:
        async def answer() -> int:
            return 42

        return answer()


async def test_an_awaitable_that_a_plain_function_returns_is_awaited(
    factory: ServiceFactory,
) -> None:
    handle = factory.handler(Answer())

    async with factory:
        assert await handle() == 42


async def test_defaults_are_kept_where_nothing_is_registered(
    factory: ServiceFactory,
) -> None:
    async def ship(
        _event: str, /, session: Session | None = None, times: int = 2
    ) -> int:
        assert session is not None
        return times

    handle = factory.handler(ship)

    async with factory:
        assert await handle("x") == 2
        assert await handle("x", times=3) == 3


async def test_what_is_injected_is_passed_by_position_where_it_must_be(
    factory: ServiceFactory,
) -> None:
    async def ship(
        event: str, shipping: Shipping, session: Session, /, times: int = 2
    ) -> tuple[str, bool, int]:
        return event, shipping.session is session, times

    handle = factory.handler(ship)

    async with factory:
        assert await handle("x") == ("x", True, 2)
        assert await handle("x", times=3) == ("x", True, 3)


async def test_nothing_takes_the_place_of_a_default_that_is_left_out(
    factory: ServiceFactory,
) -> None:
    async def ship(
        _event: str, times: int = 2, session: Session | None = None
    ) -> tuple[int, bool]:
        return times, isinstance(session, Session)

    handle = factory.handler(ship)

    async with factory:
        assert await handle("x") == (2, True)


async def test_what_a_handler_does_not_take_is_a_mistake_of_its_caller(
    factory: ServiceFactory,
) -> None:
    async def ship(_event: str, _session: Session) -> None: ...

    handle = factory.handler(ship)

    async with factory:
        with pytest.raises(TypeError):
            await handle("x", color="red")
        with pytest.raises(TypeError):
            await handle("x", Session(), 3)


def test_what_handlers_need_is_checked_at_start() -> None:
    async def ship(event: str, shipping: Shipping) -> None: ...

    factory = ServiceFactory()
    factory.handler(ship)

    with pytest.raises(WiringError) as caught:
        factory.check()

    assert caught.value.message == (
        "ship needs Shipping (parameter shipping): nothing provides it; "
        "add factory.singleton(...)"
    )


async def test_a_handler_that_is_made_later_is_checked_at_once() -> None:
    async def ship(event: str, shipping: Shipping) -> None: ...

    async with ServiceFactory() as factory:
        with pytest.raises(WiringError, match="ship needs Shipping"):
            factory.handler(ship)


async def test_a_handler_keeps_its_name_and_shows_no_injected_parameter(
    factory: ServiceFactory,
) -> None:
    async def ship(event: str, shipping: Shipping) -> None:
        """Ship it."""

    handle = factory.handler(ship)

    assert (handle.__name__, handle.__doc__) == ("ship", "Ship it.")
    assert list(inspect.signature(handle).parameters) == ["args", "kwargs"]
    assert inspect.iscoroutinefunction(handle)


@pytest.mark.parametrize(
    ("function", "name"), [(functools.partial(upper), "upper"), (Answer(), "Answer")]
)
def test_a_partial_and_an_object_are_named_without_their_address(
    function: Callable[..., object], name: str
) -> None:
    factory = ServiceFactory()
    factory.handler(function)

    assert f'[["{name}"]]' in factory.graph()


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(UsageError, match="can't be inspected"):
        ServiceFactory().handler("upper")  # type: ignore[call-overload] # that is the point
