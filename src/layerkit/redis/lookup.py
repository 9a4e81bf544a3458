"""Looking up keys, by index or in their order, a chunk at a time."""

from collections.abc import AsyncIterator
from typing import Final

from layerkit.redis.planner import Source, Span
from layerkit.redis.server import Server

_CHUNK: Final = 500


async def members_of(server: Server, source: Source) -> set[bytes]:
    """Return the keys that come from *source*."""
    found: set[bytes | None] = set()
    for command, names in source:
        found.update(await server.call(command, *names) if command else names)
    return {member for member in found if member is not None}  # MGET's, of no holder


async def walk(
    server: Server, name: bytes, span: Span, limit: int | None, *, backward: bool
) -> AsyncIterator[list[bytes]]:
    """Yield the keys of the sorted set *name* that are in *span*, in their order.

    Args:
        server: Where the set is.
        name: Its name.
        span: A stretch of it.
        limit: How many are likely to be enough: no more come in the first chunk.
        backward: True from the last one on.
    """
    size = _first_size(limit)
    low = b"[" + span.low if span.low else b"-"
    high = b"+" if span.high is None else b"(" + span.high
    while True:
        ends = (high, low, "BYLEX", "REV") if backward else (low, high, "BYLEX")
        chunk: list[bytes] = await server.call("ZRANGE", name, *ends, "LIMIT", 0, size)
        yield chunk
        if len(chunk) < size:
            return
        beyond = b"(" + chunk[-1]
        low, high = (low, beyond) if backward else (beyond, high)
        size = _CHUNK


async def chunked(
    members: list[bytes], limit: int | None
) -> AsyncIterator[list[bytes]]:
    """Yield *members* in their order, with chunks as those of ``walk``."""
    size = _first_size(limit)
    start = 0
    while start < len(members):
        yield members[start : start + size]
        start, size = start + size, _CHUNK


def _first_size(limit: int | None) -> int:
    return _CHUNK if limit is None else min(max(limit, 1), _CHUNK)
