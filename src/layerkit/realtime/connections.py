"""ConnectionManager: who is connected, and how messages reach them."""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from layerkit.core.errors import ForbiddenError, UnavailableError, UsageError
from layerkit.core.logging import get_logger
from layerkit.realtime.connection import Connection, WebSocket, close_socket
from layerkit.realtime.origins import parse_origin, parse_origins

logger = get_logger("layerkit.realtime")

_anything = TypeAdapter[Any](Any)


class ConnectionManager:
    """Keep the sockets of clients, and send to one client or to all.

    Each connection has a bounded queue and one task that writes to its socket, so a
    reader that stalls harms nobody else: once its queue is full it is disconnected and
    its socket closed. So is a socket that fails. Messages of one connection keep their
    order. One manager serves one event loop.

    Args:
        allowed_origins: The web pages that may connect, as ``https://app.example.org``;
            any when not given. A client that sends no origin is no browser, and may.
        max_queued: How many messages may wait for one reader, 1 or more.
        close_timeout: How many seconds a socket gets to take what is queued when the
            manager closes, and as many again to close.

    Raises:
        UsageError: An origin is not one, or *max_queued* is less than 1.
    """

    def __init__(
        self,
        *,
        allowed_origins: Iterable[str] | None = None,
        max_queued: int = 256,
        close_timeout: float = 1.0,
    ) -> None:
        if max_queued < 1:
            raise UsageError(f"max_queued={max_queued}: a queue holds 1 or more")
        self._allowed = (
            None if allowed_origins is None else parse_origins(allowed_origins)
        )
        self._max_queued = max_queued
        self._close_timeout = close_timeout
        self._clients: dict[str, list[Connection]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        """Open the manager, also after it was closed."""
        self._closed = False
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the manager."""
        await self.close()

    @property
    def active_connections(self) -> dict[str, list[WebSocket]]:
        """The sockets of each connected client, by client id; a copy."""
        return {
            client_id: [connection.websocket for connection in connections]
            for client_id, connections in self._clients.items()
        }

    async def connect(self, websocket: WebSocket, client_id: str) -> None:
        """Accept *websocket* and send to it, from now on, what *client_id* gets.

        Raises:
            ForbiddenError: Its origin is not allowed; it is closed and not accepted.
            UnavailableError: The manager is closed; so is the socket.
        """
        await self._check_origin(websocket)
        await self._check_open(websocket)
        await websocket.accept()
        await self._check_open(websocket)  # accepting took time, and it may have closed
        connection = Connection(websocket, client_id, self._max_queued)
        connection.writer = self._start(self._serve(connection))
        self._clients.setdefault(client_id, []).append(connection)

    def disconnect(self, websocket: WebSocket, client_id: str) -> None:
        """Forget *websocket* and drop what waits for it; an unknown one is ignored.

        The socket is not closed: call this once its client has gone.
        """
        for connection in list(self._clients.get(client_id, ())):
            if connection.websocket is websocket:
                self._forget(connection)
                connection.writer.cancel()

    async def send_personal_message(
        self, message: dict[str, Any], client_id: str
    ) -> None:
        """Send *message* as JSON text to each socket of *client_id*, if there is one.

        Returns once the message is queued; a socket that takes it at once has it then.
        Dates, UUIDs, models and the like are written as pydantic writes them.

        Raises:
            UsageError: *message* can't be written as JSON.
        """
        await self._send(list(self._clients.get(client_id, ())), message)

    async def broadcast(self, message: dict[str, Any]) -> None:
        """Send *message*, as ``send_personal_message`` does, to every socket.

        It is written as JSON once, however many sockets there are.

        Raises:
            UsageError: *message* can't be written as JSON.
        """
        await self._send(self._connections(), message)

    async def close(self) -> None:
        """Disconnect everyone: send what is queued, then close the sockets.

        Takes at most twice ``close_timeout``, also with a peer that reads nothing.
        ``connect`` refuses from here on, until the manager is entered again.
        """
        self._closed = True
        connections = self._connections()
        self._clients.clear()
        try:
            for connection in connections:
                connection.end()
            await self._settle()
            for connection in connections:
                if not connection.hung_up:
                    connection.writer.cancel()
                    self._start(connection.hang_up(self._close_timeout))
            await self._settle()
        finally:
            for task in self._tasks:
                task.cancel()
        await asyncio.sleep(0)  # the cancelled ones' turn

    def _connections(self) -> list[Connection]:
        return [each for group in self._clients.values() for each in group]

    async def _send(
        self, connections: list[Connection], message: dict[str, Any]
    ) -> None:
        text = _as_json(message)
        for connection in connections:
            if not connection.put(text):
                self._drop_slow(connection)
        await asyncio.sleep(0)  # the writers' turn

    def _drop_slow(self, connection: Connection) -> None:
        logger.warning(
            "client %r reads too slowly, %d messages wait: its socket is closed",
            connection.client_id,
            self._max_queued,
        )
        self._forget(connection)
        connection.writer.cancel()
        self._start(connection.hang_up(self._close_timeout))

    def _forget(self, connection: Connection) -> None:
        group = self._clients.get(connection.client_id, [])
        if connection in group:
            group.remove(connection)
        if not group:
            self._clients.pop(connection.client_id, None)

    async def _serve(self, connection: Connection) -> None:
        """Write to the socket until it fails or the manager closes, then close it."""
        try:
            await connection.write()
        except Exception:
            logger.info(
                "a socket of client %r failed, and is closed",
                connection.client_id,
                exc_info=True,
            )
        self._forget(connection)
        await connection.hang_up(self._close_timeout)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _settle(self) -> None:
        """Wait for the tasks, as long as a socket is given."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._close_timeout)

    async def _check_open(self, websocket: WebSocket) -> None:
        if self._closed:
            await close_socket(websocket, self._close_timeout)
            raise UnavailableError("Closing down; connect again later")

    async def _check_origin(self, websocket: WebSocket) -> None:
        if self._allowed is None:
            return
        headers: Mapping[str, str] | None = getattr(websocket, "headers", None)
        if headers is None:
            raise UsageError(
                f"allowed_origins reads a socket's headers, and a "
                f"{type(websocket).__name__} has none"
            )
        origins = [headers[name] for name in headers if name.lower() == "origin"]
        if not all(parse_origin(origin) in self._allowed for origin in origins):
            await close_socket(websocket, self._close_timeout)
            raise ForbiddenError("This origin may not connect")


def _as_json(message: dict[str, Any]) -> str:
    """Return *message* as JSON text.

    Raises:
        UsageError: It holds what JSON can't.
    """
    try:
        return json.dumps(message, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the message can't be written as JSON: {error}") from error


def _plain(value: object) -> object:
    return _anything.dump_python(value, mode="json")
