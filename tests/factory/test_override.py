"""Other objects in the place of registered ones."""

from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI

from layerkit.core import UsageError, WiringError
from layerkit.factory import ServiceFactory
from layerkit.fastapi import Inject, install


class Mail:
    name = "real"


class FakeMail(Mail):
    def __init__(self, name: str = "fake") -> None:
        self.name = name


class Sender:
    def __init__(self, mail: Mail) -> None:
        self.mail = mail


class Queue:
    def __init__(self, sender: Sender) -> None:
        self.sender = sender


class Service:
    def __init__(self, queue: Queue) -> None:
        self.queue = queue


class Clock:
    pass


def plain() -> ServiceFactory:
    factory = ServiceFactory().singleton(Mail).singleton(Sender).singleton(Queue)
    return factory.scoped(Service).singleton(Clock)


async def name_in(factory: ServiceFactory) -> str:
    async with factory.scope() as scope:
        return (await scope.get(Service)).queue.sender.mail.name


@pytest.mark.defect("F12")
async def test_an_override_reaches_singletons_that_were_made_and_restores_them() -> (
    None
):
    async with plain() as factory:
        queue, clock = await factory.get(Queue), await factory.get(Clock)

        with factory.override({Mail: FakeMail()}):
            assert await name_in(factory) == "fake"
            assert await factory.get(Clock) is clock

        assert await name_in(factory) == "real"
        assert await factory.get(Queue) is queue


@pytest.mark.defect("F12")
async def test_overrides_nest() -> None:
    async with plain() as factory:
        with factory.override({Mail: FakeMail("outer")}):
            with factory.override({Mail: FakeMail("inner")}):
                assert await name_in(factory) == "inner"
            assert await name_in(factory) == "outer"
        assert await name_in(factory) == "real"


async def test_an_override_around_the_opening_holds_for_it() -> None:
    factory = plain()

    with factory.override({Mail: FakeMail()}):
        async with factory:
            assert await name_in(factory) == "fake"

    async with factory:
        assert await name_in(factory) == "real"


async def test_requests_of_an_application_that_runs_see_an_override() -> None:
    app, factory = FastAPI(), plain()
    install(app, factory)

    @app.get("/")
    async def name(service: Inject[Service], sender: Inject[Sender]) -> list[str]:
        return [service.queue.sender.mail.name, sender.mail.name]

    answers = []
    transport = httpx.ASGITransport(app)
    async with factory, httpx.AsyncClient(transport=transport) as client:
        with factory.override({Mail: FakeMail()}):
            answers.append((await client.get("http://test/")).json())
        answers.append((await client.get("http://test/")).json())

    assert answers == [["fake", "fake"], ["real", "real"]]


async def test_a_scope_that_was_open_before_keeps_what_it_has() -> None:
    async with plain() as factory, factory.scope() as scope:
        with factory.override({Mail: FakeMail()}):
            assert (await scope.get(Service)).queue.sender.mail.name == "real"


async def test_an_override_makes_what_awaits_and_closes_it() -> None:
    log: list[str] = []

    async def open_sender(mail: Mail) -> AsyncIterator[Sender]:
        log.append(f"open {mail.name}")
        yield Sender(mail)
        log.append(f"close {mail.name}")

    factory = ServiceFactory().singleton(Mail).singleton(open_sender).singleton(Queue)

    async with factory.scoped(Service):
        async with factory.override({Mail: FakeMail()}):
            assert await name_in(factory) == "fake"

        assert log == ["open real", "open fake", "close fake"]
        assert await name_in(factory) == "real"


async def _make(mail: Mail) -> Sender:
    return Sender(mail)


def _open(mail: Mail) -> Iterator[Sender]:
    yield Sender(mail)


@pytest.mark.parametrize("make_sender", [_make, _open])
async def test_a_plain_with_refuses_what_awaits_or_is_closed_and_restores(
    make_sender: Callable[..., object],
) -> None:
    factory = ServiceFactory().singleton(Mail).singleton(make_sender).singleton(Queue)

    async with factory.scoped(Service):
        with (
            pytest.raises(UsageError, match="Sender must be made again"),
            factory.override({Mail: FakeMail()}),
        ):
            pass
        assert await name_in(factory) == "real"


async def test_an_async_override_around_the_opening_holds_for_it() -> None:
    factory = plain()

    async with factory.override({Mail: FakeMail()}), factory:
        assert await name_in(factory) == "fake"


async def test_an_override_that_can_not_be_made_leaves_nothing_behind() -> None:
    closed: list[str] = []

    async def open_sender(mail: Mail) -> AsyncIterator[Sender]:
        yield Sender(mail)
        closed.append(mail.name)

    def make_queue(sender: Sender) -> Queue:
        if sender.mail.name == "fake":
            raise ConnectionError("no queue")
        return Queue(sender)

    factory = ServiceFactory().singleton(Mail).singleton(open_sender)

    async with factory.singleton(make_queue).scoped(Service):
        with pytest.raises(ConnectionError):
            await factory.override({Mail: FakeMail()}).__aenter__()
        assert closed == []
        assert await name_in(factory) == "real"


async def test_overriding_what_is_not_registered_is_refused() -> None:
    class Unknown: ...

    async with plain() as factory:
        with (
            pytest.raises(WiringError, match="Unknown is overridden, and nothing"),
            factory.override({Unknown: Unknown()}),
        ):
            pass
        assert await name_in(factory) == "real"


@pytest.mark.defect("F12")
async def test_a_factory_must_be_closed_inside_the_override_it_was_opened_in() -> None:
    factory = plain()
    override = factory.override({Mail: FakeMail()})
    override.__enter__()
    await factory.__aenter__()

    with pytest.raises(UsageError, match="opened inside the override"):
        override.__exit__(None, None, None)

    await factory.__aexit__(None, None, None)


async def test_closing_the_factory_inside_an_override_ends_it_too() -> None:
    factory = plain()
    await factory.__aenter__()

    with factory.override({Mail: FakeMail()}):
        await factory.__aexit__(None, None, None)
        assert not factory.is_open

    async with factory:
        assert await name_in(factory) == "real"


async def test_an_override_of_a_scoped_key_gives_the_object_to_every_scope() -> None:
    service = Service(Queue(Sender(FakeMail("stub"))))

    async with plain() as factory:
        with factory.override({Service: service}):
            assert await name_in(factory) == "stub"


async def test_the_error_of_a_block_is_raised_into_what_was_made_for_it() -> None:
    seen: list[str] = []

    async def make_sender(mail: Mail) -> AsyncIterator[Sender]:
        try:
            yield Sender(mail)
        except ValueError:
            seen.append(mail.name)
            raise

    factory = ServiceFactory().singleton(Mail).singleton(make_sender)

    with pytest.raises(ValueError, match="lost"):
        async with factory, factory.override({Mail: FakeMail()}):
            raise ValueError("lost")

    assert seen == ["fake", "real"]
