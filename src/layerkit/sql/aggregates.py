"""Aggregates as one SELECT, with the same answer on every dialect.

What a dialect works out in its own way is selected in parts, and put together here:
SQLite has no decimals and no integers of more than 64 bits, MariaDB compares texts by a
collation that folds case and pads blanks, and PostgreSQL by one of the database's.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Double,
    Float,
    Select,
    String,
    TypeDecorator,
    cast,
    func,
    literal,
    select,
    type_coerce,
)

from layerkit.repository import Aggregation
from layerkit.repository.filters.aggregates import EXACT, MAX_GROUPS, How
from layerkit.sql.compile import Columns
from layerkit.sql.dialects import Server
from layerkit.sql.forms import Compared

Part: TypeAlias = tuple[Sequence[ColumnElement[Any]], Callable[..., Any]]
"""What is selected, and what makes a figure of it where nothing of it is null."""

_HALF: Final = 32
_LOW_HALF: Final = 2**_HALF - 1
_SCALE: Final = 2.0**-64


def spread_over(wanted: Aggregation, columns: Columns, server: Server) -> list[str]:
    """Return the fields whose values are added up here, each as often as it occurs."""
    return [
        name
        for name, kind in wanted.numbers.items()
        if issubclass(kind, Decimal)
        and (server.decimals_are_floats or isinstance(columns[name].column.type, Float))
    ]


class AggregateQuery:
    """Select the figures of groups, or of parts of groups.

    Args:
        wanted: What is asked for.
        entity: The mapped class.
        columns: Its columns, as the server compares them.
        condition: Which rows are added up (SQL ``WHERE``).
        server: What is known of the server.

    Attributes:
        statement: The SELECT.
        is_spread: True where it returns parts of groups, any number of them.
    """

    def __init__(
        self,
        wanted: Aggregation,
        entity: type[Any],
        columns: Columns,
        condition: ColumnElement[bool],
        server: Server,
    ) -> None:
        self._wanted, self._columns, self._server = wanted, columns, server
        self._spread = spread_over(wanted, columns, server)
        self._parts = [self._part(how, name) for how, name in wanted.measures]
        keys = [self._key(columns[name]) for name in wanted.by]
        shown = [shown for shown, _ in keys]
        parts = [column for selected, _ in self._parts for column in selected]
        statement = select(*shown, *parts).select_from(entity).where(condition)
        statement = statement.group_by(*(grouped for _, grouped in keys))
        statement = statement.group_by(*(columns[name].column for name in self._spread))
        self.is_spread = bool(self._spread)
        if keys and not self._spread:
            statement = statement.limit(MAX_GROUPS + 1)
        self.statement: Select[Any] = statement

    def partial(self, row: Sequence[Any]) -> tuple[tuple[Any, ...], list[Any]]:
        """Return the group of a *row* of the statement, and its figures."""
        at = len(self._wanted.by)
        by, figures = tuple(row[:at]), []
        for selected, made in self._parts:
            found = row[at : at + len(selected)]
            figures.append(None if None in found else made(*found))
            at += len(selected)
        return by, figures

    def _part(self, how: How, name: str) -> Part:
        if how == "count":
            return [func.count()], int
        compared = self._columns[name]
        if how == "filled":
            return [func.count(compared.column)], int
        if how == "sum":
            return self._sum(name, compared.column)
        return [self._extreme(how, compared)], lambda value: value

    def _sum(self, name: str, column: Any) -> Part:
        kind = self._wanted.numbers[name]
        if name in self._spread:
            return [column, func.count()], EXACT.multiply
        if kind is int and self._server.has_64_bits:
            halves = column.bitwise_rshift(_HALF), column.bitwise_and(_LOW_HALF)
            sums = [func.sum(half) for half in halves]
            return sums, lambda high, low: (high << _HALF) + low
        if kind is float and self._server.loses_great_sums:
            scaled = column * literal(_SCALE, Double())
            return [func.sum(scaled)], lambda total: float(total) / _SCALE
        if kind is float:
            column = cast(column, Double)  # else PostgreSQL adds a REAL to a REAL
        return [func.sum(column)], lambda total: self._wanted.number(name, total)

    def _key(self, compared: Compared) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return what shows the value of a group, and what it is grouped by."""
        if not _is_text(compared.column):
            return _read(compared), _read(compared)
        return self._server.text_group(compared.column)

    def _extreme(self, how: How, compared: Compared) -> ColumnElement[Any]:
        """Return the least or greatest value; of texts, by their code points."""
        find: Callable[..., Any] = getattr(func, how)
        column = compared.column
        if not _is_text(column):
            return type_coerce(find(_read(compared)), column.type)
        found = self._server.text_extreme(find, column)
        return type_coerce(found, column.type)


def _read(compared: Compared) -> ColumnElement[Any]:
    """Return a column as what is read of it, which may be stored in many forms."""
    form, column = compared.form, compared.column
    return type_coerce(column if form is None else form.read, column.type)


def _is_text(column: Any) -> bool:
    kind = column.type
    return isinstance(kind.impl if isinstance(kind, TypeDecorator) else kind, String)
