"""Filters and orders as callers give them, checked against the entity and completed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from layerkit.core.errors import UsageError
from layerkit.repository.entities.adapter import Adapter
from layerkit.repository.entities.fields import FieldInfo, KeyTuple
from layerkit.repository.filters.aggregates import NUMBERS, Aggregation
from layerkit.repository.filters.bounds import OrderBy, check_where, orders_of
from layerkit.repository.filters.specification import (
    And,
    Choices,
    Comparison,
    Not,
    Or,
    Order,
    Specification,
    comparisons,
    depth_of,
)

_RANKED: Final = (int, float, Decimal, str, date, time, timedelta)

MAX_DEPTH: Final = 50
"""How deep a filter nests at most; what takes it apart goes as deep as it does."""

_MOST_VALUES: Final = 30_000
"""What PostgreSQL and SQLite take in one statement, and some room."""


def checked(adapter: Adapter, where: Specification) -> Specification:
    """Return *where* with its values as they are compared, after a look at each.

    Raises:
        UsageError: It is no specification, or names an unknown field, a value of
            another type, an order where the field has none, or nests too deep.
        ValidationError: A value that no database takes, such as a text with a NUL.
    """
    check_where(where)
    if depth_of(where) > MAX_DEPTH:
        raise UsageError(
            f"a filter nests {depth_of(where)} levels of &, | and ~, and {MAX_DEPTH} "
            "are the most: write it flatter"
        )
    held = 0
    for test in comparisons(where):
        adapter.check_operator(test.field, test.operator)
        held += len(test.value) if isinstance(test.value, tuple) else 1
    if held > _MOST_VALUES:
        raise UsageError(
            f"a filter with {held:,} values is more than a database takes: split "
            f"it into several of at most {_MOST_VALUES:,}"
        )
    return _sought(adapter, where)


def _sought(adapter: Adapter, where: Specification) -> Specification:
    """Return *where* with each value as it is compared with what the field holds."""
    match where:
        case Comparison(name, _, tuple(values)):
            chosen = Choices(adapter.sought(name, value) for value in values)
            return _among_digits(adapter.fields[name], name, chosen)
        case Comparison(name, operator, value):
            found = Comparison(name, operator, adapter.sought(name, value))
            return _by_digits(adapter.fields[name], found)
        case And(parts) | Or(parts):
            return type(where)(tuple(_sought(adapter, part) for part in parts))
        case Not(part):
            return Not(_sought(adapter, part))
    return where


def _by_digits(info: FieldInfo, test: Comparison) -> Specification:
    """Return *test* with a decimal that has no more digits than the field.

    Databases round what has more, or cut it off, and would find what is near.
    """
    name, operator, value = test.field, test.operator, test.value
    if not (info.kind is Decimal and isinstance(value, int | Decimal)):
        return test
    floor = info.limits.floor(value)
    if floor == value:
        return test
    below, above = Comparison(name, "le", floor), Comparison(name, "gt", floor)
    if operator in {"eq", "ne"}:
        return And((below, above)) if operator == "eq" else Or((below, above))
    return above if operator in {"gt", "ge"} else below


def _among_digits(info: FieldInfo, name: str, values: Choices) -> Specification:
    """Return the test by those of *values* that the field can hold."""
    if info.kind is not Decimal:
        return Comparison(name, "in", values)
    held = Choices(value for value in values if info.limits.floor(value) == value)
    if values and not held:
        return _by_digits(info, Comparison(name, "eq", values[0]))
    return Comparison(name, "in", held)


def completed(adapter: Adapter, order_by: OrderBy) -> tuple[Order, ...]:
    """Return the orders that decide, completed by the key so that nothing ties.

    Raises:
        UsageError: One is no order, or of a field that has none.
    """
    given = orders_of(order_by)
    for order in given:
        adapter.check_order(order.field)
    undecided = set(adapter.key)
    orders: dict[str, Order] = {}
    for order in (*given, *map(Order, adapter.key)):
        if undecided:
            orders.setdefault(order.field, order)
            undecided.discard(order.field)
    return tuple(orders.values())


def keyed(adapter: Adapter, key: KeyTuple) -> Specification:
    """Return the filter for the entity that has *key*."""
    tests = tuple(Comparison(n, "eq", v) for n, v in zip(adapter.key, key, strict=True))
    return And(tests) if len(tests) > 1 else tests[0]


def among(adapter: Adapter, keys: Sequence[KeyTuple]) -> Specification:
    """Return the filter for the entities that have one of *keys*."""
    names = adapter.key
    if len(names) == 1:
        return Comparison(names[0], "in", Choices(key[0] for key in keys))
    return Or(tuple(keyed(adapter, key) for key in keys))


def checked_figures(adapter: Adapter, wanted: Aggregation) -> Aggregation:
    """Return *wanted* after a look at every field in it.

    Raises:
        UsageError: An unknown field, or one that homes would answer each in its way.
    """
    for name in wanted.by:
        info = adapter.info(name)
        kind = info.kind or object
        if not issubclass(kind, Enum) and info.limits.choices is None:
            adapter.check_order(name)
        if issubclass(kind, float):
            raise adapter.unfit(name, "is rounded by databases: group by another")
    numbers: dict[str, type[Any]] = {}
    for name in (*wanted.sum, *wanted.avg):
        base = _base(adapter.info(name), NUMBERS)
        if base is None:
            raise adapter.unfit(name, "can't be added up: name a field of numbers")
        numbers[name] = base
    for name in (*wanted.min, *wanted.max):
        if _base(adapter.info(name), _RANKED) is None:
            why = "has not the same minimum and maximum on every backend"
            raise adapter.unfit(name, why)
    return replace(wanted, numbers=numbers)


def _base(info: FieldInfo, bases: tuple[type, ...]) -> type[Any] | None:
    """Return which of *bases* the field holds; None for others, bool and Enum."""
    kind = info.kind or object
    if issubclass(kind, bool | Enum):
        return None
    return next((base for base in bases if issubclass(kind, base)), None)
