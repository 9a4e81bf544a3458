"""The statements of one mapped class, without a session to run them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, Final, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import undefer
from sqlalchemy.orm.interfaces import ORMOption

from layerkit.repository import (
    ALL,
    Aggregation,
    And,
    Comparison,
    Inc,
    KeyTuple,
    Order,
    Specification,
    UniqueRule,
)
from layerkit.repository.entities.checks import keyed
from layerkit.sql.aggregates import AggregateQuery, spread_over
from layerkit.sql.compile import condition, is_sent_whole, ordering
from layerkit.sql.deletes import tables_of, target_of
from layerkit.sql.dialects import Server, server_of
from layerkit.sql.dialects.numbers import as_single
from layerkit.sql.entities import MappedAdapter
from layerkit.sql.forms import Compared, rounding

T = TypeVar("T")

_MOST_ORDERS: Final = 64
_SMALL: Final = 2**15


def sum_of(
    adapter: MappedAdapter[Any], name: str, amount: Any, server: Server
) -> sa.ColumnElement[Any]:
    """Return a sum as it is stored, which a server refuses where it does not fit.

    Args:
        adapter: What is known of the class.
        name: The field that *amount* is added to.
        amount: A number, or a column of what an upsert brings.
        server: What is known of the server.
    """
    column, info = adapter.columns[name], adapter.fields[name]
    total: sa.ColumnElement[Any] = column + amount
    if info.limits.single and server.widens_singles:
        total = as_single(total)
    return server.sum(column, total, info.limits.ends(info.kind))


class Queries(Generic[T]):
    """Write statements for the dialect of the open unit.

    Args:
        adapter: What is known of the mapped class.
        dialect: Returns the dialect of the database that the class lives in.
        load: Loader options for every statement that returns objects.

    Attributes:
        options: All loader options of such a statement.
        attributes: The mapped attributes of columns by name.
        key: Those of the key.
    """

    def __init__(
        self,
        adapter: MappedAdapter[T],
        dialect: Callable[[], sa.Dialect],
        load: Sequence[ORMOption],
    ) -> None:
        self.adapter = adapter
        self._asked_dialect = dialect
        self.options: Final = tuple(load)
        self.attributes: Final = adapter.attributes
        self.key: Final = [self.attributes[name] for name in adapter.key]
        self._by_orders: dict[tuple[Order, ...], sa.Select[T]] = {}
        self._version = adapter.version if adapter.counts_by_one else None

    @cached_property
    def dialect(self) -> sa.Dialect:
        """The dialect, asked for when it is needed first."""
        return self._asked_dialect()

    @cached_property
    def server(self) -> Server:
        """What is known of the server."""
        return server_of(self.dialect)

    @cached_property
    def _compared(self) -> dict[str, Compared]:
        attributes = self.attributes.items()
        return {name: Compared(column, self.server) for name, column in attributes}

    @cached_property
    def rounded(self) -> dict[str, Callable[[Any], bool]]:
        """What tells of each field whether another value may be read of it."""
        columns, dialect = self.adapter.columns.items(), self.dialect
        found = {name: rounding(column.type, dialect) for name, column in columns}
        return {name: is_rounded for name, is_rounded in found.items() if is_rounded}

    def returns_keys(self, statement: sa.Update | sa.Delete) -> bool:
        """Tell whether *statement* can return keys that objects are found by."""
        dialect = self.dialect
        if isinstance(statement, sa.Update):
            can = dialect.update_returning
        else:
            can = dialect.delete_returning
        return can and self.goes_by_key

    @cached_property
    def goes_by_key(self) -> bool:
        """True where keys are read as they were given: objects are found by them."""
        return all(
            isinstance(self.adapter.columns[name].type, sa.Integer)
            or name not in self.rounded
            for name in self.adapter.key
        )

    @cached_property
    def _reading(self) -> sa.Select[T]:
        return sa.select(self.adapter.entity).options(*self.options)

    def select(self, where: Specification = ALL) -> sa.Select[T]:
        """Return a SELECT of what matches *where*, with all loader options."""
        if where == ALL:
            return self._reading
        return self._reading.where(self.condition(where))

    def select_one(self, key: KeyTuple) -> sa.Select[T]:
        """Return a SELECT of what has *key*."""
        return self.select(keyed(self.adapter, key))

    def page(
        self, where: Specification, orders: Sequence[Order], skip: int, limit: int
    ) -> sa.Select[T]:
        """Return a SELECT of a part of what matches *where*."""
        statement = self._sorted(tuple(orders)).limit(limit)
        if where != ALL:
            statement = statement.where(self.condition(where))
        return statement.offset(skip) if skip else statement

    def _sorted(self, orders: tuple[Order, ...]) -> sa.Select[T]:
        """Return a SELECT of everything, sorted; the last ones are kept."""
        found = self._by_orders.get(orders)
        if found is not None:
            return found
        if len(self._by_orders) == _MOST_ORDERS:
            self._by_orders.clear()
        statement = self.undeferred(self._reading, [o.field for o in orders])
        terms = ordering(orders, self._compared, self.adapter.nullable)
        return self._by_orders.setdefault(orders, statement.order_by(*terms))

    def undeferred(self, statement: sa.Select[T], names: Iterable[str]) -> sa.Select[T]:
        """Return *statement* so that it loads columns that are deferred elsewhere."""
        deferred = self.adapter.deferred
        late = [undefer(self.attributes[n]) for n in names if n in deferred]
        for option in late:
            option.propagate_to_loaders = False  # it does not stay on what is loaded
        return statement.options(*late) if late else statement

    def count(self, where: Specification, cap: int | None) -> sa.Select[int]:
        """Return a SELECT of how many match *where*, *cap* at most."""
        rows = sa.select(*self.key).where(self.condition(where))
        if cap is not None:
            rows = rows.limit(cap)
        return sa.select(sa.func.count()).select_from(rows.subquery())

    def aggregate(self, where: Specification, wanted: Aggregation) -> AggregateQuery:
        """Return the query for what is *wanted* of what matches *where*."""
        condition = self.condition(where)
        entity, columns = self.adapter.entity, self._compared
        return AggregateQuery(wanted, entity, columns, condition, self.server)

    def spreads(self, wanted: Aggregation) -> bool:
        """Tell whether figures that are *wanted* are read row by row, by a cursor."""
        return bool(spread_over(wanted, self._compared, self.server))

    def exists(self, where: Specification, *, now: bool = False) -> sa.Select[int]:
        """Return a SELECT of one row, *now*, that matches *where*, if any."""
        statement = sa.select(1).select_from(self.adapter.entity)
        statement = statement.where(self.condition(where)).limit(1)
        snapshots = now and self.server.reads_snapshots
        return statement.with_for_update(read=True) if snapshots else statement

    def grouped(self, rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """Yield *rows*, to be inserted, so that those with the same columns are one.

        Keys that the database counts, and rows that refer to others of their table,
        need the order as it is given.
        """
        tables = tables_of(self.adapter.mapper)
        targets = {target_of(key) for table in tables for key in table.foreign_keys}
        refers = not targets.isdisjoint(table.fullname for table in tables)
        keyed = all(row.keys() >= set(self.adapter.key) for row in rows)
        if keyed and not refers:
            shapes: dict[frozenset[str], int] = {}
            rows = sorted(
                rows, key=lambda row: shapes.setdefault(frozenset(row), len(shapes))
            )
        for _, alike in groupby(rows, key=lambda row: row.keys()):
            yield list(alike)

    def update(self, changes: Mapping[str, Any]) -> sa.Update:
        """Return an UPDATE that makes *changes* and moves the version on."""
        values = {
            name: sum_of(self.adapter, name, value.amount, self.server)
            if isinstance(value, Inc)
            else value
            for name, value in self.adapter.touching(changes).items()
        }
        if self._version is not None:
            values[self._version] = self.attributes[self._version] + 1
        return sa.update(self.adapter.entity).values(values)

    def adds_narrow(self, changes: Mapping[str, Any]) -> bool:
        """Tell whether a sum has fewer bytes than the column, a REAL on MariaDB say."""
        fields = self.adapter.fields
        return self.server.widens_singles and any(
            isinstance(value, Inc) and fields[name].limits.single
            for name, value in changes.items()
        )

    def condition(self, where: Specification) -> sa.ColumnElement[bool]:
        """Return *where* in SQL."""
        return condition(where, self._compared)

    def has_key(self, key: KeyTuple) -> sa.ColumnElement[bool]:
        """Return the condition that a row has *key*."""
        return self.condition(keyed(self.adapter, key))

    def sends_whole(self, key: KeyTuple) -> bool:
        """Tell whether the session's own comparison with *key* means the same."""
        if len(key) == 1 and type(key[0]) is int and abs(key[0]) < _SMALL:
            return self._sends_numbers
        return self._sends_whole(key)

    @cached_property
    def _sends_numbers(self) -> bool:  # most keys are such, and all alike
        return self._sends_whole((0,))

    def _sends_whole(self, key: KeyTuple) -> bool:
        pairs = zip(self.adapter.key, key, strict=True)
        return all(is_sent_whole(self._compared[name], v) for name, v in pairs)

    def holds(
        self, values: Mapping[str, Any], rule: UniqueRule
    ) -> sa.ColumnElement[bool]:
        """Return the condition that a row takes *values* by a unique rule."""
        held = [Comparison(name, "eq", values[name]) for name in rule.fields]
        where = ALL if rule.where is None else rule.where
        return self.condition(And((*held, where)))
