"""Fields of entities: what they hold, and the rules that an annotation can mark."""

import sys
from collections.abc import Callable, Collection, Hashable, Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property, partial
from math import isfinite
from types import NoneType
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from layerkit.repository.entities.limits import Limits
from layerkit.repository.filters.specification import Inc, Specification

KeyTuple: TypeAlias = tuple[Any, ...]
"""The values of an entity's key, in the order of the adapter's ``key``."""

Action: TypeAlias = Literal[
    "NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"
]
"""What becomes of a row whose foreign key leads to nothing, in SQL's words."""

_WITH_INFINITY: Final = (float, Decimal)
_UNLIMITED: Final = frozenset({bool, bytes, date, UUID})


class Unique:
    """Mark a field of a pydantic model or dataclass as unique.

    ``email: Annotated[str, Unique()]``; fields that share a *name* are unique together.
    Nulls never collide, as in SQL. Mapped classes say it in their table instead.

    Args:
        name: The rule's name, which errors carry.
        live: True where soft-deleted entities give the value free.
    """

    def __init__(self, name: str | None = None, *, live: bool = False) -> None:
        self.name = name
        self.live = live


class Indexed:
    """Mark a field that is looked up by equality: ``Annotated[str, Indexed()]``.

    Redis keeps an index of it; memory needs none. Mapped classes say ``index=True``.
    """


class Key:
    """Mark a field of a pydantic model or dataclass as (part of) its key.

    ``code: Annotated[str, Key()]``; without a mark the key is the field ``id``.
    """


@dataclass(frozen=True)
class FieldInfo:
    """Describe one field.

    Attributes:
        name: The attribute's name.
        kind: The class of its values; None where any value is let through.
        nullable: True where it may be null.
        required: True where a new entity must bring a value, since nothing fills it in.
        indexed: True where it is marked for look-ups by equality.
        aware: True where a datetime needs a time zone.
        limits: What its column holds.
    """

    name: str
    kind: type | None = None
    nullable: bool = True
    required: bool = False
    indexed: bool = False
    aware: bool = False
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def as_is(self) -> Callable[[object], bool]:
        """Tells, at once, that a value is stored as it is; False tells nothing."""
        return self._looks.at_one

    @cached_property
    def all_as_is(self) -> Callable[[Collection[Any]], bool]:
        """Tells of many values, at once, what ``as_is`` does of one."""
        return self._looks.at_many

    @cached_property
    def _looks(self) -> "_Looks":
        kind, limits = self.kind, self.limits
        if limits.json:
            return _Looks(lambda _: False, lambda _: False)
        if kind is str and not limits.uuid and limits.choices is None:
            most = sys.maxsize if limits.length is None else limits.length
            return _Looks(partial(_is_short, most), partial(_are_short, most))
        if kind is int and limits.least is not None and limits.greatest is not None:
            ends = limits.least, limits.greatest
            return _Looks(partial(_is_between, *ends), partial(_are_between, *ends))
        held = kind if kind in _UNLIMITED else NoneType
        return _Looks(partial(_is_of, held), partial(_are_of, held))

    @property
    def is_ordered(self) -> bool:
        """True where every backend sorts the values alike, or their class is open.

        A member of an Enum goes by its name on one server and by its place on another,
        be it of a class or one of a column's texts.
        """
        kind = self.kind
        if kind is None:
            return True
        if self.limits.choices is not None:
            return False
        is_mixed = issubclass(kind, Mapping | list | Set | Enum)
        return not is_mixed and any("__lt__" in vars(c) for c in kind.__mro__[:-1])

    def accepts(self, value: object) -> bool:
        """Tell whether *value* is of the field's type; None always is.

        A NaN is not: it is a null on SQLite, and MySQL has neither that nor an
        infinity.
        """
        kind = self.kind
        if kind is None or value is None:
            return True
        if isinstance(value, bool) and kind is not bool:
            return False
        if kind is float:
            is_finite = isinstance(value, float) and isfinite(value)
            return is_finite or isinstance(value, int)
        if kind is Decimal:
            is_finite = isinstance(value, Decimal) and value.is_finite()
            return is_finite or isinstance(value, int)
        if kind is bytes:
            return isinstance(value, bytes | bytearray | memoryview)
        if kind is date:
            return isinstance(value, date) and not isinstance(value, datetime)
        if self.aware:
            return isinstance(value, datetime) and value.tzinfo is not None
        return isinstance(value, kind)

    def held(self, value: Any) -> Any:
        """Return *value*, or the amount of an ``Inc``, as the column holds it.

        Raises:
            ValueError: It does not; the text says why.
        """
        if not isinstance(value, Inc):
            return self.limits.held(self.kind, value)
        amount = self.limits.held(self.kind, value.amount)
        return value if amount is value.amount else Inc(amount)

    def accepts_increment(self, amount: object) -> bool:
        """Tell whether the field holds numbers that *amount* can be added to."""
        kind = self.kind or int  # what takes any value takes numbers
        is_number = issubclass(kind, int | float | Decimal)
        is_counted = is_number and not issubclass(kind, bool | Enum)
        return is_counted and amount is not None and self.accepts(amount)


@dataclass(frozen=True, slots=True)
class UniqueRule:
    """Name fields that no two entities may share; nulls never collide.

    Attributes:
        name: What errors call it.
        fields: One, or several that are unique together.
        where: Which entities it holds for; None for all.
    """

    name: str
    fields: tuple[str, ...]
    where: Specification | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ForeignKeyRule:
    """Name fields whose values another class must have, all of them; nulls need none.

    Attributes:
        name: What errors call it.
        fields: Those of the class that refers.
        target: What they refer to, one for each, as ``EntityAdapter.named`` knows it.
        place: Where it is, for messages: ``orders.customer_id``.
        on_delete: What becomes of a row where that which it refers to is deleted.
        on_update: The same where that gets other values.
        deferred: True where it is checked at the commit.
    """

    name: str
    fields: tuple[str, ...]
    target: tuple[Hashable, ...]
    place: str
    on_delete: Action = "NO ACTION"
    on_update: Action = "NO ACTION"
    deferred: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CascadeRule:
    """Say what a class does to what is related to an entity of it that is deleted.

    Attributes:
        name: The relationship: ``Customer.orders``.
        fields: Those of the class.
        target: What has the same values in what is related, one for each, as
            ``EntityAdapter.named`` knows it.
        on_delete: CASCADE or SET NULL; NO ACTION where foreign keys decide.
        first: Where both are deleted, whose row has to go first: the entity's ``own``,
            or the ``other``; ``either`` where the reference is set to null before, None
            where the mapping does not say.
        by_row: True where the mapping deletes entities in a statement each.
    """

    name: str
    fields: tuple[str, ...]
    target: tuple[Hashable, ...]
    on_delete: Action
    first: Literal["own", "other", "either"] | None = None
    by_row: bool = False
    on_update: ClassVar[Action] = "NO ACTION"  # what moves is for foreign keys


def is_same(old: object, new: object) -> bool:
    """Tell whether *new* says what *old* does; one NaN is like another here."""
    if old is new or old == new:
        return True
    return old != old and new != new  # noqa: PLR0124 - what NaN alone is


class _Looks(NamedTuple):
    """How one value of a field, and how many, are seen to be stored as they are."""

    at_one: Callable[[object], bool]
    at_many: Callable[[Collection[Any]], bool]


def _is_short(most: int, value: Any) -> bool:
    if value is None:
        return True
    is_plain = type(value) is str and value.isascii() and "\0" not in value
    return is_plain and len(value) <= most


def _is_between(least: int, greatest: int, value: Any) -> bool:
    return value is None or (type(value) is int and least <= value <= greatest)


def _is_of(kind: type, value: object) -> bool:
    return value is None or type(value) is kind


def _are_short(most: int, values: Collection[Any]) -> bool:
    if not _are_of(str, values):
        return False
    texts = [value for value in values if value is not None]
    is_plain = all(map(str.isascii, texts)) and not any("\0" in text for text in texts)
    return is_plain and max(map(len, texts), default=0) <= most


def _are_between(least: int, greatest: int, values: Collection[Any]) -> bool:
    if not _are_of(int, values):
        return False
    numbers = [value for value in values if value is not None]
    return not numbers or (least <= min(numbers) and max(numbers) <= greatest)


def _are_of(kind: type, values: Collection[Any]) -> bool:
    return {kind, NoneType}.issuperset(map(type, values))


def fits(info: FieldInfo, value: object, *, increments: bool) -> bool:
    """Tell whether *value* may be written to the field; ``Inc`` where *increments*."""
    if isinstance(value, Inc):
        return increments and info.accepts_increment(value.amount)
    return info.accepts(value)


def type_name(info: FieldInfo) -> str:
    """Return the name of what the field holds, for messages."""
    if info.aware:
        return "datetime with a time zone"
    if info.kind in _WITH_INFINITY:
        return f"finite {info.kind.__name__}"
    if info.limits.choices is not None:
        return "str of an Enum"
    return "anything" if info.kind is None else info.kind.__name__
