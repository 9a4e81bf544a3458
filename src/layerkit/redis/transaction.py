"""A unit of work on Redis: read at once, written by one script at the commit."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from typing_extensions import override

from layerkit.core.errors import ConflictError, StaleDataError
from layerkit.redis.layout import Layout, is_nan
from layerkit.redis.planner import (
    Every,
    Holders,
    Members,
    Some,
    Source,
    Span,
    check_walk,
    direction_of,
    source_of,
    span_of,
)
from layerkit.redis.server import COMMIT, RAISE, Server
from layerkit.redis.steps import Kind, Seen, Steps, digest_of, mark_of
from layerkit.repository import EntityAdapter, Order, Specification, UniqueRule
from layerkit.repository.evaluate import matches
from layerkit.repository.fields import KeyTuple
from layerkit.repository.overlay import OverlayTransaction
from layerkit.repository.tables import Layer, Row

_CHUNK: Final = 500
_LAST_ID: Final = 2**63 - 1
"""The last one that Redis counts to."""


class RedisTransaction(OverlayTransaction):
    """Read what is committed, keep what is written, store it by one script.

    Args:
        home: The database.
        server: Where the keys are.
        kinds: The entity classes of the home.
        prefix: The home's prefix.
        allow_scan: True where a filter that no index serves may read everything.
        read_only: True where writing is refused.
    """

    def __init__(
        self,
        home: object,
        server: Server,
        kinds: Mapping[type, Kind],
        prefix: str,
        *,
        allow_scan: bool,
        read_only: bool,
    ) -> None:
        super().__init__(home, read_only=read_only)
        self._server = server
        self._kinds = kinds
        self._prefix = prefix
        self._allow_scan = allow_scan
        self._seen: dict[tuple[type, KeyTuple], Seen] = {}
        self._racing: tuple[type, tuple[str, ...]] | None = None
        self._raced: set[tuple[type, tuple[str, ...]]] = set()
        self._is_peeking = False

    # Reading

    @override
    async def stored(self, adapter: EntityAdapter[Any], key: KeyTuple) -> Row | None:
        kind = self._kinds[adapter.entity]
        name = kind.layout.document(kind.layout.member(key))
        document = await self._server.call("GET", name)
        if document is not None:
            return self._noted(kind, document)[1]
        if not self._is_peeking:
            self._seen[adapter.entity, key] = Seen()
        return None

    @override
    async def stored_rows(
        self,
        adapter: EntityAdapter[Any],
        where: Specification,
        orders: Sequence[Order],
        limit: int | None,
    ) -> Iterable[tuple[KeyTuple, Row]]:
        kind = self._kinds[adapter.entity]
        source, span = source_of(where, kind.layout), span_of(where, kind.layout)
        direction = direction_of(orders, adapter.key)
        if source is None:
            if not self._allow_scan:
                check_walk(where, orders, kind.layout)
            chunks = self._walk(kind.layout, span, limit, backward=direction < 0)
        else:
            members = [m for m in await self._members(source) if m in span]
            chunks = _chunks(sorted(members, reverse=direction < 0), limit)
        enough = limit if direction or not orders else None
        found: list[tuple[KeyTuple, Row]] = []
        async for chunk in chunks:
            rows = await self._fetch(kind, chunk)
            found += [(key, row) for key, row in rows if matches(where, row)]
            if enough is not None and len(found) >= enough:
                break
        return found

    @override
    async def holder(
        self, adapter: EntityAdapter[Any], rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        # A row that is about to be written must stay known as the verb has read it.
        self._is_peeking = True
        try:
            return await super().holder(adapter, rule, value)
        finally:
            self._is_peeking = False

    @override
    async def stored_holder(
        self, adapter: EntityAdapter[Any], rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        kind = self._kinds[adapter.entity]
        if any(map(is_nan, value)):
            return None
        holder = await self._server.call("GET", kind.layout.unique(rule, value))
        rows = [] if holder is None else await self._fetch(kind, [holder])
        return rows[0][0] if rows else None

    async def count_all(self, adapter: EntityAdapter[Any]) -> int:
        """Return how many documents of a class are stored."""
        name = self._kinds[adapter.entity].layout.keys
        return int(await self._server.call("ZCARD", name))

    async def _members(self, source: Source) -> set[bytes]:
        match source:
            case Members(found):
                return set(found)
            case Holders(names):
                holders = await self._server.call("MGET", *names)
                return {holder for holder in holders if holder is not None}
            case Every(names):
                return set(await self._server.call("SINTER", *names))
            case Some(names):
                return set(await self._server.call("SUNION", *names))
        members = [await self._members(part) for part in source.parts]
        return set[bytes]().union(*members)

    async def _walk(
        self, layout: Layout, span: Span, limit: int | None, *, backward: bool
    ) -> AsyncIterator[list[bytes]]:
        """Yield the keys in *span* in their order, a chunk at a time."""
        size = _CHUNK if limit is None else min(max(limit, 1), _CHUNK)
        low = b"[" + span.low if span.low else b"-"
        high = b"+" if span.high is None else b"(" + span.high
        while True:
            ends = (high, low, "BYLEX", "REV") if backward else (low, high, "BYLEX")
            chunk: list[bytes] = await self._server.call(
                "ZRANGE", layout.keys, *ends, "LIMIT", 0, size
            )
            yield chunk
            if len(chunk) < size:
                return
            beyond = b"(" + chunk[-1]
            low, high = (low, beyond) if backward else (beyond, high)
            size = _CHUNK

    async def _fetch(
        self, kind: Kind, members: Sequence[bytes]
    ) -> list[tuple[KeyTuple, Row]]:
        """Return the rows of *members*; what has gone meanwhile is left out."""
        if not members:
            return []
        names = [kind.layout.document(member) for member in members]
        documents = await self._server.call("MGET", *names)
        return [self._noted(kind, found) for found in documents if found is not None]

    def _noted(self, kind: Kind, document: bytes) -> tuple[KeyTuple, Row]:
        row = kind.documents.read(document)
        key = tuple(row[name] for name in kind.adapter.key)
        entity = kind.adapter.entity
        is_for_writing = not (self.read_only or self._is_peeking)
        if is_for_writing and not self.is_written(entity, key):
            self._seen[entity, key] = Seen(digest_of(document), row)
        return key, row

    # Writing

    @override
    async def next_id(self, adapter: EntityAdapter[Any]) -> int:
        name = self._kinds[adapter.entity].layout.last
        return int(await self._server.call("INCR", name))

    async def keep_id(self, adapter: EntityAdapter[Any], given: int) -> None:
        """Let generated keys go on from *given*; a rollback does not undo it."""
        if 0 < given < _LAST_ID:
            name = self._kinds[adapter.entity].layout.last
            await self._server.run(RAISE, [name], [given], commits=False)

    @contextmanager
    def expecting_race(
        self, adapter: EntityAdapter[Any], rule: UniqueRule
    ) -> Iterator[None]:
        """Take a collision under *rule*, here or at the commit, for a race.

        An upsert that found nothing would find it at the next attempt.
        """
        self._racing = (adapter.entity, rule.fields)
        self._raced.add(self._racing)
        try:
            yield
        finally:
            self._racing = None

    @override
    async def write(
        self,
        adapter: EntityAdapter[Any],
        key: KeyTuple,
        row: Row,
        old: Row | None = None,
    ) -> None:
        kind = self._kinds[adapter.entity]
        kind.layout.check(row)
        kind.documents.write(row)  # what can't be stored is refused here, not later
        await super().write(adapter, key, row, old)

    @override
    async def store(self, written: Layer) -> None:
        steps = Steps()
        for entity, rows in written.rows.items():
            for key, row in rows.items():
                seen = self._seen[entity, key]
                if row is not None or seen.row is not None:
                    steps.add(self._kinds[entity], key, seen, row)
        if not steps.documents:
            return
        names, values = steps.for_script(mark_of(self._prefix))
        reply = await self._server.run(COMMIT, names, values, commits=True)
        if reply[0] == b"changed":
            kind, key = steps.places[reply[1] - 1]
            self._refuse_changed(kind.adapter, self._seen[kind.adapter.entity, key])
        if reply[0] == b"taken":
            kind, rule, _ = list(steps.claims.values())[reply[1] - 1]
            self._refuse_taken(kind.adapter, rule)

    def _refuse_changed(self, adapter: EntityAdapter[Any], seen: Seen) -> NoReturn:
        if seen.row is None:
            self._refuse_taken(adapter, UniqueRule("primary key", adapter.key))
        if adapter.version:
            raise StaleDataError
        raise _lost_race(adapter)

    def _refuse_taken(self, adapter: EntityAdapter[Any], rule: UniqueRule) -> NoReturn:
        if (adapter.entity, rule.fields) in self._raced:
            raise _lost_race(adapter)
        self.refuse(adapter, rule)

    @override
    def refuse(self, adapter: EntityAdapter[Any], rule: UniqueRule) -> NoReturn:
        if (adapter.entity, rule.fields) == self._racing:
            error = _lost_race(adapter)
            self.doom(error)
            raise error
        super().refuse(adapter, rule)

    @override
    async def _release(self) -> None:
        await super()._release()
        self._seen, self._raced = {}, set()


def _lost_race(adapter: EntityAdapter[Any]) -> ConflictError:
    return ConflictError(
        f"another unit of work has written the same {adapter.name} meanwhile, and "
        "nothing of this one is stored: run it again",
        kind="serialization",
    )


async def _chunks(
    members: list[bytes], limit: int | None
) -> AsyncIterator[list[bytes]]:
    size = _CHUNK if limit is None else min(max(limit, 1), _CHUNK)
    start = 0
    while start < len(members):
        yield members[start : start + size]
        start, size = start + size, _CHUNK
