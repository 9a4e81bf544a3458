"""RedisDatabase: entities as JSON documents in Redis or Valkey."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic

from redis.asyncio import Redis
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError
from layerkit.redis.keyspace import Keyspace
from layerkit.redis.plans import check_plan, reindex
from layerkit.redis.server import Server
from layerkit.redis.transaction import RedisTransaction
from layerkit.repository import (
    ALL,
    Backend,
    EntityAdapter,
    Home,
    Specification,
    UniqueRule,
    adapter_for,
)
from layerkit.repository.base import T
from layerkit.repository.entities.fields import KeyTuple
from layerkit.repository.stores.backend import Upsert
from layerkit.repository.stores.homes import check_loop, check_port
from layerkit.repository.stores.tables import Row
from layerkit.repository.stores.verbs import OverlayBackend
from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork
from layerkit.unit_of_work.shield import COMMIT_TIMEOUT_SECONDS

E = TypeVar("E")
R = TypeVar("R")

_RESERVED: Final = frozenset("{}\0\r\n")


class RedisDatabase(Home):
    """Keep entities in Redis or Valkey, as JSON documents with indexes beside them.

    A unit of work reads what is committed, keeps what it writes to itself, and stores
    all of it at the commit by one script: first a look whether every document that it
    read and changed is still the same, and every unique value free; then all writes, or
    none. So nothing is locked: of two units that read and change one document, the
    second raises a ConflictError, or StaleDataError where the entity counts versions;
    both are ``retryable``. A verb outside of a unit is repeated automatically instead.

    A read sees each document as it was at some moment of the call. Keys, unique fields
    and fields marked ``Indexed()`` are looked up by index; what no index serves is
    refused. All keys have the hash tag ``{prefix}``: a home lives in one slot of a
    cluster, since a script does, and another prefix in another.

    The server must keep what it is given: set ``appendonly yes``, and a
    ``maxmemory-policy`` of ``noeviction``.

    Args:
        client: A client of redis-py, with any ``decode_responses``. It stays the
            caller's, to close too.
        prefix: What every key begins with, in braces. Applications that share a server
            take one each, or they share their entities too.
        allow_scan: True lets a filter or an order without an index read every document
            of the class.
        cursor_secret: What cursors of pages are signed with; left out, each process
            makes a key of its own.
        commit_timeout_seconds: How long a commit waits for the server, cancelled or
            not; then its connection is dropped, and the unit may be stored.

    Raises:
        UsageError: *client* is no asynchronous client, or has a port that there is not,
            or *prefix* is empty or has braces or line ends.
    """

    optimistic = True

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "layerkit",
        allow_scan: bool = False,
        cursor_secret: str | bytes | None = None,
        commit_timeout_seconds: float = COMMIT_TIMEOUT_SECONDS,
    ) -> None:
        given: object = client
        if not isinstance(given, Redis):
            raise UsageError(
                "a RedisDatabase is made from a redis.asyncio.Redis, got a "
                f"{type(given).__module__}.{type(given).__name__}"
            )
        if not prefix or _RESERVED & set(prefix):
            raise UsageError(
                f"prefix={prefix!r} names no keys: give it one or more characters, "
                "none of them a brace or a line end"
            )
        check_port(client.connection_pool.connection_kwargs.get("port"))
        self._set_cursor_secret(cursor_secret)
        self._set_commit_timeout(commit_timeout_seconds)
        self._keyspace = Keyspace(Server(client), prefix, allow_scan)

    async def ping(self) -> None:
        """Make sure that the server answers.

        Raises:
            UnavailableError: It can't be reached.
            TimeoutExceededError: It does not answer in time.
        """
        self._check_loop()
        await self._keyspace.server.call("PING")

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return UnitOfWork(
            lambda: self.transaction() or self._new(read_only=read_only), events=events
        )

    def _check_loop(self) -> None:
        server = self._keyspace.server
        check_loop(server.pool, server.is_connected, type(self).__name__)

    @override
    def backend(self, adapter: EntityAdapter[E]) -> Backend[E]:
        self._keyspace.kind(adapter)
        return RedisBackend(adapter)

    async def reindex(self, model_class: type[Any]) -> int:
        """Rebuild the indexes of a class, and return how many documents it has.

        To be run once after the class was given another ``Indexed()`` or ``Unique()``,
        or lost one; until then its repositories refuse to work. Every document is read
        and written, one at a time. From its beginning a process that has the older
        class can't write it any more; stop those that only read it.

        Raises:
            AlreadyExistsError: Two documents break a unique rule that is new; change
                one with the older class, and run it again.
        """
        self._check_loop()
        return await reindex(self._keyspace, adapter_for(model_class))

    @override
    def _reading(self) -> Transaction:
        return self._new(read_only=True)

    def _new(self, *, read_only: bool) -> RedisTransaction:
        self._check_loop()
        transaction = RedisTransaction(self, self._keyspace, read_only=read_only)
        transaction.commit_timeout_seconds = self._commit_timeout_seconds
        return transaction


class RedisBackend(OverlayBackend[T, RedisTransaction], Generic[T]):
    """Store entities of one class in a RedisDatabase.

    Args:
        adapter: What is known of the entity class.
    """

    @override
    async def run(
        self,
        unit: RedisTransaction,
        verb: str,
        work: Callable[[RedisTransaction], Awaitable[R]],
        *,
        writes: bool,
    ) -> R:
        async def checked(unit: RedisTransaction) -> R:
            await check_plan(unit.keyspace, self.adapter, writes=writes)
            return await work(unit)

        return await super().run(unit, verb, checked, writes=writes)

    @override
    async def count(
        self,
        unit: RedisTransaction,
        where: Specification,
        cap: int | None,
        *,
        now: bool = False,
    ) -> int:
        await unit.look(self.adapter.entity)
        if where != ALL or unit.written(self.adapter.entity):
            return await super().count(unit, where, cap, now=now)
        found = await unit.count_all(self.adapter)
        return found if cap is None else min(found, cap)

    @override
    async def _upsert(
        self,
        unit: RedisTransaction,
        item: Upsert[T],
        rule: UniqueRule,
        where: Specification,
    ) -> T | None:
        await unit.look(self.adapter.entity)  # which is no race
        with unit.racing(rule):
            return await super()._upsert(unit, item, rule, where)

    @override
    async def _insert(
        self, unit: RedisTransaction, entity: T, given: Row
    ) -> tuple[KeyTuple, Row]:
        key, row = await super()._insert(unit, entity, given)
        name = self.adapter.integer_key
        if name is not None and given.get(name) is not None:
            await unit.keep_id(self.adapter, row[name])
        return key, row
