"""Which keys a filter can mean, by the indexes that there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from layerkit.core.errors import NotSupportedError
from layerkit.redis.layout import Layout
from layerkit.repository import And, Comparison, Or, Order, Specification, comparisons
from layerkit.repository.entities.fields import KeyTuple
from layerkit.repository.filters.specification import parts_of, spelled_out


@dataclass(frozen=True, slots=True)
class Members:
    """Be these keys themselves."""

    found: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Holders:
    """Be the keys that hold unique values, which are under these names."""

    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """Be the keys that are in each of these sets."""

    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Be the keys that are in one or more of these sets."""

    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """Be the keys of all these sources."""

    parts: "tuple[Source, ...]"


Source: TypeAlias = Members | Holders | Every | Some | Union
"""Where keys come from; they may be more than the filter means, and never fewer."""

_CHEAPEST: Final = (Members, Holders, Every, Some, Union)


@dataclass(frozen=True, slots=True)
class Span:
    """Be a stretch of the sorted keys.

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
    """Return where the keys come from that *where* can mean; None for all keys.

    Raises:
        ValidationError: A value has no place in an index.
    """
    match where:
        case Comparison():
            return _best((where,), layout)
        case And():
            return _best(parts_of(where), layout)
        case Or(parts):
            sources = [source_of(part, layout) for part in parts]
            found = tuple(source for source in sources if source is not None)
            return Union(found) if len(found) == len(parts) else None
    return None


def span_of(where: Specification, layout: Layout) -> Span:
    """Return the stretch of the sorted keys that *where* can mean.

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
    where it passes over the soft-deleted.

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
    found = [_pinned(parts, layout)]
    for part in parts:
        is_test = isinstance(part, Comparison)
        found.append(_looked_up(part, layout) if is_test else source_of(part, layout))
    sources = [source for source in found if source is not None]
    if not sources:
        return None
    best = min(sources, key=lambda source: _CHEAPEST.index(type(source)))
    if isinstance(best, Every):
        names = [
            n for source in sources if isinstance(source, Every) for n in source.names
        ]
        return Every(tuple(dict.fromkeys(names)))
    return best


def _pinned(parts: Sequence[Specification], layout: Layout) -> Source | None:
    """Return the one key, or holder of a unique value, that *parts* spell out."""
    adapter = layout.adapter
    given = spelled_out(parts)

    def values(names: tuple[str, ...]) -> KeyTuple | None:
        return tuple(given[n] for n in names) if given.keys() >= set(names) else None

    if (key := values(adapter.key)) is not None:
        return Members(frozenset({layout.member(key)}))
    for rule in adapter.unique:
        holds = rule.where is None or set(parts_of(rule.where)) <= set(parts)
        if holds and (value := values(rule.fields)) is not None:
            return Holders((layout.unique(rule, value),))
    return None


def _looked_up(test: Specification, layout: Layout) -> Source | None:
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
        return Members(frozenset())
    if adapter.key == (name,):
        keys = [(value,) for value in wanted if value is not None]
        return Members(frozenset(map(layout.member, keys)))
    for rule in adapter.unique:
        if rule.fields == (name,) and rule.where is None and None not in wanted:
            return Holders(tuple(layout.unique(rule, (value,)) for value in wanted))
    if name not in layout.indexed:
        return None
    sets = tuple(layout.index(name, value) for value in wanted)
    return Every(sets) if len(sets) == 1 else Some(sets)


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
