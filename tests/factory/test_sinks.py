"""Where the events of services go: to the one bus or outbox that is registered."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from typing_extensions import TypeVar

from layerkit.core import WiringError
from layerkit.events import EventBus, InMemoryEventBus
from layerkit.factory import Key, ServiceFactory
from layerkit.repository import MemoryDatabase, Repository
from layerkit.service import BaseService
from layerkit.unit_of_work import EventSink

T = TypeVar("T")


def problems_of(factory: ServiceFactory) -> tuple[str, ...]:
    with pytest.raises(WiringError) as caught:
        factory.check()
    return caught.value.problems


async def take(factory: ServiceFactory, key: type[T]) -> T:
    async with factory, factory.scope() as scope:
        return await scope.get(key)


@dataclass
class Order:
    id: int


class OrderRepository(Repository[Order, int]): ...


class OrderService(BaseService[Order, int]):
    entity_name = "order"


class NamelessService(BaseService[Order, int]): ...


class Outbox:
    def check(self, event: object) -> None: ...

    async def before_commit(self, events: Sequence[object]) -> None: ...

    async def after_commit(self, events: Sequence[object]) -> None: ...


def orders() -> ServiceFactory:
    factory = ServiceFactory().singleton(MemoryDatabase).scoped(OrderRepository)
    return factory.scoped(OrderService)


@pytest.mark.parametrize("key", [EventBus, InMemoryEventBus, EventSink])
async def test_an_inherited_constructor_takes_the_one_bus(key: Key) -> None:
    bus = InMemoryEventBus()

    service = await take(orders().value(bus, key=key), OrderService)

    assert service._events is bus


async def test_an_outbox_takes_events_too() -> None:
    outbox = Outbox()

    assert (await take(orders().value(outbox), OrderService))._events is outbox


async def test_without_a_bus_a_service_has_no_events() -> None:
    assert (await take(orders(), OrderService))._events is None


async def test_a_service_without_a_name_takes_no_bus() -> None:
    factory = orders().value(InMemoryEventBus()).scoped(NamelessService)

    assert (await take(factory, NamelessService))._events is None


async def test_a_service_without_a_name_takes_the_bus_that_it_asks_for_itself() -> None:
    class Emitter(BaseService[Order, int]):
        def __init__(
            self, orders: OrderRepository, events: EventSink | None = None
        ) -> None:
            super().__init__(orders)
            self.sink = events

    bus = InMemoryEventBus()

    assert (await take(orders().value(bus).scoped(Emitter), Emitter)).sink is bus


def test_a_bus_and_an_outbox_ask_for_a_key() -> None:
    factory = orders().value(InMemoryEventBus()).value(Outbox())

    assert problems_of(factory) == (
        "OrderService needs EventSink | None (parameter events): InMemoryEventBus, "
        "Outbox all fit; register the one to take with key=EventSink",
    )


async def test_a_key_says_which_of_a_bus_and_an_outbox_to_take() -> None:
    outbox = Outbox()
    factory = orders().value(InMemoryEventBus()).value(outbox, key=EventSink)

    assert (await take(factory, OrderService))._events is outbox


def test_a_sink_that_nobody_provides_says_how_to_register_one() -> None:
    class Emitter:
        def __init__(self, events: EventSink) -> None:
            self.events = events

    assert problems_of(ServiceFactory().scoped(Emitter)) == (
        "Emitter needs EventSink (parameter events): nothing provides a bus or outbox; "
        "add factory.singleton(...) for an InMemoryEventBus, or give one of your own "
        "key=EventSink",
    )
