"""What every bus shares: who gets what, and what is refused."""

import asyncio
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID, uuid4

import pytest

from layerkit.core.errors import UsageError
from layerkit.core.logging import correlation_id
from layerkit.events import Event, EventBus, InMemoryEventBus, Payload


class OrderPlaced(Payload, event_type="order.placed"):
    order_id: UUID


class Recorder:
    """Handlers that note what they were given."""

    def __init__(self) -> None:
        self.events: list[Event[Any]] = []
        self.threads: list[int] = []

    async def on_loop(self, event: Event[Any]) -> None:
        self.note(event)

    def in_thread(self, event: Event[Any]) -> None:
        self.note(event)

    def note(self, event: Event[Any]) -> None:
        self.events.append(event)
        self.threads.append(threading.get_ident())

    @property
    def types(self) -> list[str]:
        return [event.event_type for event in self.events]


class AsyncCall(Recorder):
    async def __call__(self, event: Event[Any]) -> None:
        self.note(event)


class SyncCall(Recorder):
    def __call__(self, event: Event[Any]) -> None:
        self.note(event)


@pytest.fixture
def bus() -> InMemoryEventBus:
    return InMemoryEventBus()


@pytest.fixture
def seen() -> Recorder:
    return Recorder()


def tick(event_type: str = "tick") -> Event:
    return Event(event_type=event_type, data={})


# Who gets what


async def test_handler_gets_the_events_of_its_type_alone(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe("user.created", seen.on_loop)

    await bus.publish(tick("user.created"), tick("user.deleted"), tick("user"))

    assert seen.types == ["user.created"]


async def test_wildcard_takes_what_lies_below_it_at_any_depth(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe("user.*", seen.on_loop)

    for event_type in ("user", "user.created", "user.mail.changed", "users.created"):
        await bus.publish(tick(event_type))

    assert seen.types == ["user.created", "user.mail.changed"]


async def test_lone_star_takes_everything(bus: EventBus, seen: Recorder) -> None:
    bus.subscribe("*", seen.on_loop)

    await bus.publish(tick("user"), tick("order.placed"))

    assert seen.types == ["user", "order.placed"]


async def test_handlers_are_called_in_the_order_they_subscribed(bus: EventBus) -> None:
    called: list[str] = []

    def note(name: str) -> Callable[[Event[Any]], Awaitable[None]]:
        async def handler(_event: Event[Any]) -> None:
            called.append(name)

        return handler

    bus.subscribe("*", note("all"))
    bus.subscribe("tick", lambda _event: called.append("sync"))
    bus.subscribe("tick", note("exact"))

    await bus.publish(tick())

    assert called == ["all", "sync", "exact"]


async def test_handler_that_subscribed_twice_is_called_twice(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe("tick", seen.on_loop)
    bus.subscribe("tick", seen.on_loop)

    await bus.publish(tick())

    assert seen.types == ["tick", "tick"]


async def test_handler_subscribed_while_an_event_is_handled_gets_the_next_one(
    bus: EventBus, seen: Recorder
) -> None:
    async def subscribe_more(_event: Event[Any]) -> None:
        bus.subscribe("tick", seen.on_loop)

    bus.subscribe("tick", subscribe_more)

    await bus.publish(tick())

    assert seen.types == []


async def test_event_without_a_handler_is_gone(bus: EventBus, seen: Recorder) -> None:
    await bus.publish(tick())

    bus.subscribe("tick", seen.on_loop)

    assert seen.types == []


# Payloads


async def test_payload_is_published_as_an_event_of_its_type(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe("order.placed", seen.on_loop)
    order = OrderPlaced(order_id=uuid4())

    await bus.publish(order)

    assert seen.types == ["order.placed"]
    assert seen.events[0].data is order


async def test_handler_of_a_payload_class_gets_that_class(bus: EventBus) -> None:
    ids: list[UUID] = []

    async def ship(event: Event[OrderPlaced]) -> None:
        ids.append(event.data.order_id)

    bus.subscribe(OrderPlaced, ship)
    order = OrderPlaced(order_id=uuid4())

    await bus.publish(order)

    assert ids == [order.order_id]


async def test_plain_data_is_made_into_the_payload_that_a_handler_asks_for(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe(OrderPlaced, seen.on_loop)
    order_id = uuid4()
    plain = Event(event_type="order.placed", data={"order_id": str(order_id)})

    await bus.publish(plain)

    assert seen.events[0].data == OrderPlaced(order_id=order_id)
    assert seen.events[0].id == plain.id
    assert plain.data == {"order_id": str(order_id)}


async def test_data_that_does_not_fit_the_payload_fails_that_handler_alone(
    bus: EventBus, seen: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    bus.subscribe(OrderPlaced, seen.on_loop, name="shipping")
    bus.subscribe("order.placed", seen.on_loop)

    await bus.publish(Event(event_type="order.placed", data={"order_id": "s3cret"}))

    assert len(seen.events) == 1
    assert "handler shipping failed on order.placed" in caplog.text
    assert "s3cret" not in caplog.text


async def test_reloaded_payload_class_reaches_the_handlers_of_the_old_one(
    bus: EventBus, seen: Recorder
) -> None:
    def load() -> type[Payload]:
        class Reloaded(Payload, event_type="reloaded"):
            count: int

        return Reloaded

    old, new = load(), load()
    bus.subscribe(old, seen.on_loop)

    await bus.publish(new.model_validate({"count": 3}))

    assert isinstance(seen.events[0].data, old)
    assert seen.events[0].data.model_dump() == {"count": 3}


def rival() -> type[Payload]:
    class OrderMoved(Payload, event_type="order.placed"):
        pass

    return OrderMoved


def test_two_payload_classes_of_one_type_are_refused_at_subscribe(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe(OrderPlaced, seen.on_loop)

    with pytest.raises(UsageError, match=r"OrderMoved.*OrderPlaced.*'order\.placed'"):
        bus.subscribe(rival(), seen.on_loop)


async def test_two_payload_classes_of_one_type_are_refused_at_publish(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe(OrderPlaced, seen.on_loop)

    with pytest.raises(UsageError, match="both claim the event type"):
        await bus.publish(rival()())

    assert seen.events == []


def test_two_payload_classes_of_one_type_are_refused_at_emit(bus: EventBus) -> None:
    bus.check(OrderPlaced(order_id=uuid4()))

    with pytest.raises(UsageError, match="both claim the event type"):
        bus.check(Event(event_type="order.placed", data=rival()()))


# What is refused


@pytest.mark.parametrize("wrong", [{"event_type": "tick"}, "tick", None])
async def test_publishing_something_else_is_refused(bus: EventBus, wrong: Any) -> None:
    with pytest.raises(UsageError, match=f"got {type(wrong).__name__}: pass Event"):
        await bus.publish(wrong)


async def test_publishing_a_payload_class_is_refused(bus: EventBus) -> None:
    with pytest.raises(UsageError, match="got the class OrderPlaced"):
        await bus.publish(OrderPlaced)  # type: ignore[arg-type]  # the subject


async def test_nothing_is_published_when_one_event_is_refused(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe("*", seen.on_loop)

    with pytest.raises(UsageError):
        await bus.publish(tick(), "tick")  # type: ignore[arg-type]  # the subject

    assert seen.events == []


@pytest.mark.parametrize("pattern", ["", ".*", "user*", "*.created", "a.*.b", "a.*.*"])
def test_pattern_with_a_star_elsewhere_is_refused(
    bus: EventBus, seen: Recorder, pattern: str
) -> None:
    with pytest.raises(UsageError, match="can't be an event type"):
        bus.subscribe(pattern, seen.on_loop)


@pytest.mark.parametrize("wrong", [7, None, dict])
def test_subscribing_to_something_else_is_refused(
    bus: EventBus, seen: Recorder, wrong: Any
) -> None:
    with pytest.raises(UsageError, match="takes an event type or a Payload class"):
        bus.subscribe(wrong, seen.on_loop)


def test_subscribing_to_payload_itself_is_refused(
    bus: EventBus, seen: Recorder
) -> None:
    with pytest.raises(UsageError, match="Payload itself has no event type"):
        bus.subscribe(Payload, seen.on_loop)


def test_publishing_payload_itself_is_refused(bus: EventBus) -> None:
    with pytest.raises(UsageError, match="Payload itself has no event type"):
        bus.check(Payload())


def test_subscribing_what_can_not_be_called_is_refused(bus: EventBus) -> None:
    with pytest.raises(UsageError, match=r"'tick'.*takes a handler.*got str"):
        bus.subscribe("tick", "handler")  # type: ignore[call-overload]  # the subject


def test_name_is_taken_once_per_event_type(bus: EventBus, seen: Recorder) -> None:
    bus.subscribe("tick", seen.on_loop, name="audit")
    bus.subscribe("tock", seen.on_loop, name="audit")

    with pytest.raises(UsageError, match="'audit' is subscribed to 'tick' already"):
        bus.subscribe("tick", seen.in_thread, name="audit")


# Failures


@pytest.mark.defect("E28")
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_handler_that_raises_stops_neither_the_others_nor_the_publisher(
    bus: EventBus, seen: Recorder, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    async def broken(_event: Event[Any]) -> None:
        raise RuntimeError("out of paper")

    def broken_in_thread(_event: Event[Any]) -> None:
        raise RuntimeError("out of paper")

    bus.subscribe("*", broken if kind == "async" else broken_in_thread, name="printer")
    bus.subscribe("*", seen.on_loop)
    event = Event(event_type="tick", data={"password": "s3cret"})

    await bus.publish(event, tick("tock"))

    assert seen.types == ["tick", "tock"]
    [first, _] = caplog.records
    assert first.levelno == logging.ERROR
    assert first.getMessage() == f"handler printer failed on tick {event.id}"
    assert "out of paper" in caplog.text
    assert "s3cret" not in caplog.text


async def test_handler_is_named_after_its_function_in_the_log(
    bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    bus.subscribe("tick", functools.partial(broken_handler, "now"))
    bus.subscribe("tick", BrokenCall())

    await bus.publish(tick())

    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"handler {__name__}.broken_handler failed")
    assert second.startswith(f"handler {__name__}.BrokenCall failed")


async def broken_handler(when: str, _event: Event[Any]) -> None:
    raise RuntimeError(when)


class BrokenCall:
    def __call__(self, _event: Event[Any]) -> None:
        raise RuntimeError


async def test_sync_handler_that_raises_stop_iteration_does_not_hang(
    bus: EventBus, seen: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    bus.subscribe("tick", lambda _event: next(iter(())))
    bus.subscribe("tick", seen.on_loop)

    async with asyncio.timeout(5):
        await bus.publish(tick())

    assert seen.types == ["tick"]
    assert "raised StopIteration" in caplog.text


async def test_cancelled_publisher_stops(bus: EventBus, seen: Recorder) -> None:
    started = asyncio.Event()

    async def wait_for_ever(_event: Event[Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    bus.subscribe("tick", wait_for_ever)
    bus.subscribe("tick", seen.on_loop)
    publishing = asyncio.create_task(bus.publish(tick()))
    await started.wait()

    publishing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await publishing
    assert seen.types == []


@pytest.mark.defect("E28")
async def test_handler_that_awaits_something_cancelled_stops_only_itself(
    bus: EventBus, seen: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    async def await_cancelled(_event: Event[Any]) -> None:
        cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    bus.subscribe("tick", await_cancelled)
    bus.subscribe("tick", seen.on_loop)

    await bus.publish(tick())

    assert seen.types == ["tick"]
    assert "await_cancelled failed on tick" in caplog.text


# Sync and async handlers


@pytest.mark.defect("E16")
@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(lambda seen: seen.on_loop, id="method"),
        pytest.param(lambda seen: functools.partial(seen.on_loop), id="partial"),
        pytest.param(
            lambda seen: functools.partial(functools.partial(seen.on_loop)),
            id="partial of partial",
        ),
    ],
)
async def test_async_handler_runs_on_the_loop(
    bus: EventBus, seen: Recorder, handler: Callable[[Recorder], Any]
) -> None:
    bus.subscribe("tick", handler(seen))

    await bus.publish(tick())

    assert seen.threads == [threading.get_ident()]


@pytest.mark.defect("E16")
@pytest.mark.parametrize("wrapped", [False, True])
async def test_async_call_runs_on_the_loop(bus: EventBus, *, wrapped: bool) -> None:
    seen = AsyncCall()
    bus.subscribe("tick", functools.partial(seen) if wrapped else seen)

    await bus.publish(tick())

    assert seen.threads == [threading.get_ident()]


async def test_sync_function_that_returns_a_coroutine_has_it_awaited_on_the_loop(
    bus: EventBus, seen: Recorder
) -> None:
    bus.subscribe("tick", lambda event: seen.on_loop(event))  # noqa: PLW0108 - the subject

    await bus.publish(tick())

    assert seen.threads == [threading.get_ident()]


@pytest.mark.defect("E15")
@pytest.mark.parametrize("shape", ["method", "partial", "__call__"])
async def test_sync_handler_never_blocks_the_loop(bus: EventBus, shape: str) -> None:
    seen = SyncCall()
    loop_ran = threading.Event()

    def wait_for_the_loop(event: Event[Any]) -> None:
        # Only a loop that goes on meanwhile can set this.
        assert loop_ran.wait(timeout=5)
        seen(event)

    shapes: dict[str, Any] = {
        "method": wait_for_the_loop,
        "partial": functools.partial(wait_for_the_loop),
        "__call__": seen,
    }
    bus.subscribe("tick", shapes[shape])
    asyncio.get_running_loop().call_soon(loop_ran.set)

    await bus.publish(tick())

    assert seen.types == ["tick"]
    assert seen.threads != [threading.get_ident()]


async def test_sync_handler_runs_in_a_copy_of_the_context(bus: EventBus) -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    seen: list[str] = []

    def note_tenant(_event: Event[Any]) -> None:
        seen.append(tenant.get())
        tenant.set("changed")

    tenant.set("acme")
    bus.subscribe("tick", note_tenant)

    await bus.publish(tick())

    assert seen == ["acme"]
    assert tenant.get() == "acme"


# What handlers cause


async def test_event_made_in_a_handler_is_caused_by_the_handled_one(
    bus: EventBus, seen: Recorder
) -> None:
    async def react(_event: Event[Any]) -> None:
        await bus.publish(tick("order.placed"))

    def react_in_thread(_event: Event[Any]) -> None:
        seen.note(tick("made.in.thread"))

    bus.subscribe("tick", react)
    bus.subscribe("tick", react_in_thread)
    bus.subscribe("order.placed", seen.on_loop)
    event = tick()

    await bus.publish(event)

    assert [caused.causation_id for caused in seen.events] == [event.id, event.id]
    assert tick().causation_id is None


async def test_what_an_event_causes_shares_its_correlation_id(
    bus: EventBus, seen: Recorder
) -> None:
    async def react(_event: Event[Any]) -> None:
        seen.note(tick("first"))

    bus.subscribe("tick", react)
    uncorrelated = tick()

    await bus.publish(
        Event(event_type="tick", data={}, correlation_id="request-1"), uncorrelated
    )

    assert [caused.correlation_id for caused in seen.events] == [
        "request-1",
        str(uncorrelated.id),
    ]
    assert correlation_id.get() is None


@pytest.mark.parametrize("is_sync", [True, False], ids=["thread", "task"])
async def test_handlers_have_the_correlation_id_of_the_event(is_sync: bool) -> None:
    bus, seen = InMemoryEventBus(), []

    def handle(_: Event[object]) -> None:
        seen.append(correlation_id.get())

    async def handle_in_a_task(_: Event[object]) -> None:
        async def work() -> None:
            seen.append(correlation_id.get())

        await asyncio.create_task(work())

    bus.subscribe("tick", handle if is_sync else handle_in_a_task)
    token = correlation_id.set("publisher")

    await bus.publish(Event(event_type="tick", data={}, correlation_id="request-1"))

    assert seen == ["request-1"]
    assert correlation_id.get() == "publisher"
    correlation_id.reset(token)


async def test_failure_is_logged_under_the_correlation_id_of_the_event(
    bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    bus.subscribe("tick", BrokenCall())

    await bus.publish(Event(event_type="tick", data={}, correlation_id="request-1"))

    assert vars(caplog.records[0])["correlation_id"] == "request-1"


# A bus of one's own


async def test_bus_of_ones_own_gives_publish_alone() -> None:
    class Gathering(EventBus):
        def __init__(self) -> None:
            super().__init__()
            self.gathered: list[object] = []

        async def publish(self, *events: Event[object] | Payload) -> None:  # type: ignore[explicit-override]  # as users write it
            self.gathered.extend(events)

    bus = Gathering()
    emitted: Sequence[object] = [tick(), OrderPlaced(order_id=uuid4())]

    await bus.before_commit(emitted)
    assert bus.gathered == []
    await bus.after_commit(emitted)

    assert bus.gathered == emitted
