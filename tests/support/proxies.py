"""A server that falls silent: bytes still arrive, and nothing comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class SilentProxy:
    """Stand between a client and its server, until it is told to fall silent.

    Args:
        host: Where the server is.
        port: Its port.

    Attributes:
        port: Where clients find it.
        round_trips: How often a client has asked; of one client, as a whole number.
        silence: Set once it is silent.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._trigger = self._cut = b""
        self._writers: list[asyncio.StreamWriter] = []
        self.silence = asyncio.Event()
        self.port = 0
        self.round_trips = 0
        self._is_answering = True

    def fall_silent_at(self, words: bytes) -> None:
        """Pass nothing on any more once a client has sent *words*, these included."""
        self._trigger = words

    def fall_silent(self) -> None:
        """Pass nothing on any more."""
        self.silence.set()

    def cut_at(self, words: bytes) -> None:
        """Cut all connections once, when a client sends *words*."""
        self._cut = words

    def speak_again(self) -> None:
        """Cut what was silent, and let new connections through."""
        self.close()
        self._trigger = b""
        self.silence.clear()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Join a client to the server."""
        answers, requests = await asyncio.open_connection(*self._server)
        self._writers += [writer, requests]
        await asyncio.gather(
            self._pass(reader, requests, asks=True),
            self._pass(answers, writer, asks=False),
        )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                # A client of one connection asks, and waits for the answer.
                self.round_trips += asks and self._is_answering
                self._is_answering = not asks
                if self._cut and self._cut in data:
                    self._cut = b""
                    self.close()
                    break
                if self._trigger and self._trigger in data:
                    self.silence.set()
                if not self.silence.is_set():
                    writer.write(data)
                    await writer.drain()
        if not self.silence.is_set():
            writer.close()

    def close(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def silent_proxy(host: str, port: int) -> AsyncIterator[SilentProxy]:
    """Yield a proxy to a server that has not fallen silent yet."""
    proxy = SilentProxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()
