"""Which keys can match a filter, by the indexes that there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from layerkit.core.errors import NotSupportedError
from layerkit.redis.layout import Layout
from layerkit.repository import And, Comparison, Or, Order, Specification, comparisons
from layerkit.repository.entities.fields import KeyTuple
from layerkit.repository.filters.specification import parts_of, spelled_out


class Lookup(NamedTuple):
    """Look up keys by one command, or have them at hand.

    Attributes:
        command: ``MGET`` of unique values' holders, ``SINTER`` or ``SUNION`` of
            indexes; "" where *names* are the keys themselves.
        names: What the command reads.
    """

    command: str
    names: tuple[bytes, ...]


Source: TypeAlias = tuple[Lookup, ...]
"""Where keys come from, all of them together.

They may be more than match the filter, and never fewer.
"""

_CHEAPEST: Final = ("", "MGET", "SINTER", "SUNION")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of the sorted keys.

    Attributes:
        low: The first of it.
        high: The first one past it; None for the end.
    """

    low: bytes = b""
    high: bytes | None = None

    def __contains__(self, member: bytes) -> bool:
        """Tell whether *member* is in the stretch."""
        return member >= self.low and (self.high is None or member < self.high)


def source_of(where: Specification, layout: Layout) -> Source | None:
    """Return where the keys come from that can match *where*; None for all keys.

    Raises:
        ValidationError: A value has no place in an index.
    """
    if not isinstance(where, Or):
        return _best(parts_of(where), layout)
    sources = [source_of(part, layout) for part in where.parts]
    found = [source for source in sources if source is not None]
    return tuple(chain(*found)) if len(found) == len(sources) else None


def span_of(where: Specification, layout: Layout) -> Span:
    """Return the range of the sorted keys that can match *where*.

    Raises:
        ValidationError: A value has no place in a key.
    """
    match where:
        case Comparison(name, operator, value) if name == layout.adapter.key[0]:
            return _compared(operator, value, layout)
        case And(parts):
            spans = [span_of(part, layout) for part in parts]
            ends = [span.high for span in spans if span.high is not None]
            return Span(max(span.low for span in spans), min(ends, default=None))
        case Or(parts):
            spans = [span_of(part, layout) for part in parts]
            highs = [span.high for span in spans if span.high is not None]
            high = max(highs) if len(highs) == len(spans) else None
            return Span(min(span.low for span in spans), high)
    return Span()


def direction_of(orders: Sequence[Order], key: tuple[str, ...]) -> int:
    """Return 1 where *orders* go by the key, -1 where against it, 0 otherwise."""
    first = orders[: len(key)]
    directions = {order.descending for order in first}
    if tuple(order.field for order in first) != key or len(directions) > 1:
        return 0
    return -1 if directions.pop() else 1


def check_walk(where: Specification, orders: Sequence[Order], layout: Layout) -> None:
    """Refuse to read a whole class for what no index serves.

    A walk in the order of the keys that ends with the page is no such thing, even
    where it skips the soft-deleted.

    Raises:
        NotSupportedError: With the names of the fields.
    """
    adapter = layout.adapter
    free = {*adapter.key, adapter.deleted}
    filtered = {test.field for test in comparisons(where)} - free
    sorts = orders and not direction_of(orders, adapter.key)
    ordered = {order.field for order in orders if sorts} - set(adapter.key)
    if filtered or sorts:
        what = "a filter by" if filtered else "an order by"
        names = ", ".join(sorted(filtered or ordered or set(adapter.key)))
        raise NotSupportedError(
            f"{what} {names} of {adapter.name} has no index in Redis, so that every "
            "document would be read: mark a field of the filter Annotated[..., "
            "Indexed()] (index=True where it is mapped), or permit it by "
            "RedisDatabase(..., allow_scan=True)"
        )


def _best(parts: Sequence[Specification], layout: Layout) -> Source | None:
    """Return the cheapest source for what all *parts* accept."""
    tests = [_looked_up(part, layout) for part in parts]
    found = [one for one in (_pinned(parts, layout), *tests) if one is not None]
    if not found:
        choices = (source_of(part, layout) for part in parts if isinstance(part, Or))
        return next((source for source in choices if source is not None), None)
    best = min(found, key=lambda one: _CHEAPEST.index(one.command))
    if best.command == "SINTER":
        names = [one.names for one in found if one.command == "SINTER"]
        best = Lookup("SINTER", tuple(dict.fromkeys(chain(*names))))
    return (best,)


def _pinned(parts: Sequence[Specification], layout: Layout) -> Lookup | None:
    """Return the one key, or holder of a unique value, that *parts* spell out."""
    adapter = layout.adapter
    given = spelled_out(parts)

    def values(names: tuple[str, ...]) -> KeyTuple | None:
        return tuple(given[n] for n in names) if given.keys() >= set(names) else None

    if (key := values(adapter.key)) is not None:
        return Lookup("", (layout.member(key),))
    for rule in adapter.unique:
        holds = rule.where is None or set(parts_of(rule.where)) <= set(parts)
        if holds and (value := values(rule.fields)) is not None:
            return Lookup("MGET", (layout.unique(rule, value),))
    return None


def _looked_up(test: Specification, layout: Layout) -> Lookup | None:
    """Return the keys that have one of some values in a field, where that is known."""
    match test:
        case Comparison(name, "in", tuple(values)):
            wanted = values
        case Comparison(name, "eq", value):
            wanted = (value,)
        case Comparison(name, "null"):
            wanted = (None,)
        case _:
            return None
    adapter = layout.adapter
    if not wanted:
        return Lookup("", ())
    if adapter.key == (name,):
        keys = [(value,) for value in wanted if value is not None]
        return Lookup("", tuple(map(layout.member, keys)))
    for rule in adapter.unique:
        if rule.fields == (name,) and rule.where is None and None not in wanted:
            names = tuple(layout.unique(rule, (value,)) for value in wanted)
            return Lookup("MGET", names)
    if name not in layout.indexed:
        return None
    sets = tuple(layout.index(name, value) for value in wanted)
    return Lookup("SINTER" if len(sets) == 1 else "SUNION", sets)


def _compared(operator: str, value: object, layout: Layout) -> Span:
    """Return where the first part of the key compares so."""
    if operator == "in" and isinstance(value, tuple) and value:
        # A member goes on with \0 after the first part, so that \1 is past all of them.
        bounds = [layout.bound(one) for one in value]
        return Span(min(bounds), max(bounds) + b"\1")
    if operator in {"gt", "ge", "lt", "le", "eq"}:
        bound = layout.bound(value)
        past = bound + b"\1"
        low = {"gt": past, "ge": bound, "eq": bound}.get(operator, b"")
        return Span(low, {"lt": bound, "le": past, "eq": past}.get(operator))
    return Span()
