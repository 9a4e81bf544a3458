"""Aggregates: counts, sums and extremes of groups, with one answer on every home.

A home makes partial figures, of a row or of a group in SQL, and ``Groups`` puts them
together. So a value that a database stores in two forms is one group all the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import Enum
from functools import cached_property
from math import isfinite
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeAlias

from typing_extensions import override

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository.filters.bounds import MAX_LIMIT, names_of

Names: TypeAlias = str | Iterable[str]
"""The name of one field, or the names of several."""

How: TypeAlias = Literal["count", "filled", "sum", "min", "max"]
"""What a measure is; ``filled`` counts the values that are no nulls."""

MAX_GROUPS: Final = MAX_LIMIT
"""The most groups that one call returns."""

EXACT: Final = Context(prec=10_000)
"""Decimals are added up in it: no database has a number with so many digits."""

_DIGITS: Final = 28
_NOTHING: Final[Mapping[How, int]] = {"count": 0, "filled": 0}
_EXTREMES: Final[Mapping[How, Callable[..., Any]]] = {"min": min, "max": max}
NUMBERS: Final = (int, float, Decimal)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("the figures of an AggregateRow can't be changed: copy them first")


class Figures(dict[str, Any]):
    """Hold values by the name of their field; they can't be changed."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    @override
    def __hash__(self) -> int:  # type: ignore[override] # a dict has none, since it may change
        return hash(frozenset(self.items()))

    @override
    def __reduce__(self) -> tuple[type["Figures"], tuple[dict[str, Any]]]:
        return Figures, (dict(self),)  # a dict's own would set item by item


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """Hold the figures of one group, each by the name of its field.

    ``row.by["status"]``, ``row.count``, ``row.sum["amount"]``.

    Attributes:
        by: What its entities have in common; empty where nothing was grouped.
        count: How many entities; None where ``count=False`` asked for no number.
        sum: The sums; as all figures, null where each value is one.
        min: The smallest values.
        max: The greatest values.
        avg: The averages.
    """

    by: Mapping[str, Any]
    count: int | None
    sum: Mapping[str, Any]
    min: Mapping[str, Any]
    max: Mapping[str, Any]
    avg: Mapping[str, Any]


class Measure(NamedTuple):
    """Say what is made of the values of a field; of no field, where rows count."""

    how: How
    field: str = ""


@dataclass(frozen=True)
class Aggregation:
    """Say what is asked for: the fields to group by, and those of each figure.

    Attributes:
        numbers: By field, the class that its values are added up as.
    """

    by: tuple[str, ...]
    count: bool
    sum: tuple[str, ...]
    min: tuple[str, ...]
    max: tuple[str, ...]
    avg: tuple[str, ...]
    numbers: Mapping[str, type[Any]] = field(default_factory=dict)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """What a home works out for each group."""
        summed = dict.fromkeys((*self.sum, *self.avg))
        return (
            *((Measure("count"),) if self.count else ()),
            *(Measure("sum", name) for name in summed),
            *(Measure("filled", name) for name in self.avg),
            *(Measure("min", name) for name in self.min),
            *(Measure("max", name) for name in self.max),
        )

    @property
    def fields(self) -> frozenset[str]:
        """Every field that is looked at."""
        return frozenset((*self.by, *self.sum, *self.min, *self.max, *self.avg))

    def number(self, name: str, value: Any) -> Any:
        """Return *value* of a field as what it is added up as; nulls as they are.

        Raises:
            UsageError: It is no number.
        """
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, NUMBERS):
            raise UsageError(
                f"{name} holds a {type(value).__name__}, which can't be added up"
            )
        return self.numbers.get(name, type(value))(value)


def asked(
    *, by: Names, count: bool, sums: Names, least: Names, most: Names, means: Names
) -> Aggregation:
    """Return what a caller asks for.

    Raises:
        UsageError: Nothing is asked for, or fields are not given by their names.
    """
    wanted = Aggregation(
        by=names_of(by),
        count=count,
        sum=names_of(sums),
        min=names_of(least),
        max=names_of(most),
        avg=names_of(means),
    )
    if not (wanted.by or wanted.measures):
        raise UsageError(
            "aggregate(count=False) asks for nothing: name fields in by, sum, min, "
            "max or avg"
        )
    return wanted


class Groups:
    """Put the partial figures of groups together.

    Args:
        wanted: What is asked for.
        owner: The name of the entity, for messages.
    """

    def __init__(self, wanted: Aggregation, owner: str) -> None:
        self._wanted, self._owner = wanted, owner
        self._groups: dict[tuple[Any, ...], list[Any]] = {}

    def add_row(self, values: Mapping[str, Any]) -> None:
        """Add one entity, of which *values* are known by field name."""
        wanted = self._wanted
        figures = [_of_row(wanted, measure, values) for measure in wanted.measures]
        self.add(tuple(values[name] for name in wanted.by), figures)

    def add(self, by: tuple[Any, ...], figures: Sequence[Any]) -> None:
        """Add *figures*, in the order of the measures, to those of the group *by*.

        Raises:
            UsageError: There are too many groups, or values can't be compared.
        """
        try:
            known = self._groups.get(by)
            if known is None:
                self._groups[by] = list(figures)
            else:
                pairs = zip(self._wanted.measures, known, figures, strict=True)
                known[:] = [_joined(how, old, new) for (how, _), old, new in pairs]
        except TypeError as error:
            raise self._without_order(error) from error
        if len(self._groups) > MAX_GROUPS:
            raise UsageError(
                f"{self._owner} has more than {MAX_GROUPS:,} groups by "
                f"{', '.join(self._wanted.by)}: filter, or group by other fields"
            )

    def rows(self) -> list[AggregateRow]:
        """Return a row for each group, in the order of their values, nulls last.

        Raises:
            UsageError: These have no order.
            ValidationError: A figure is beyond what a float holds.
        """
        if not self._wanted.by and not self._groups:
            self._groups[()] = [_NOTHING.get(how) for how, _ in self._wanted.measures]
        try:
            return [self._row(by) for by in sorted(self._groups, key=_place)]
        except (TypeError, ValueError) as error:
            raise self._without_order(error) from error

    def _row(self, by: tuple[Any, ...]) -> AggregateRow:
        wanted = self._wanted
        found = dict(zip(wanted.measures, self._groups[by], strict=True))

        def figures(how: How, names: tuple[str, ...]) -> Figures:
            return Figures((name, found[Measure(how, name)]) for name in names)

        for (how, name), figure in found.items():
            if how == "sum" and isinstance(figure, float) and not isfinite(figure):
                raise _too_great(name)
        return AggregateRow(
            by=Figures(zip(wanted.by, by, strict=True)),
            count=found.get(Measure("count")),
            sum=figures("sum", wanted.sum),
            min=figures("min", wanted.min),
            max=figures("max", wanted.max),
            avg=Figures(
                (n, _average(n, found[Measure("sum", n)], found[Measure("filled", n)]))
                for n in wanted.avg
            ),
        )

    def _without_order(self, error: Exception) -> UsageError:
        names = ", ".join(sorted(self._wanted.fields))
        return UsageError(
            f"{self._owner} holds values that can't be grouped or compared, in one of "
            f"{names}: {error}"
        )


def _of_row(wanted: Aggregation, measure: Measure, values: Mapping[str, Any]) -> Any:
    how, name = measure
    if how == "count":
        return 1
    value = values[name]
    if how == "filled":
        return int(value is not None)
    return wanted.number(name, value) if how == "sum" else value


def _joined(how: How, one: Any, other: Any) -> Any:
    """Return two partial figures as one; nulls count for nothing."""
    if one is None or other is None:
        return one if other is None else other
    if how in _EXTREMES:
        return _EXTREMES[how](one, other)
    is_exact = isinstance(one, Decimal) or isinstance(other, Decimal)
    return EXACT.add(one, other) if is_exact else one + other


def _average(name: str, total: Any, count: int) -> Any:
    if total is None:
        return None
    if isinstance(total, Decimal):
        digits = _DIGITS + max(0, total.adjusted())
        return Context(prec=digits).divide(total, count)
    try:
        return total / count
    except OverflowError as error:
        raise _too_great(name) from error


def _place(by: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what a group is sorted by; a member of an Enum goes by its place."""
    places = ([*type(v)].index(v) if isinstance(v, Enum) else v for v in by)
    return tuple((place is None, place) for place in places)


def _too_great(name: str) -> ValidationError:
    return ValidationError(f"{name} adds up to more than a float holds", fields=(name,))
