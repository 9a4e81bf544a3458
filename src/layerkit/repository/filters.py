"""Filters and orders as callers give them, checked against the entity and completed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from layerkit.core.errors import UsageError
from layerkit.repository.bounds import OrderBy, check_where, orders_of
from layerkit.repository.entities import EntityAdapter
from layerkit.repository.fields import FieldInfo, KeyTuple
from layerkit.repository.query import (
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

MAX_DEPTH: Final = 50
"""How deep a filter nests at most; what takes it apart goes as deep as it does."""

_MOST_VALUES: Final = 30_000
"""What PostgreSQL and SQLite take in one statement, and some room."""


def checked(adapter: EntityAdapter[Any], where: Specification) -> Specification:
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
    where = _sought(adapter, where)
    if held > _MOST_VALUES:
        raise UsageError(
            f"a filter with {held:,} values is more than a database takes: split "
            f"it into several of at most {_MOST_VALUES:,}"
        )
    return where


def _sought(adapter: EntityAdapter[Any], where: Specification) -> Specification:
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


def completed(adapter: EntityAdapter[Any], order_by: OrderBy) -> tuple[Order, ...]:
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


def parts_of(where: Specification) -> tuple[Specification, ...]:
    """Return what must all hold where *where* does."""
    if isinstance(where, And):
        return tuple(part for each in where.parts for part in parts_of(each))
    return (where,)


def spelled_out(parts: Sequence[Specification]) -> dict[str, Any]:
    """Return by field the one value that an entity has where all of *parts* hold."""
    tests = (part for part in parts if isinstance(part, Comparison))
    return {test.field: test.value for test in tests if test.operator == "eq"}


def among(adapter: EntityAdapter[Any], keys: Sequence[KeyTuple]) -> Specification:
    """Return the filter for the entities that have one of *keys*."""
    names = adapter.key
    if len(names) == 1:
        return Comparison(names[0], "in", Choices(key[0] for key in keys))
    whole = (
        And(tuple(Comparison(n, "eq", v) for n, v in zip(names, key, strict=True)))
        for key in keys
    )
    return Or(tuple(whole))
