"""A transaction that writes into an overlay of rows, applied as a whole at the commit.

What lies under the overlay, tables in memory or documents elsewhere, is a subclass's.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from typing import Any, Final, NoReturn

from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    StaleDataError,
    UnitOfWorkError,
)
from layerkit.repository.entities.adapter import Adapter
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.filters.evaluate import matches, truth_of
from layerkit.repository.filters.specification import (
    ALL,
    Orders,
    Specification,
    key_in,
    keys_in,
)
from layerkit.repository.stores.overrides import refuse_accidents
from layerkit.repository.stores.tables import Layer, Row, Written, unique_value
from layerkit.repository.stores.tracking import Tracked, Tracking
from layerkit.unit_of_work import Transaction

_STEPS: Final = (
    *("stored", "stored_rows", "store", "stored_holder"),
    *("next_id", "claim", "end_statement", "_release"),
)
"""What a subclass writes; all else of its own has names of its own."""


class OverlayTransaction(Transaction):
    """Write into an overlay and read through it; nothing is stored before the commit.

    A subclass says by ``stored`` and ``stored_rows`` what lies under the overlay, and
    stores by ``store`` what was written. One that lets others wait takes its lock in
    ``claim``, and gives it back in ``_release``, when the unit has ended.

    Args:
        home: What the unit belongs to.
        read_only: True where writing is refused.

    Attributes:
        objects: What it has handed out.
    """

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_accidents(cls, _STEPS)

    def __init__(self, home: object, *, read_only: bool = False) -> None:
        super().__init__(home, read_only=read_only)
        self._layers = [Layer()]
        self.objects = Tracking()
        self.rows_written = 0
        self._looked_at: set[object] = set()
        self._is_flushing = False

    # What lies under the overlay

    @abstractmethod
    async def stored(self, adapter: Adapter, key: KeyTuple) -> Row | None:
        """Return the stored row at *key*, or None."""

    @abstractmethod
    async def stored_rows(
        self, adapter: Adapter, where: Specification, orders: Orders, limit: int | None
    ) -> Iterable[tuple[KeyTuple, Row]]:
        """Return stored rows with their keys: those that match *where*, or more.

        Args:
            adapter: What is known of the entity class.
            where: The filter.
            orders: What the rows will be sorted by.
            limit: How many are enough: the first ones by *orders*; None for all.
        """

    @abstractmethod
    async def store(self, written: Written) -> None:
        """Store what the transaction has written, all or nothing.

        Args:
            written: What was written, each row once; empty where nothing was.

        Raises:
            ConflictError: Another unit was faster; its ``kind`` is "serialization"
                where the same may pass at the next attempt.
        """

    async def stored_holder(
        self, adapter: Adapter, rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        """Return the key of the stored row that holds *value* under *rule*, or None.

        Looks at every stored row; a store with an index of unique values has better.
        """
        stored = await self.stored_rows(adapter, ALL, (), None)
        held = (key for key, row in stored if unique_value(row, rule) == value)
        return next(held, None)

    async def next_id(self, adapter: Adapter) -> int:
        """Return the next generated key, which no rollback has to give back.

        A row is written there without a look at what is stored. The default goes
        through every row, as the one that writes; a store that can count has better.
        """
        await self.claim()  # else another unit would find the same one
        keys: list[int] = [key[0] for key, _ in await self.rows(adapter, ALL)]
        return max([0, *keys]) + 1

    async def claim(self) -> None:
        """Become one that writes; called before each look at what is to be written.

        Raises:
            UnitOfWorkError: The unit is read-only.
        """
        if self.read_only:
            raise UnitOfWorkError("an entity was changed in a read-only unit of work")

    async def end_statement(self) -> None:
        """Do what a statement leaves to its end: what refers to lost rows, say.

        Raises:
            AppException: The statement is refused.
        """

    # Rows

    @property
    def top(self) -> Layer:
        """What is being written, since the innermost savepoint."""
        return self._layers[-1]

    async def row(self, adapter: Adapter, key: KeyTuple) -> Row | None:
        """Return the row at *key* as this transaction sees it."""
        await self._look_at_one(adapter, key)
        for layer in reversed(self._layers):
            written = layer.rows.get(adapter.entity, {})
            if key in written:
                return written[key]
        return await self.stored(adapter, key)

    def is_written(self, entity: type, key: KeyTuple) -> bool:
        """Tell whether the transaction has written or deleted the row at *key*."""
        return any(key in layer.rows.get(entity, {}) for layer in self._layers)

    async def rows(
        self,
        adapter: Adapter,
        where: Specification,
        orders: Orders = (),
        limit: int | None = None,
    ) -> list[tuple[KeyTuple, Row]]:
        """Return what this transaction sees of what matches *where*, with keys.

        Args:
            adapter: What is known of the entity class.
            where: The filter.
            orders: What the rows will be sorted by.
            limit: How many are enough: the first ones by *orders*; None for all.
        """
        if (found := key_in(where, adapter.key)) is not None:
            key, rest = found
            row = await self.row(adapter, key)
            return [] if row is None or not matches(rest, row) else [(key, row)]
        await self._look_where(adapter, where)
        written = self.written(adapter.entity)
        enough = None if limit is None else limit + len(written)  # it may hide as many
        stored = await self.stored_rows(adapter, where, orders, enough)
        under = ((key, row) for key, row in stored if key not in written)
        over = ((key, row) for key, row in written.items() if row is not None)
        is_meant = truth_of(where)
        return [(k, row) for k, row in chain(under, over) if is_meant(row)]

    async def holder(
        self, adapter: Adapter, rule: UniqueRule, value: KeyTuple
    ) -> KeyTuple | None:
        """Return the key of the row that holds *value* under *rule*, or None."""
        if rule.fields == adapter.key:
            return value if await self.row(adapter, value) is not None else None
        await self.look_for_holders(adapter)
        at = (adapter.entity, rule)
        holders = [layer.holders.get(at, {}).get(value) for layer in self._layers]
        holders.append(await self.stored_holder(adapter, rule, value))
        for key in holders:
            row = None if key is None else await self.row(adapter, key)
            if row is not None and unique_value(row, rule) == value:
                return key  # and no row that has given the value up since
        return None

    async def write(
        self, adapter: Adapter, key: KeyTuple, row: Row, old: Row | None = None
    ) -> None:
        """Put *row* at *key* in the overlay.

        Args:
            adapter: What is known of the entity class.
            key: Where.
            row: What is there from now on.
            old: What was there; the unique values that it holds need no look.

        Raises:
            AlreadyExistsError: A unique rule is taken: it is rollback-only.
            UnavailableError: Another transaction keeps writing.
        """
        await self.claim()
        for rule in adapter.unique:
            value = unique_value(row, rule)
            is_held = old is not None and unique_value(old, rule) == value
            if value is not None and not is_held:
                holder = await self.holder(adapter, rule, value)
                if holder not in (None, key):
                    self.refuse(adapter, rule)
        self._layers[-1].put(adapter.entity, key, row, adapter.unique)
        self.rows_written += 1
        if known := self.objects.get(adapter.entity, key):
            self.objects.refresh(known, row)

    async def remove(self, adapter: Adapter, key: KeyTuple) -> None:
        """Delete the row at *key* in the overlay."""
        await self.claim()
        self._layers[-1].rows.setdefault(adapter.entity, {})[key] = None
        self.rows_written += 1
        self.objects.forget(adapter.entity, key)

    def refuse(
        self,
        adapter: Adapter,  # noqa: ARG002 - what a subclass may go by
        rule: UniqueRule,
    ) -> NoReturn:
        """Mark the unit rollback-only, as a server does, and raise what is taken.

        Raises:
            AlreadyExistsError: Always.
        """
        error = AlreadyExistsError(constraint=rule.name, fields=rule.fields)
        self.mark_rollback_only(error)
        raise error

    def written(self, entity: type) -> Mapping[KeyTuple, Row | None]:
        """Return what is written of a class so far; None is a deleted row."""
        if len(self._layers) == 1:
            return self._layers[0].rows.get(entity, {})
        merged: dict[KeyTuple, Row | None] = {}
        for layer in self._layers:
            merged.update(layer.rows.get(entity, {}))
        return merged

    # Objects

    @override
    def unwritten(self) -> int:
        return sum(len(known.changes()) for known in self.objects.suspects())

    @override
    @contextmanager
    def verb(self, name: str, *, writes: bool) -> Iterator[None]:
        with super().verb(name, writes=writes):
            self._looked_at.clear()  # since then the caller may have changed anything
            yield

    async def look(self, entity: type | None = None) -> None:
        """Write what the caller has changed on objects, so that the verb sees it.

        Whatever a verb depends on is looked at before it, once, and all else at the
        commit: so the cost of a verb does not grow with what it has nothing to do with.
        One that goes by a key depends on that object; one that goes by another filter,
        or by a unique value, on all of the class.

        Args:
            entity: The class of the objects; None for all.

        Raises:
            AppException: As for ``flush``.
        """
        if self._is_flushing or not self._looked_at.isdisjoint((entity, None)):
            return
        self._looked_at.add(entity)
        suspects = self.objects.suspects(entity)
        if entity is not None and any(map(_reaches_others, suspects)):
            await self.look()
        elif suspects:
            await self._flush(suspects)

    async def look_for_holders(self, adapter: Adapter) -> None:
        """Do what ``look`` does if who holds a unique value may have changed."""
        looked_at = (adapter.entity, adapter, None)
        if not self._is_flushing and self._looked_at.isdisjoint(looked_at):
            self._looked_at.add(adapter)
            if self.objects.may_collide(adapter):
                await self.look(adapter.entity)

    async def _look_at_one(self, adapter: Adapter, key: KeyTuple) -> None:
        known = self.objects.get(adapter.entity, key)
        if known is not None and known.may_have_changed():
            if _reaches_others(known):
                await self.look()
            elif not self._is_flushing:
                await self._flush([known])

    async def _look_where(self, adapter: Adapter, where: Specification) -> None:
        keys = keys_in(where, adapter.key)
        if keys is None:
            await self.look(adapter.entity)
        for key in keys or ():
            await self._look_at_one(adapter, key)

    async def flush(self) -> None:
        """Write what the caller has changed on tracked objects.

        Raises:
            ValidationError: A value of the wrong type, a null where none may be, or a
                field of the scope that the object was read in.
            UsageError: The key of an object was changed.
            StaleDataError: Another unit has removed the row, or moved its version on.
            AppException: What ``write`` refuses; the transaction is rollback-only.
        """
        await self._flush(self.objects.everything())

    async def _flush(self, suspects: Sequence[Tracked]) -> None:
        before, self._is_flushing = self.rows_written, True
        try:
            checked = [(known, known.checked_changes()) for known in suspects]
            for known, changes in checked:
                if changes:
                    await self._write_changes(known, changes)
            await self.end_statement()
        except AppException as error:
            # As a server does with a statement that failed.
            self.mark_rollback_only(error)
            raise
        finally:
            self._is_flushing = False
        self.rows_written = before  # these are complete, whatever the verb does next

    async def _write_changes(self, known: Tracked, changes: Row) -> None:
        adapter, key = known.adapter, known.key
        await self.claim()  # before the look: others may be writing until then
        row, version = await self.row(adapter, key), adapter.version
        if row is None or (version and row[version] != known.row[version]):
            raise StaleDataError(kind="serialization")
        fresh = adapter.rewritten(row, changes)
        await self.write(adapter, key, fresh, row)
        self.writes += len(changes)

    # The steps of a home

    @override
    async def _begin(self) -> None:
        await asyncio.sleep(0)

    @override
    async def _commit(self) -> None:
        await asyncio.sleep(0)
        await self.flush()
        await self.store(self._layers[0].rows)
        self._layers = [Layer()]

    @override
    async def _rollback(self) -> None:
        await asyncio.sleep(0)
        self._layers = [Layer()]
        if not self.may_be_stored:  # else what was generated may be in use
            self.objects.give_back()

    @override
    async def _release(self) -> None:
        self.objects = Tracking()

    @override
    @asynccontextmanager
    async def _savepoint(self) -> AsyncIterator[None]:
        with self.verb("savepoint", writes=False):
            await asyncio.sleep(0)
            await self.look()
        self.objects.mark()
        self._layers.append(Layer())
        try:
            yield
            self._looked_at.clear()
            await self.look()
        except BaseException:
            undone = self._layers.pop()
            for later in self.objects.undo():
                await self._bring_back(later, undone)
            raise
        self.objects.release()
        top = self._layers.pop()
        self._layers[-1].absorb(top)

    async def _bring_back(self, known: Tracked, undone: Layer) -> None:
        """Let an object hold what is stored, now that *undone* no longer counts."""
        adapter, key = known.adapter, known.key
        is_undone = key in undone.rows.get(adapter.entity, {})
        row = await self.row(adapter, key) if is_undone else known.row
        if row is None:
            self.objects.forget(adapter.entity, key)
        else:
            self.objects.refresh(known, row)


def _reaches_others(known: Tracked) -> bool:
    """Tell whether what has changed may be in the way of others, or take them along."""
    return not known.adapter.linked.isdisjoint(known.changes())
