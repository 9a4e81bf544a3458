"""One connected socket: a bounded queue of messages, and one task that sends them."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from layerkit.core.logging import get_logger

logger = get_logger("layerkit.realtime")


class WebSocket(Protocol):
    """What a connection needs of a websocket; Starlette's and FastAPI's fit."""

    def accept(self) -> Awaitable[object]:
        """Take the connection."""
        ...

    def send_text(self, data: str, /) -> Awaitable[object]:
        """Send *data* as one text message."""
        ...

    def close(self) -> Awaitable[object]:
        """Close the connection."""
        ...


class Connection:
    """Hold the messages that wait for one socket, and send them in order.

    Args:
        websocket: An accepted socket.
        client_id: Whose socket it is.
        max_queued: How many messages may wait.

    Attributes:
        writer: The task that runs ``write``.
        hung_up: True once somebody has begun to close the socket.
    """

    writer: asyncio.Task[None]

    def __init__(self, websocket: WebSocket, client_id: str, max_queued: int) -> None:
        self.websocket = websocket
        self.client_id = client_id
        self.hung_up = False
        self._max_queued = max_queued
        self._queue: deque[str] = deque()
        self._changed = asyncio.Event()
        self._ending = False

    def put(self, text: str) -> bool:
        """Queue *text*; False where the queue is full."""
        if len(self._queue) >= self._max_queued:
            return False
        self._queue.append(text)
        self._changed.set()
        return True

    def end(self) -> None:
        """Let ``write`` return once all that is queued has been sent."""
        self._ending = True
        self._changed.set()

    async def write(self) -> None:
        """Send what is queued, until ``end``; raise what the socket raises."""
        while True:
            while self._queue:
                await self.websocket.send_text(self._queue.popleft())
            if self._ending:
                return
            self._changed.clear()
            await self._changed.wait()

    async def hang_up(self, seconds: float) -> None:
        """Close the socket, unless somebody has begun to; give up after *seconds*."""
        if not self.hung_up:
            self.hung_up = True
            await close_socket(self.websocket, seconds)


async def close_socket(websocket: WebSocket, seconds: float) -> None:
    """Close *websocket*; give up after *seconds*."""
    try:
        async with asyncio.timeout(seconds):
            await websocket.close()
    except Exception:
        # It is gone already, or its peer does not answer: both are closed enough.
        logger.debug("closing a socket failed", exc_info=True)
