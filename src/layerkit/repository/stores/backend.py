"""Backend: the port that a home writes for its kind of storage."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeAlias

from typing_extensions import TypeVar, override

from layerkit.repository.entities.adapter import EntityAdapter
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.filters.aggregates import AggregateRow, Aggregation
from layerkit.repository.filters.specification import Orders, Specification
from layerkit.repository.stores.overrides import refuse_accidents
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
U = TypeVar("U", bound=Transaction, default=Any)
R = TypeVar("R")

Lock: TypeAlias = Literal["wait", "nowait", "skip_locked"]
"""How to lock the rows that are read until the unit ends (``SELECT ... FOR UPDATE``).

``wait`` waits for who holds them, ``nowait`` raises UnavailableError, ``skip_locked``
leaves them out.
"""


Verb: TypeAlias = Literal["read", "insert", "change", "update", "delete", "upsert"]
"""A verb of a ``Backend`` that may be one statement."""


Changes: TypeAlias = dict[str, Any]
"""What is written to entities, by field name; a value may be an ``Inc``."""


class Upsert(NamedTuple, Generic[T]):
    """Say what an upsert stores, and what it changes where there is one already.

    Attributes:
        entity: Stored where its unique rule is free; where the backend
            ``takes_values``, values by field name as well.
        changes: Written to the one that holds the rule, as an update would.
        holds: The values that it has of the rule.
    """

    entity: T | Mapping[str, Any]
    changes: Changes
    holds: KeyTuple


class Backend(ABC, Generic[T, U]):
    """Store entities of one class inside an open transaction; never commit.

    ``Repository`` has checked what arrives here: filters name known fields, changes fit
    them, orders end with the key. A key is a filter like any other, ``key_in`` finds
    it. *where* is what the caller may see, guards and versions included; what does not
    match it counts as absent. Every verb is given the *unit* that it works in.

    Args:
        adapter: What is known of the entity class.
    """

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        steps = Backend.__abstractmethods__ | {"takes_values", "at_once", "lock"}
        refuse_accidents(cls, steps)

    def __init__(self, adapter: EntityAdapter[T]) -> None:
        self.adapter = adapter

    @property
    def takes_values(self) -> bool:
        """True where values are taken for new entities, which saves building them."""
        return False

    def at_once(self, verb: Verb, given: Any = None) -> bool:  # noqa: ARG002 - for subclasses
        """Tell whether a verb is one statement here, which needs no transaction.

        Args:
            verb: Which one.
            given: What it is given: an entity, changes, an ``Upsert`` or the like.
        """
        return False

    @abstractmethod
    async def insert(
        self, unit: U, entities: Sequence[T | Mapping[str, Any]], *, returning: bool
    ) -> list[T]:
        """Store new *entities*.

        Args:
            unit: The open transaction.
            entities: Entities; where ``takes_values``, values by field name as well.
            returning: True fills in what was generated, and returns the entities in
                their order; else nothing is returned.
        """

    @abstractmethod
    async def find(
        self,
        unit: U,
        where: Specification,
        orders: Orders,
        skip: int,
        limit: int,
        *,
        lock: Lock | None = None,
    ) -> list[T]:
        """Return what matches *where*, sorted by *orders*, which leave no ties."""

    @abstractmethod
    async def count(
        self, unit: U, where: Specification, cap: int | None, *, now: bool = False
    ) -> int:
        """Return how many match *where*, at most *cap*.

        Args:
            unit: The open transaction.
            where: The filter.
            cap: Where to stop counting; 1 tells whether there is any.
            now: True looks past the snapshot that a unit may read from.
        """

    @abstractmethod
    async def aggregate(
        self, unit: U, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        """Return the *wanted* figures of each group of what matches *where*."""

    @abstractmethod
    async def change(self, unit: U, where: Specification, changes: Changes) -> T | None:
        """Change and return the entity that matches *where*, which holds its key."""

    @abstractmethod
    async def update(self, unit: U, where: Specification, changes: Changes) -> int:
        """Change every entity that matches *where*, and return how many."""

    @abstractmethod
    async def delete(self, unit: U, where: Specification) -> int:
        """Remove every entity that matches *where*, and return how many."""

    @abstractmethod
    async def upsert(
        self,
        unit: U,
        items: Sequence[Upsert[T]],
        rule: UniqueRule,
        where: Specification,
        *,
        returning: bool,
    ) -> list[T] | None:
        """Store or change what holds *rule*, each item under another value of it.

        A single item is one atomic step.

        Returns:
            The entities where *returning*, else nothing; None where *rule* is held by
            one that does not match *where*: of several items some may be written then.
        """

    @abstractmethod
    def confine(self, unit: U, entity: T, fields: frozenset[str]) -> None:
        """Refuse changes of *fields* on the tracked *entity*: its scope set them."""

    @abstractmethod
    async def run(
        self, unit: U, verb: str, work: Callable[[U], Awaitable[R]], *, writes: bool
    ) -> R:
        """Run *work* as *verb* of *unit*, the driver's errors translated.

        What the storage itself refuses marks the unit rollback-only. Where others may
        hold the unit too, the loop gets a turn at least once, so that overlapping calls
        show on every backend alike.
        """
