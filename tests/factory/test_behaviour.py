"""What a factory is compared by with others of its kind, one test for each question."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Protocol, assert_type

import httpx
import pytest
from fastapi import FastAPI

from layerkit.core import ConflictError, UsageError, WiringError
from layerkit.factory import ServiceFactory
from layerkit.fastapi import Inject, install


class Engine: ...


class Session:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Repository:
    def __init__(self, session: Session) -> None:
        self.session = session


class Mail:
    name = "real"


class Sender:
    def __init__(self, mail: Mail) -> None:
        self.mail = mail


class Hen:
    def __init__(self, egg: "Egg") -> None:
        self.egg = egg


class Egg:
    def __init__(self, hen: Hen) -> None:
        self.hen = hen


class Log:
    """Open things, and write down what becomes of them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def open_engine(self) -> AsyncIterator[Engine]:
        yield Engine()
        self.lines.append("engine closed")

    async def open_session(self, engine: Engine) -> AsyncIterator[Session]:
        try:
            yield Session(engine)
        except ConflictError:
            self.lines.append("session rolled back")
            raise
        else:
            self.lines.append("session committed")

    def open_repository(self, session: Session) -> Iterator[Repository]:
        try:
            yield Repository(session)
        finally:
            self.lines.append("repository closed")

    def factory(self) -> ServiceFactory:
        factory = ServiceFactory().singleton(self.open_engine)
        return factory.scoped(self.open_session).scoped(self.open_repository)


@pytest.fixture
def log() -> Log:
    return Log()


async def test_lifetimes_are_singleton_scoped_and_transient() -> None:
    factory = ServiceFactory().singleton(Engine).scoped(Session).transient(Mail)

    async with factory, factory.scope() as first, factory.scope() as second:
        assert await first.get(Engine) is await second.get(Engine)
        assert await first.get(Session) is await first.get(Session)
        assert await first.get(Session) is not await second.get(Session)
        assert await first.get(Mail) is not await first.get(Mail)


async def test_classes_functions_coroutines_and_generators_stand_side_by_side(
    log: Log,
) -> None:
    async def make_mail() -> Mail:
        return Mail()

    factory = log.factory().scoped(make_mail).scoped(Sender)

    async with factory, factory.scope() as scope:
        assert isinstance(await scope.get(Sender), Sender)
        assert isinstance(await scope.get(Repository), Repository)


async def test_clean_up_goes_from_the_last_to_the_first(log: Log) -> None:
    async with log.factory() as factory, factory.scope() as scope:
        await scope.get(Session)
        await scope.get(Repository)

    assert log.lines == ["repository closed", "session committed", "engine closed"]


async def test_clean_up_is_in_order_where_a_generator_is_asked_for_alone(
    log: Log,
) -> None:
    async with log.factory() as factory, factory.scope() as scope:
        await scope.get(Repository)

    assert log.lines == ["repository closed", "session committed", "engine closed"]


async def test_an_error_of_the_body_is_raised_in_generators(log: Log) -> None:
    async with log.factory() as factory:
        with pytest.raises(ConflictError):
            async with factory.scope() as scope:
                await scope.get(Repository)
                raise ConflictError("taken")

    assert "session rolled back" in log.lines


async def test_a_clean_up_that_fails_skips_no_other_and_is_seen(log: Log) -> None:
    def open_mail(_: Repository) -> Iterator[Mail]:
        yield Mail()
        raise LookupError("mail can't close")

    async with log.factory().scoped(open_mail) as factory:
        with pytest.raises(LookupError, match="mail can't close"):
            async with factory.scope() as scope:
                await scope.get(Mail)

    assert log.lines[0] == "repository closed"


async def test_a_cancellation_during_a_clean_up_skips_no_other(log: Log) -> None:
    closing = asyncio.Event()

    async def open_mail(_: Repository) -> AsyncIterator[Mail]:
        yield Mail()
        closing.set()
        await asyncio.Event().wait()

    async def use(factory: ServiceFactory) -> None:
        async with factory.scope() as scope:
            await scope.get(Mail)

    async with log.factory().scoped(open_mail) as factory:
        task = asyncio.create_task(use(factory))
        await closing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert log.lines == ["repository closed"]


async def test_a_commit_that_fails_is_answered_as_a_failure() -> None:
    async def open_session() -> AsyncIterator[Session]:
        yield Session(Engine())
        raise ConflictError("the commit failed")

    app = FastAPI()

    @app.post("/", status_code=201)
    async def create(_: Inject[Session]) -> None: ...

    factory = ServiceFactory().scoped(open_session)
    install(app, factory)
    transport = httpx.ASGITransport(app)

    async with factory, httpx.AsyncClient(transport=transport) as client:
        response = await client.post("http://test/")

    assert response.status_code == 409


async def test_ten_tasks_get_one_singleton_that_awaits() -> None:
    made: list[Engine] = []

    async def make_engine() -> Engine:
        await asyncio.sleep(0)
        made.append(Engine())
        return made[-1]

    async with ServiceFactory().singleton(make_engine) as factory:
        found = await asyncio.gather(*(factory.get(Engine) for _ in range(10)))

    assert found == made * 10


async def test_ten_tasks_of_one_scope_get_one_object(log: Log) -> None:
    async with log.factory() as factory, factory.scope() as scope:
        found = await asyncio.gather(*(scope.get(Repository) for _ in range(10)))

    assert len(set(map(id, found))) == 1


async def test_a_slow_object_keeps_nobody_from_another(log: Log) -> None:
    release = asyncio.Event()

    async def make_mail() -> Mail:
        await release.wait()
        return Mail()

    async with log.factory().scoped(make_mail) as factory, factory.scope() as scope:
        slow = asyncio.create_task(scope.get(Mail))
        await asyncio.sleep(0)

        assert isinstance(await scope.get(Session), Session)

        release.set()
        await slow


async def test_a_cancelled_waiter_takes_no_other_along() -> None:
    release = asyncio.Event()

    async def make_mail() -> Mail:
        await release.wait()
        return Mail()

    factory = ServiceFactory().scoped(make_mail)

    async with factory, factory.scope() as scope:
        first, second = (asyncio.create_task(scope.get(Mail)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        release.set()

        assert isinstance(await second, Mail)


async def test_the_factory_can_be_used_while_an_object_is_made() -> None:
    async def make_mail(factory: ServiceFactory) -> Mail:
        async with factory.scope() as inner:
            await inner.get(Session)
        return Mail()

    factory = ServiceFactory().singleton(Engine).scoped(Session).scoped(make_mail)

    async with factory, factory.scope() as scope:
        assert isinstance(await scope.get(Mail), Mail)


def test_missing_circular_and_captive_needs_are_reported_at_once() -> None:
    class Captive:
        def __init__(self, mail: Mail) -> None:
            self.mail = mail

    factory = ServiceFactory().scoped(Session).scoped(Mail).singleton(Captive)
    factory.scoped(Hen).scoped(Egg)

    with pytest.raises(WiringError) as caught:
        factory.check()

    missing, circular, captive = caught.value.problems
    assert missing.startswith("Session needs Engine (parameter engine): nothing")
    assert circular.startswith("Hen needs Egg needs Hen: a circle")
    assert captive.startswith("Captive (singleton) needs Mail (scoped)")


async def test_a_closed_factory_and_a_closed_scope_refuse(log: Log) -> None:
    async with log.factory() as factory:
        async with factory.scope() as scope:
            await scope.get(Session)
        with pytest.raises(UsageError, match="outside an open scope"):
            await scope.get(Session)

    with pytest.raises(UsageError, match="not open"):
        await factory.get(Engine)


async def test_overrides_nest_reach_what_was_made_and_end_with_their_block() -> None:
    class Fake(Mail):
        def __init__(self, name: str) -> None:
            self.name = name

    names: list[str] = []

    async def note(factory: ServiceFactory) -> None:
        names.append((await factory.get(Sender)).mail.name)

    async with ServiceFactory().singleton(Mail).singleton(Sender) as factory:
        real = await factory.get(Sender)
        with factory.override({Mail: Fake("outer")}):
            with factory.override({Mail: Fake("inner")}):
                await note(factory)
            await note(factory)

        assert names == ["inner", "outer"]
        assert await factory.get(Sender) is real


async def test_singletons_are_made_at_the_start_and_pinged_by_health(log: Log) -> None:
    class Pinged(Engine):
        async def ping(self) -> None:
            log.lines.append("pinged")

    def make_engine() -> Pinged:
        log.lines.append("made")
        return Pinged()

    async with ServiceFactory().singleton(make_engine) as factory:
        assert (await factory.health()).ok

    assert log.lines == ["made", "pinged"]


def test_the_wiring_can_be_drawn(log: Log) -> None:
    assert log.factory().graph().startswith("flowchart TD\n")


async def test_two_factories_share_nothing() -> None:
    async with ServiceFactory().value(Mail()) as one, ServiceFactory() as other:
        await one.get(Mail)
        with pytest.raises(WiringError, match="Mail was asked for: nothing"):
            await other.get(Mail)


class Port(Protocol):
    name: str


async def test_what_get_returns_is_typed_a_protocol_too() -> None:
    async with ServiceFactory().singleton(Mail, key=Port) as factory:
        assert_type(await factory.get(Port), Port)
        assert (await factory.get(Port)).name == "real"


async def test_classes_carry_no_mark_of_the_factory(log: Log) -> None:
    before = dict(vars(Repository))

    async with log.factory() as factory, factory.scope() as scope:
        repository = await scope.get(Repository)

    assert dict(vars(Repository)) == before
    assert vars(repository) == {"session": repository.session}
    assert not any("layerkit" in str(base) for base in Repository.__mro__)
