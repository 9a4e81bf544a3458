"""Filters and orders as data: one tree that every backend compiles for itself.

``field("qty") >= 5`` is a frozen, hashable ``Specification``; ``&``, ``|`` and ``~``
combine them. SQL's three-valued logic holds on every backend: a comparison with a null
is neither true nor false, and its negation is not true either.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from itertools import chain
from typing import Any, Final, Literal, NoReturn, TypeAlias

from typing_extensions import override

from layerkit.core.errors import UsageError

Operator: TypeAlias = Literal[
    "eq", "ne", "lt", "le", "gt", "ge", "in", "null",
    "contains", "startswith", "endswith",
    "icontains", "istartswith", "iendswith",
]  # fmt: skip
"""What a comparison asks; ``i`` in front folds the case of ASCII letters."""

_MOST_LEVELS: Final = 100
"""What is built is bounded, else Python itself could not compare or show it."""

ORDERING: Final = frozenset({"lt", "le", "gt", "ge"})
"""The operators that ask which of two values is the smaller one."""


class Specification:
    """Say which entities match; made by ``field(...)``, combined by ``& | ~``."""

    __slots__ = ()

    def __and__(self, other: "Specification") -> "Specification":
        """Return what both sides accept.

        Raises:
            UsageError: *other* is no Specification.
        """
        if not isinstance(other, Specification):
            raise UsageError(_mismatch("&", other))
        if self == ALL:
            return other
        if other == ALL:
            return self
        return _joined(And, self, other)

    def __or__(self, other: "Specification") -> "Specification":
        """Return what either side accepts.

        Raises:
            UsageError: *other* is no Specification.
        """
        if not isinstance(other, Specification):
            raise UsageError(_mismatch("|", other))
        return _joined(Or, self, other)

    def __invert__(self) -> "Specification":
        """Return what this refuses; what is unknown because of a null stays out."""
        return _shallow(Not(self))

    def __bool__(self) -> NoReturn:
        """Refuse to be a condition: ``and`` and ``or`` would drop one side silently.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "a Specification is not a condition: combine two by & and |, negate by ~"
        )


class Choices(tuple[Any, ...]):
    """Hold the values of ``in``, and find one among thousands at once."""

    @cached_property
    def _known(self) -> frozenset[Any]:
        return frozenset(self)

    @override
    def __contains__(self, value: object) -> bool:
        try:
            return value in self._known
        except TypeError:
            return super().__contains__(value)  # it may change, and so has no hash


@dataclass(frozen=True, slots=True)
class Comparison(Specification):
    """Compare one field with a value; ``in`` holds ``Choices``, ``null`` holds None."""

    field: str
    operator: Operator
    value: object = None


@dataclass(frozen=True, slots=True)
class And(Specification):
    """Accept what all parts accept."""

    parts: tuple[Specification, ...]
    depth: int = dataclass_field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Note how deep it is."""
        object.__setattr__(self, "depth", 1 + max(map(depth_of, self.parts), default=0))


@dataclass(frozen=True, slots=True)
class Or(Specification):
    """Accept what any part accepts."""

    parts: tuple[Specification, ...]
    depth: int = dataclass_field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Note how deep it is."""
        object.__setattr__(self, "depth", 1 + max(map(depth_of, self.parts), default=0))


@dataclass(frozen=True, slots=True)
class Not(Specification):
    """Accept what the part refuses."""

    part: Specification
    depth: int = dataclass_field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Note how deep it is."""
        object.__setattr__(self, "depth", 1 + depth_of(self.part))


@dataclass(frozen=True, slots=True)
class Everything(Specification):
    """Accept every entity; spelled ``ALL``."""

    @override
    def __repr__(self) -> str:
        return "ALL"


ALL: Specification = Everything()
"""Every entity, asked for explicitly: no missing filter is taken for it."""


@dataclass(frozen=True, slots=True)
class Order:
    """Sort by one field; nulls come last in both directions unless said otherwise."""

    field: str
    descending: bool = False
    nulls_first: bool = False

    def reversed(self) -> "Order":
        """Return the order that sorts the other way round, nulls included."""
        return Order(self.field, not self.descending, not self.nulls_first)


Orders: TypeAlias = Sequence[Order]
"""Several orders, of which the first decides first."""


@dataclass(frozen=True, slots=True)
class Inc:
    """Add *amount* to a number in an update, in one atomic step; a null stays null."""

    amount: Any


class Field:
    """Name one field of an entity and compare it; made by ``field(name)``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @override
    def __repr__(self) -> str:
        return f"field({self.name!r})"

    @override
    def __hash__(self) -> int:
        return hash((Field, self.name))

    @override
    def __eq__(self, value: object) -> Specification:  # type: ignore[override] # an operator that builds, as in SQLAlchemy
        """Accept equal values, case-sensitive; ``== None`` is ``is_null()``."""
        return self.is_null() if value is None else self._compare("eq", value)

    @override
    def __ne__(self, value: object) -> Specification:  # type: ignore[override] # an operator that builds, as in SQLAlchemy
        """Accept other values; a null is not one of them."""
        return ~self.is_null() if value is None else self._compare("ne", value)

    def __lt__(self, value: object) -> Specification:
        """Accept smaller values."""
        return self._compare("lt", value)

    def __le__(self, value: object) -> Specification:
        """Accept smaller and equal values."""
        return self._compare("le", value)

    def __gt__(self, value: object) -> Specification:
        """Accept greater values."""
        return self._compare("gt", value)

    def __ge__(self, value: object) -> Specification:
        """Accept greater and equal values."""
        return self._compare("ge", value)

    def between(self, low: object, high: object) -> Specification:
        """Accept values from *low* to *high*, both included."""
        return (self >= low) & (self <= high)

    def in_(self, values: Iterable[object]) -> Specification:
        """Accept any of *values*; none of an empty list.

        Raises:
            UsageError: *values* is None, a text, or holds None (use ``| is_null()``).
        """
        given: object = values
        if not isinstance(given, Iterable) or isinstance(given, str | bytes):
            raise UsageError(f"{self!r}.in_({given!r}) needs a list of values")
        chosen = Choices(_hashable(self, value) for value in given)
        if any(value is None for value in chosen):
            raise UsageError(
                f"{self!r}.in_(...) got None in its list: add | {self!r}.is_null()"
            )
        return Comparison(self.name, "in", chosen)

    def not_in(self, values: Iterable[object]) -> Specification:
        """Accept what is not among *values*; a null stays out (SQL ``NOT IN``)."""
        return ~self.in_(values)

    def is_null(self) -> Specification:
        """Accept nulls."""
        return Comparison(self.name, "null")

    def is_not_null(self) -> Specification:
        """Accept everything but nulls."""
        return ~self.is_null()

    def contains(self, text: str) -> Specification:
        """Accept texts with *text* in them, case-sensitive and without wildcards."""
        return self._search("contains", text)

    def startswith(self, text: str) -> Specification:
        """Accept texts that begin with *text*, case-sensitive."""
        return self._search("startswith", text)

    def endswith(self, text: str) -> Specification:
        """Accept texts that end with *text*, case-sensitive."""
        return self._search("endswith", text)

    def icontains(self, text: str) -> Specification:
        """Accept texts with *text* in them, whatever the case of ASCII letters."""
        return self._search("icontains", text)

    def istartswith(self, text: str) -> Specification:
        """Accept texts that begin with *text*, whatever the case of ASCII letters."""
        return self._search("istartswith", text)

    def iendswith(self, text: str) -> Specification:
        """Accept texts that end with *text*, whatever the case of ASCII letters."""
        return self._search("iendswith", text)

    def asc(self, *, nulls_first: bool = False) -> Order:
        """Sort from the smallest; nulls last unless *nulls_first*."""
        return Order(self.name, nulls_first=nulls_first)

    def desc(self, *, nulls_first: bool = False) -> Order:
        """Sort from the greatest; nulls last unless *nulls_first*."""
        return Order(self.name, descending=True, nulls_first=nulls_first)

    def _compare(self, operator: Operator, value: object) -> Specification:
        if value is None:
            raise UsageError(
                f"{self!r} can't be ordered against None: use is_null() for nulls"
            )
        return Comparison(self.name, operator, _hashable(self, value))

    def _search(self, operator: Operator, text: str) -> Specification:
        if not isinstance(text, str):
            raise UsageError(f"{self!r}.{operator}(...) needs a text, got {text!r}")
        return Comparison(self.name, operator, text)


def depth_of(where: Specification) -> int:
    """Return how many levels of ``&``, ``|`` and ``~`` there are in *where*."""
    return getattr(where, "depth", 0)


def _joined(kind: type[And | Or], *sides: Specification) -> Specification:
    """Return *sides* in one of the *kind*, flat, so that a loop may add a thousand."""
    parts = (each.parts if isinstance(each, kind) else (each,) for each in sides)
    return _shallow(kind(tuple(chain(*parts))))


def _shallow(where: Specification) -> Specification:
    if depth_of(where) > _MOST_LEVELS:
        raise UsageError(
            f"a filter of more than {_MOST_LEVELS} levels of &, | and ~ in turn is "
            "deeper than any backend goes: join alike parts, or use in_([...])"
        )
    return where


def _mismatch(operator: str, other: object) -> str:
    return (
        f"{operator} combines two filters such as field(...) == ..., and met a "
        f"{type(other).__name__}: put a comparison in parentheses"
    )


def _hashable(subject: Field, value: object) -> object:
    if isinstance(value, Field):
        raise UsageError(
            f"{subject!r} can't be compared with {value!r}: a filter compares a field "
            "with a value"
        )
    try:
        hash(value)
    except TypeError as error:
        raise UsageError(
            f"{subject!r} can't be compared with a {type(value).__name__}, which may "
            "change: a filter holds values that don't"
        ) from error
    return value


def field(name: str) -> Field:
    """Return the field *name*, to be compared (``== in_ contains``) or sorted by.

    Whether the entity has it is checked by the repository, before anything is done.

    Raises:
        UsageError: *name* is not a text.
    """
    given: object = name
    if not isinstance(given, str) or not given:
        raise UsageError(f"field(...) needs the name of a field, got {name!r}")
    return Field(name)


def comparisons(where: Specification) -> Iterator[Comparison]:
    """Yield every comparison in *where*, in the order written."""
    match where:
        case Comparison():
            yield where
        case And(parts) | Or(parts):
            for part in parts:
                yield from comparisons(part)
        case Not(part):
            yield from comparisons(part)


def parts_of(where: Specification) -> tuple[Specification, ...]:
    """Return what must all hold where *where* does."""
    if isinstance(where, And):
        return tuple(part for each in where.parts for part in parts_of(each))
    return (where,)


def spelled_out(parts: Sequence[Specification]) -> dict[str, Any]:
    """Return by field the one value that an entity has where all of *parts* hold."""
    tests = (part for part in parts if isinstance(part, Comparison))
    return {test.field: test.value for test in tests if test.operator == "eq"}


def key_in(
    where: Specification, names: Sequence[str]
) -> tuple[tuple[Any, ...], Specification] | None:
    """Return the key that *where* spells out, and what else it asks for.

    Args:
        where: A filter.
        names: The fields of the key.

    Returns:
        The values of *names* in their order, and ALL where nothing else is asked for;
        None where *where* leaves one of them open.
    """
    found: dict[str, Any] = {}
    others: list[Specification] = []
    for part in where.parts if isinstance(where, And) else (where,):
        match part:
            case Comparison(name, "eq", value) if name in names and name not in found:
                found[name] = value
            case _:
                others.append(part)
    if len(found) < len(names):
        return None
    rest = And(tuple(others)) if len(others) > 1 else others[0] if others else ALL
    return tuple(found[name] for name in names), rest


def keys_in(where: Specification, names: Sequence[str]) -> list[tuple[Any, ...]] | None:
    """Return keys that *where* can't reach beyond; None where it names no such keys.

    Args:
        where: A filter.
        names: The fields of the key.
    """
    if (found := key_in(where, names)) is not None:
        return [found[0]]
    match where:
        case Comparison(name, "in", Choices() as values) if [name] == [*names]:
            return [(value,) for value in values]
        case Or(parts):
            named = [keys_in(part, names) for part in parts]
            known = [keys for keys in named if keys is not None]
            return [*chain(*known)] if len(known) == len(named) else None
        case And(parts):
            named = [keys_in(part, names) for part in parts]
            return next((keys for keys in named if keys is not None), None)
    return None
