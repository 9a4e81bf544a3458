"""ConnectionManager: who is connected, and how messages reach them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from typing_extensions import override

from layerkit.core.errors import ForbiddenError, UnavailableError, UsageError
from layerkit.realtime import ConnectionManager

HELLO = {"type": "hello"}


class Socket:
    """A socket that takes what it is sent; it has nothing beyond the three methods."""

    def __init__(self) -> None:
        self.accepted = False
        self.texts: list[str] = []
        self.closed = 0

    async def accept(self) -> None:
        self.accepted = True

    async def send_text(self, data: str) -> None:
        self.texts.append(data)

    async def close(self) -> None:
        self.closed += 1

    @property
    def messages(self) -> list[Any]:
        return [json.loads(text) for text in self.texts]


class StalledSocket(Socket):
    """A socket whose peer reads nothing, and lets it not close, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()

    @override
    async def send_text(self, data: str) -> None:
        await self.released.wait()
        await super().send_text(data)

    @override
    async def close(self) -> None:
        await super().close()
        await self.released.wait()


class DeadSocket(Socket):
    """A socket whose peer has gone, as Starlette shows it."""

    @override
    async def send_text(self, data: str) -> None:
        raise RuntimeError('Cannot call "send" once a close message has been sent.')

    @override
    async def close(self) -> None:
        await super().close()
        raise RuntimeError("Unexpected ASGI message 'websocket.close'")


class PageSocket(Socket):
    """A socket that was opened by a web page."""

    def __init__(self, **headers: str) -> None:
        super().__init__()
        self.headers: Mapping[str, str] = headers


@pytest.fixture
async def manager() -> AsyncIterator[ConnectionManager]:
    async with ConnectionManager(max_queued=3, close_timeout=0.01) as manager:
        yield manager


async def turns(count: int = 5) -> None:
    """Let other tasks run."""
    for _ in range(count):
        await asyncio.sleep(0)


# Connecting


async def test_connect_accepts_and_lists_the_socket(manager: ConnectionManager) -> None:
    socket = Socket()

    await manager.connect(socket, "ada")

    assert socket.accepted
    assert manager.active_connections == {"ada": [socket]}


async def test_client_may_have_several_sockets(manager: ConnectionManager) -> None:
    first, second, other = Socket(), Socket(), Socket()
    await manager.connect(first, "ada")
    await manager.connect(second, "ada")
    await manager.connect(other, "bob")

    await manager.send_personal_message(HELLO, "ada")

    assert manager.active_connections == {"ada": [first, second], "bob": [other]}
    assert first.messages == second.messages == [HELLO]
    assert other.messages == []


async def test_changing_the_list_of_connections_changes_nothing(
    manager: ConnectionManager,
) -> None:
    await manager.connect(Socket(), "ada")

    manager.active_connections["ada"].clear()
    manager.active_connections.clear()

    assert len(manager.active_connections["ada"]) == 1


async def test_socket_that_can_not_be_accepted_is_not_connected(
    manager: ConnectionManager,
) -> None:
    class Gone(Socket):
        @override
        async def accept(self) -> None:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await manager.connect(Gone(), "ada")

    assert manager.active_connections == {}


async def test_disconnect_forgets_this_socket_alone(manager: ConnectionManager) -> None:
    first, second = Socket(), Socket()
    await manager.connect(first, "ada")
    await manager.connect(second, "ada")

    manager.disconnect(first, "ada")
    await manager.broadcast(HELLO)

    assert manager.active_connections == {"ada": [second]}
    assert first.messages == []
    assert second.messages == [HELLO]


async def test_client_without_sockets_is_not_listed(manager: ConnectionManager) -> None:
    socket = Socket()
    await manager.connect(socket, "ada")

    manager.disconnect(socket, "ada")

    assert manager.active_connections == {}


async def test_disconnect_ends_the_writer_and_leaves_the_socket(
    manager: ConnectionManager,
) -> None:
    before = asyncio.all_tasks()
    socket = StalledSocket()
    await manager.connect(socket, "ada")
    await manager.broadcast(HELLO)

    manager.disconnect(socket, "ada")
    await turns()

    assert asyncio.all_tasks() == before
    assert socket.closed == 0


async def test_disconnect_of_an_unknown_socket_is_ignored(
    manager: ConnectionManager,
) -> None:
    known = Socket()
    await manager.connect(known, "ada")

    manager.disconnect(Socket(), "ada")
    manager.disconnect(known, "bob")

    assert manager.active_connections == {"ada": [known]}


# Sending


async def test_message_is_sent_as_json_text_exactly_as_given(
    manager: ConnectionManager,
) -> None:
    socket = Socket()
    message = {"type": "x", "data": {"n": 1, "list": [1.5, None, True]}, "größe": "ß"}
    await manager.connect(socket, "ada")

    await manager.send_personal_message(message, "ada")
    await manager.broadcast(message)

    assert socket.texts == [json.dumps(message)] * 2


async def test_message_for_a_client_who_is_not_connected_goes_nowhere(
    manager: ConnectionManager,
) -> None:
    socket = Socket()
    await manager.connect(socket, "ada")

    await manager.send_personal_message(HELLO, "bob")

    assert socket.messages == []


async def test_broadcast_reaches_every_socket(manager: ConnectionManager) -> None:
    sockets = [Socket() for _ in range(5)]
    for number, socket in enumerate(sockets):
        await manager.connect(socket, f"client-{number % 3}")

    await manager.broadcast(HELLO)

    assert [socket.messages for socket in sockets] == [[HELLO]] * 5


async def test_messages_keep_their_order(manager: ConnectionManager) -> None:
    socket = Socket()
    await manager.connect(socket, "ada")

    for number in range(100):
        await manager.broadcast({"n": number})

    assert [message["n"] for message in socket.messages] == list(range(100))


async def test_values_that_json_has_not_are_written_as_pydantic_writes_them(
    manager: ConnectionManager,
) -> None:
    class Book(BaseModel):
        id: UUID

    socket = Socket()
    await manager.connect(socket, "ada")

    await manager.broadcast(
        {
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "book": Book(id=UUID(int=7)),
            "tags": frozenset({"a"}),
        }
    )

    assert socket.messages == [
        {
            "at": "2026-01-01T00:00:00Z",
            "book": {"id": "00000000-0000-0000-0000-000000000007"},
            "tags": ["a"],
        }
    ]


@pytest.mark.parametrize(
    "value", [object(), float("nan"), float("inf"), {("a", "b"): 1}]
)
async def test_message_that_is_no_json_is_refused_before_anyone_gets_it(
    manager: ConnectionManager, value: object
) -> None:
    socket = Socket()
    await manager.connect(socket, "ada")

    with pytest.raises(UsageError, match="can't be written as JSON"):
        await manager.broadcast({"value": value})

    assert socket.texts == []


@pytest.mark.defect("W11")
async def test_broadcast_writes_json_once_for_all(manager: ConnectionManager) -> None:
    sockets = [Socket() for _ in range(3)]
    for socket in sockets:
        await manager.connect(socket, "ada")

    await manager.broadcast({"text": "long " * 100})

    first, *others = (socket.texts[0] for socket in sockets)
    assert all(text is first for text in others)


# Slow and dead sockets


@pytest.mark.defect("W1")
async def test_stalled_reader_blocks_nobody(manager: ConnectionManager) -> None:
    stalled, healthy = StalledSocket(), Socket()
    await manager.connect(stalled, "slow")
    await manager.connect(healthy, "ada")

    async with asyncio.timeout(5):
        for number in range(100):
            await manager.broadcast({"n": number})

    assert [message["n"] for message in healthy.messages] == list(range(100))


@pytest.mark.defect("W2")
async def test_reader_whose_queue_is_full_is_closed(
    manager: ConnectionManager, caplog: pytest.LogCaptureFixture
) -> None:
    stalled = StalledSocket()
    await manager.connect(stalled, "slow")

    for _ in range(4):  # one is being sent, three wait
        await manager.broadcast(HELLO)
    assert manager.active_connections == {"slow": [stalled]}
    assert stalled.closed == 0
    await manager.broadcast(HELLO)

    assert manager.active_connections == {}
    assert stalled.closed == 1
    assert "client 'slow' reads too slowly, 3 messages wait" in caplog.text


async def test_reader_that_was_too_slow_is_sent_nothing_more(
    manager: ConnectionManager,
) -> None:
    stalled = StalledSocket()
    await manager.connect(stalled, "slow")
    for _ in range(5):
        await manager.broadcast(HELLO)

    stalled.released.set()
    await turns()

    assert stalled.texts == []


async def test_slow_reader_gets_what_waits_for_it_in_order(
    manager: ConnectionManager,
) -> None:
    slow = StalledSocket()
    await manager.connect(slow, "slow")
    for number in range(4):
        await manager.broadcast({"n": number})

    slow.released.set()
    await turns()

    assert slow.messages == [{"n": number} for number in range(4)]


@pytest.mark.defect("W3")
async def test_sending_to_a_closed_socket_does_not_raise(
    manager: ConnectionManager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "layerkit.realtime")
    dead = DeadSocket()
    await manager.connect(dead, "ada")

    await manager.send_personal_message(HELLO, "ada")
    await manager.send_personal_message(HELLO, "ada")

    assert manager.active_connections == {}
    assert dead.closed == 1
    assert "a socket of client 'ada' failed" in caplog.text


@pytest.mark.defect("W4")
async def test_dead_socket_does_not_end_a_broadcast(manager: ConnectionManager) -> None:
    sockets = [Socket(), DeadSocket(), Socket()]
    for socket in sockets:
        await manager.connect(socket, "ada")

    await manager.broadcast(HELLO)
    await manager.broadcast(HELLO)

    assert [len(socket.texts) for socket in sockets] == [2, 0, 2]
    assert manager.active_connections == {"ada": [sockets[0], sockets[2]]}


async def test_disconnect_after_the_manager_has_dropped_the_socket_is_ignored(
    manager: ConnectionManager,
) -> None:
    dead = DeadSocket()
    await manager.connect(dead, "ada")
    await manager.broadcast(HELLO)

    manager.disconnect(dead, "ada")

    assert manager.active_connections == {}


@pytest.mark.parametrize("max_queued", [0, -1])
def test_queue_that_holds_nothing_is_refused(max_queued: int) -> None:
    with pytest.raises(UsageError, match=f"max_queued={max_queued}"):
        ConnectionManager(max_queued=max_queued)


# Closing


async def test_close_sends_what_is_queued_and_closes_the_sockets() -> None:
    manager = ConnectionManager()
    slow, healthy = StalledSocket(), Socket()
    await manager.connect(slow, "slow")
    await manager.connect(healthy, "ada")
    await manager.broadcast({"n": 1})
    await manager.broadcast({"n": 2})

    closing = asyncio.create_task(manager.close())
    await turns()
    slow.released.set()
    await closing

    assert slow.messages == healthy.messages == [{"n": 1}, {"n": 2}]
    assert (slow.closed, healthy.closed) == (1, 1)
    assert manager.active_connections == {}


@pytest.mark.defect("W10")
async def test_close_does_not_wait_for_a_stalled_peer() -> None:
    before = asyncio.all_tasks()
    manager = ConnectionManager(close_timeout=0.01)
    stalled, healthy = StalledSocket(), Socket()
    await manager.connect(stalled, "slow")
    await manager.connect(healthy, "ada")
    await manager.broadcast(HELLO)

    async with asyncio.timeout(5):
        await manager.close()

    assert (stalled.closed, healthy.closed) == (1, 1)
    assert asyncio.all_tasks() == before


@pytest.mark.defect("W10")
async def test_close_does_not_wait_for_a_socket_that_can_not_be_cancelled() -> None:
    class Stubborn(StalledSocket):
        @override
        async def send_text(self, data: str) -> None:
            while not self.released.is_set():
                try:
                    await self.released.wait()
                except asyncio.CancelledError:
                    continue

    manager = ConnectionManager(close_timeout=0.01)
    stubborn = Stubborn()
    await manager.connect(stubborn, "slow")
    await manager.broadcast(HELLO)

    async with asyncio.timeout(5):
        await manager.close()

    assert stubborn.closed == 1
    stubborn.released.set()
    await turns()
    assert stubborn.closed == 1


async def test_cancelled_close_leaves_no_writer_behind() -> None:
    before = asyncio.all_tasks()
    manager = ConnectionManager(close_timeout=60)
    await manager.connect(StalledSocket(), "slow")
    await manager.broadcast(HELLO)
    closing = asyncio.create_task(manager.close())
    await turns()

    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await turns()

    assert asyncio.all_tasks() == before


async def test_close_of_a_manager_without_connections_ends_at_once() -> None:
    manager = ConnectionManager(close_timeout=3600)

    async with asyncio.timeout(5):
        await manager.close()
        await manager.close()


async def test_sending_after_close_reaches_nobody_and_does_not_raise() -> None:
    manager = ConnectionManager()
    socket = Socket()
    await manager.connect(socket, "ada")
    await manager.close()

    await manager.broadcast(HELLO)
    await manager.send_personal_message(HELLO, "ada")
    manager.disconnect(socket, "ada")

    assert socket.texts == []


async def test_closed_manager_takes_no_connections() -> None:
    manager = ConnectionManager()
    await manager.close()
    socket = Socket()

    with pytest.raises(UnavailableError, match="Closing down"):
        await manager.connect(socket, "ada")

    assert not socket.accepted
    assert socket.closed == 1


async def test_socket_that_is_accepted_while_the_manager_closes_is_closed() -> None:
    manager = ConnectionManager()

    class Slow(Socket):
        @override
        async def accept(self) -> None:
            await manager.close()

    socket = Slow()

    with pytest.raises(UnavailableError):
        await manager.connect(socket, "ada")

    assert socket.closed == 1
    assert manager.active_connections == {}


async def test_manager_opens_again_when_it_is_entered_again() -> None:
    manager = ConnectionManager()
    for _ in range(2):
        socket = Socket()

        async with manager as entered:
            assert entered is manager
            await manager.connect(socket, "ada")
            await manager.broadcast(HELLO)

        assert socket.messages == [HELLO]
        assert socket.closed == 1


def test_manager_serves_one_event_loop_after_the_other() -> None:
    manager = ConnectionManager()

    async def serve() -> list[Any]:
        socket = Socket()
        async with manager:
            await manager.connect(socket, "ada")
            await manager.broadcast(HELLO)
        return socket.messages

    assert asyncio.run(serve()) == asyncio.run(serve()) == [HELLO]


# Origins


@pytest.mark.defect("W5")
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.org",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org.evil.org",
        "https://app.example.org@evil.org",
        "null",
        "",
        "https://app.example.org:port",
    ],
)
async def test_page_of_another_origin_may_not_connect(origin: str) -> None:
    manager = ConnectionManager(allowed_origins=["https://app.example.org"])
    socket = PageSocket(origin=origin)

    with pytest.raises(ForbiddenError, match="This origin may not connect"):
        await manager.connect(socket, "ada")

    assert not socket.accepted
    assert socket.closed == 1
    assert manager.active_connections == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://app.example.org"},
        {"Origin": "https://APP.example.org"},
        {"origin": "https://app.example.org:443"},
        {"origin": "http://localhost:3000"},
        {"host": "api.example.org"},  # no browser
    ],
)
async def test_page_of_an_allowed_origin_may_connect(headers: dict[str, str]) -> None:
    origins = ["https://App.example.org", "http://localhost:3000"]
    async with ConnectionManager(allowed_origins=origins) as manager:
        socket = PageSocket(**headers)

        await manager.connect(socket, "ada")

        assert socket.accepted


async def test_no_origin_is_allowed_by_an_empty_list() -> None:
    manager = ConnectionManager(allowed_origins=[])

    with pytest.raises(ForbiddenError):
        await manager.connect(PageSocket(origin="https://app.example.org"), "ada")


async def test_any_origin_may_connect_when_none_are_named(
    manager: ConnectionManager,
) -> None:
    socket = PageSocket(origin="https://evil.example.org")

    await manager.connect(socket, "ada")

    assert socket.accepted


@pytest.mark.parametrize(
    "origin",
    ["app.example.org", "*", "https://a.org/", "https://", "https://u@a.org", "null"],
)
def test_allowed_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="is no origin: write scheme, host"):
        ConnectionManager(allowed_origins=[origin])


def test_single_text_for_allowed_origins_is_refused() -> None:
    with pytest.raises(UsageError, match=r"takes several: \['https://a\.org'\]"):
        ConnectionManager(allowed_origins="https://a.org")


async def test_socket_without_headers_is_refused_where_origins_are_checked() -> None:
    manager = ConnectionManager(allowed_origins=["https://app.example.org"])

    with pytest.raises(UsageError, match="a Socket has none"):
        await manager.connect(Socket(), "ada")
