"""A unit of work on Redis: read at once, written by one script at the commit."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from typing_extensions import override

from layerkit.core.errors import ConflictError, StaleDataError
from layerkit.redis.keyspace import Keyspace
from layerkit.redis.layout import is_nan
from layerkit.redis.lookup import chunked, members_of, walk
from layerkit.redis.planner import check_walk, direction_of, source_of, span_of
from layerkit.redis.server import COMMIT, RAISE
from layerkit.redis.steps import Kind, Seen, Steps, digest_of, mark_of
from layerkit.repository import EntityAdapter, Order, Specification, UniqueRule
from layerkit.repository.entities.fields import KeyTuple
from layerkit.repository.filters.evaluate import truth_of
from layerkit.repository.stores.overlay import OverlayTransaction
from layerkit.repository.stores.tables import Row, Written

_LAST_ID: Final = 2**63 - 1
"""The last one that Redis counts to."""


class RedisTransaction(OverlayTransaction):
    """Read what is committed, keep what is written, store it by one script.

    Args:
        home: The database.
        keyspace: What is known of its keys.
        read_only: True where writing is refused.
    """

    needs_loop = True

    def __init__(self, home: object, keyspace: Keyspace, *, read_only: bool) -> None:
        super().__init__(home, read_only=read_only)
        self.keyspace = keyspace
        self._server = keyspace.server
        self._kinds = keyspace.kinds
        self._seen: dict[tuple[type, KeyTuple], Seen] = {}
        self._racing: tuple[str, ...] | None = None
        self._raced: set[tuple[type, tuple[str, ...], bytes]] = set()
        self._is_peeking = False

    # Reading

    @override
    async def stored(self, adapter: EntityAdapter[Any], key: KeyTuple) -> Row | None:
        kind = self._kinds[adapter.entity]
        member = kind.layout.member(key)
        document = await self._server.call("GET", kind.layout.document(member))
        if document is not None:
            return self._noted(kind, member, document)[1]
        self._note(adapter.entity, key, None, None)
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
            if not self.keyspace.allow_scan:
                check_walk(where, orders, kind.layout)
            keys = kind.layout.keys
            chunks = walk(self._server, keys, span, limit, backward=direction < 0)
        else:
            members = await members_of(self._server, source)
            inside = (member for member in members if member in span)
            chunks = chunked(sorted(inside, reverse=direction < 0), limit)
        enough = limit if direction or not orders else None
        found: list[tuple[KeyTuple, Row]] = []
        is_meant = truth_of(where)
        async for chunk in chunks:
            rows = await self._fetch(kind, chunk)
            found += [(key, row) for key, row in rows if is_meant(row)]
            if enough is not None and len(found) >= enough:
                break
        return found

    @override
    async def holder(
        self, adapter: EntityAdapter[Any], rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        await self.look_for_holders(adapter)  # what it writes is not peeked at
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

    async def _fetch(
        self, kind: Kind, members: Sequence[bytes]
    ) -> list[tuple[KeyTuple, Row]]:
        """Return the rows of *members*; what has gone meanwhile is left out."""
        if not members:
            return []
        names = [kind.layout.document(member) for member in members]
        documents = await self._server.call("MGET", *names)
        found = zip(members, documents, strict=True)
        return [self._noted(kind, *one) for one in found if one[1] is not None]

    def _noted(
        self, kind: Kind, member: bytes, document: bytes
    ) -> tuple[KeyTuple, Row]:
        key, row = kind.read(member, document)
        self._note(kind.adapter.entity, key, document, row)
        return key, row

    def _note(
        self, entity: type, key: KeyTuple, document: bytes | None, row: Row | None
    ) -> None:
        """Remember what is at *key*, unless it is only peeked at or written already."""
        if self.read_only or self._is_peeking or self.is_written(entity, key):
            return
        digest = "" if document is None else digest_of(document)
        known = self._seen.get((entity, key))
        is_overtaken = known is not None and (
            known.is_overtaken or known.digest != digest
        )
        self._seen[entity, key] = Seen(digest, row, is_overtaken)

    # Writing

    @override
    async def next_id(self, adapter: EntityAdapter[Any]) -> int:
        name = self._kinds[adapter.entity].layout.last
        made = int(await self._server.call("INCR", name))
        self._note(adapter.entity, (made,), None, None)  # the commit looks if it is so
        return made

    async def keep_id(self, adapter: EntityAdapter[Any], given: int) -> None:
        """Let generated keys go on from *given*; a rollback does not undo it."""
        if 0 < given < _LAST_ID:
            name = self._kinds[adapter.entity].layout.last
            await self._server.run(RAISE, [name], [given], commits=False)

    @contextmanager
    def racing(self, rule: UniqueRule) -> Iterator[None]:
        """Take a collision of what is written here under *rule* for a race.

        An upsert that found nothing would find it at the next attempt, whether it
        collides at once or at the commit.
        """
        self._racing = rule.fields
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
        if self._racing is not None:
            member = kind.layout.member(key)
            self._raced.add((adapter.entity, self._racing, member))

    @override
    async def store(self, written: Written) -> None:
        steps = Steps()
        for entity, rows in written.items():
            kind = self._kinds[entity]
            steps.expect_plan(kind)
            for key, row in rows.items():
                seen = self._seen[entity, key]
                if seen.is_overtaken:
                    raise _overtaken(kind.adapter)
                if row is not None or seen.row is not None:
                    steps.add(kind, key, seen, row)
        if not steps.writes:
            return
        names, values = steps.for_script(mark_of(self.keyspace.prefix))
        self.may_be_stored = True
        reply = await self._server.run(COMMIT, names, values, commits=True)
        self.may_be_stored = reply[0] not in {b"changed", b"taken"}
        if reply[0] == b"changed":
            kind, key = steps.places[reply[1] - 1]
            self._refuse_changed(kind, key)
        if reply[0] == b"taken":
            kind, rule, member = list(steps.claims.values())[reply[1] - 1]
            self._refuse_taken(kind, rule, member)

    def _refuse_changed(self, kind: Kind, key: KeyTuple | None) -> NoReturn:
        adapter = kind.adapter
        if key is None:
            self.keyspace.planned.discard(
                adapter.entity
            )  # to look again at the next attempt
            raise ConflictError(
                f"the indexes of {adapter.name} have been rebuilt or removed "
                "meanwhile, and nothing of this unit of work is stored: run it again",
                kind="serialization",
            )
        if self._seen[adapter.entity, key].row is None:
            rule = UniqueRule("primary key", adapter.key)
            self._refuse_taken(kind, rule, kind.layout.member(key))
        raise _overtaken(adapter)

    def _refuse_taken(self, kind: Kind, rule: UniqueRule, member: bytes) -> NoReturn:
        if (kind.adapter.entity, rule.fields, member) in self._raced:
            raise _lost_race(kind.adapter)
        self.refuse(kind.adapter, rule)

    @override
    def refuse(self, adapter: EntityAdapter[Any], rule: UniqueRule) -> NoReturn:
        if rule.fields == self._racing:
            error = _lost_race(adapter)
            self.mark_rollback_only(error)
            raise error
        super().refuse(adapter, rule)

    @override
    async def _release(self) -> None:
        await super()._release()
        self._seen, self._raced = {}, set()


def _overtaken(adapter: EntityAdapter[Any]) -> ConflictError:
    """Return the error of a unit that writes what another has written meanwhile."""
    if adapter.version:
        return StaleDataError(kind="serialization")
    return _lost_race(adapter)


def _lost_race(adapter: EntityAdapter[Any]) -> ConflictError:
    return ConflictError(
        f"another unit of work has written the same {adapter.name} meanwhile, and "
        "nothing of this one is stored: run it again",
        kind="serialization",
    )
