"""INSERT that changes what is there already: ON CONFLICT, and MySQL's way of it.

MySQL returns nothing of it, so what it has left undone is done after it.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import groupby
from typing import Any, Final, Generic, TypeAlias, TypeVar

import sqlalchemy as sa

from layerkit.core.errors import AlreadyExistsError
from layerkit.repository import Inc, Specification, UniqueRule, Upsert
from layerkit.repository.filters.evaluate import matches
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.objects import Objects
from layerkit.sql.queries import Queries, sum_of

T = TypeVar("T")

Row: TypeAlias = dict[str, Any]

_MOST_BINDS: Final = 30_000
_MOST_ROWS: Final = 1_000


class Upserts(Generic[T]):
    """Write upserts of one entity class.

    Args:
        queries: Knows the mapped class, and whose statements to write.
        rule: What decides whether an entity is there already.
        seen: Which of those that are there may be changed.

    Attributes:
        rule: As given.
        seen: As given.
        returns: True where the statement can return what it has written; it returns
            nothing for what *where* keeps from being changed.
    """

    def __init__(
        self, queries: Queries[T], rule: UniqueRule, seen: Specification
    ) -> None:
        self.rule, self.seen = rule, seen
        self._adapter, self._server = queries.adapter, queries.server
        self._where = queries.condition(seen)
        self._held = None if rule.where is None else queries.condition(rule.where)
        self.returns = self._server.returns_upserts

    def groups(
        self, items: Sequence[Upsert[T]]
    ) -> Iterator[tuple[list[Upsert[T]], list[Row]]]:
        """Yield *items*, and their rows, in groups that one statement can write."""
        rows = [(item, self._adapter.inserted(item.entity)) for item in items]
        for (written, *_), group in groupby(rows, key=_columns):
            alike = list(group)
            size = min(_MOST_ROWS, _MOST_BINDS // max(1, len(written)))
            for start in range(0, len(alike), size):
                part = alike[start : start + size]
                yield [item for item, _ in part], [row for _, row in part]

    def statement(self, changed: Mapping[str, Any]) -> sa.Insert:
        """Return the statement for rows of which each sets the fields of *changed*."""
        if self.returns:
            return self._on_conflict(changed, self._adapter.entity)
        return self._on_duplicate_key(changed)

    def for_rows(self, changed: Mapping[str, Any], *, returning: bool) -> sa.Insert:
        """Return what ``statement`` does for many rows, where it can return something.

        Args:
            changed: The fields that each row sets.
            returning: True returns the keys of what is written.
        """
        adapter = self._adapter
        statement = self._on_conflict(changed, adapter.target)
        keys = [adapter.columns[name] for name in adapter.key] if returning else []
        return statement.returning(*keys) if keys else statement

    def _on_conflict(
        self, changed: Mapping[str, Any], target: type[T] | sa.Table
    ) -> sa.Insert:
        statement: Any = self._server.insert(target)
        values = self._written(changed, statement.excluded)
        columns = [self._adapter.columns[name] for name in self.rule.fields]
        if not values:  # nothing to change, and yet the row is to be returned
            values = {column: statement.excluded[column.key] for column in columns}
        done: sa.Insert = statement.on_conflict_do_update(
            index_elements=columns,
            index_where=self._held,
            set_=values,
            where=self._where,
        )
        return done

    def _on_duplicate_key(self, changed: Mapping[str, Any]) -> sa.Insert:
        """Write for MySQL, which goes by any unique key, not by the rule's alone."""
        statement: Any = self._server.insert(self._adapter.entity)
        columns = [self._adapter.columns[name] for name in self.rule.fields]
        # Byte by byte: the unique key itself may fold case, and hold another value.
        same = (
            sa.cast(column, sa.LargeBinary)
            == sa.cast(statement.inserted[column.key], sa.LargeBinary)
            if isinstance(column.type, sa.String)
            else column == statement.inserted[column.key]
            for column in columns
        )
        may_change = sa.and_(self._where, *same)
        values = self._written(changed, statement.inserted)
        guarded: dict[str, Any] = {
            c.name: sa.func.if_(may_change, v, c) for c, v in values.items()
        }
        unchanged = {columns[0].name: columns[0]}
        done: sa.Insert = statement.on_duplicate_key_update(guarded or unchanged)
        return done

    def _written(
        self, changed: Mapping[str, Any], given: Mapping[str, Any] | Any
    ) -> dict[sa.Column[Any], Any]:
        """Return what an existing row gets: *changed*, version and stamps."""
        adapter = self._adapter
        values = {adapter.columns[n]: given[adapter.columns[n].key] for n in changed}
        for name, value in changed.items():
            if isinstance(value, Inc):  # each row has an amount of its own
                column, start = adapter.columns[name], adapter.start(name)
                added = values[column] - start if start else values[column]
                values[column] = sum_of(adapter, name, added, self._server)
        if values:
            values = adapter.touched() | values
        return values


def _columns(pair: tuple[Upsert[Any], Row]) -> tuple[Set[str], Set[str], list[str]]:
    """Return what an item and its row must have in common with others for a group."""
    item, row = pair
    added = [name for name, value in item.changes.items() if isinstance(value, Inc)]
    return row.keys(), item.changes.keys(), sorted(added)


async def ensure_all_stored(
    objects: Objects[T],
    items: Sequence[Upsert[T]],
    rule: UniqueRule,
    where: Specification,
) -> bool:
    """Make sure that all are stored; look again at those that seem not to be.

    Raises:
        AlreadyExistsError: As for ``ensure_stored``.
    """
    queries = objects.queries
    columns = [queries.attributes[n] for n in (*rule.fields, *items[0].changes)]
    rows = [objects.adapter.inserted(item.entity) for item in items]
    # By the collation, which finds more; what is found is compared exactly below.
    held = sa.tuple_(*columns[: len(rule.fields)]).in_(
        [tuple(row[name] for name in rule.fields) for row in rows]
    )
    seen = where if rule.where is None else where & rule.where
    statement = sa.select(*columns).where(held, queries.condition(seen))
    width = len(rule.fields)
    found = {  # what else a row holds may have no hash, as JSON
        tuple(row[:width]): tuple(row[width:])
        for row in await objects.session.execute(statement)
    }
    for item, row in zip(items, rows, strict=True):
        stored = found.get(tuple(row[name] for name in rule.fields))
        if stored == tuple(item.changes.values()):
            continue
        if await ensure_stored(objects, item, rule, where, is_last=False) is None:
            return False
    return True


async def ensure_stored(
    objects: Objects[T],
    item: Upsert[T],
    rule: UniqueRule,
    where: Specification,
    *,
    is_changed: bool = False,
    is_last: bool = True,
) -> T | None:
    """Make sure that the entity of an upsert that returns nothing is stored.

    MySQL goes by any unique key. Our statement changed nothing of a row that holds
    another one, and the one here runs into that row as any other would.

    Args:
        objects: Reads and changes them.
        item: The entity and its changes.
        rule: What decides whether it is there already.
        where: Which of those that are there may be changed.
        is_changed: True where the statement has surely changed a row.
        is_last: False where the statement has gone on to others, which may have given
            free what was in the way of this one.

    Raises:
        AlreadyExistsError: One after it has.
    """
    adapter, queries = objects.adapter, objects.queries
    held = adapter.inserted(item.entity)
    found = queries.select().where(queries.holds(held, rule))
    found = queries.undeferred(found, queries.attributes)
    stored = (await objects.read(found, "wait")).one_or_none()
    if stored is None:
        await objects.session.execute(sa.insert(adapter.entity).values(held))
        if not is_last:  # each is stored before the next, as by other databases
            raise AlreadyExistsError(fields=_may_be_taken(adapter, held, rule))
        return (await objects.read(found)).one_or_none()
    if not matches(where, adapter.values(stored)):
        return None
    wanted = item.changes
    if adds(item):
        # A sum tells nothing. What was left alone for the holder of another unique key
        # has other values of that key, which nothing but this statement could store.
        rules = (name for other in adapter.unique for name in other.fields)
        unique = {*adapter.key, *rules} - {*rule.fields}
        wanted = {n: held[n] for n in unique if held.get(n) is not None}
    if not is_changed and any(getattr(stored, n) != v for n, v in wanted.items()):
        return (await objects.change(found, item.changes))[0]
    return stored


def _may_be_taken(
    adapter: MappedAdapter[Any], held: Mapping[str, Any], taken: UniqueRule
) -> Iterator[str]:
    """Yield the fields of other unique rules than *taken* that *held* has values of."""
    for rule in adapter.unique:
        if rule != taken and None not in map(held.get, rule.fields):
            yield from rule.fields


def adds(item: Upsert[Any]) -> bool:
    """Tell whether *item* adds to a field of what is there."""
    return any(isinstance(value, Inc) for value in item.changes.values())
