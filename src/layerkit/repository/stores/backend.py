"""Backend: the port that a home writes for its kind of storage."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeAlias

from typing_extensions import TypeVar

from layerkit.repository.entities.adapter import EntityAdapter
from layerkit.repository.entities.fields import KeyTuple, UniqueRule
from layerkit.repository.filters.aggregates import AggregateRow, Aggregation
from layerkit.repository.filters.specification import Order, Specification
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
R = TypeVar("R")

Lock: TypeAlias = Literal["wait", "nowait", "skip_locked"]
"""How to lock the rows that are read until the unit ends (``SELECT ... FOR UPDATE``).

``wait`` waits for who holds them, ``nowait`` raises UnavailableError, ``skip_locked``
leaves them out.
"""


class Upsert(NamedTuple, Generic[T]):
    """Say what an upsert stores, and what it changes where there is one already.

    Attributes:
        entity: Stored where its unique rule is free.
        changes: Written to the one that holds the rule, as an update would.
    """

    entity: T
    changes: dict[str, Any]


class Backend(ABC, Generic[T]):
    """Store entities of one class inside the open transaction; never commit.

    ``Repository`` has checked what arrives here: keys are tuples in the order of the
    adapter's ``key``, filters name known fields, changes fit them, orders end with the
    key. *where* is what the caller may see, guards and versions included; what it does
    not mean is as good as absent.

    Args:
        adapter: What is known of the entity class.

    """

    def __init__(self, adapter: EntityAdapter[T]) -> None:
        self.adapter = adapter

    @property
    def takes_values(self) -> bool:
        """True where ``create_many`` takes values, which saves building entities."""
        return False

    @property
    def reads_at_once(self) -> bool:
        """True where a read is one statement, which brings nothing else along."""
        return False

    @abstractmethod
    async def create(self, entity: T) -> T:
        """Store *entity* and fill in what was generated."""

    @abstractmethod
    async def create_many(self, entities: Sequence[T | Mapping[str, Any]]) -> None:
        """Store *entities*; nothing is filled in.

        Args:
            entities: Entities; where ``takes_values``, values by field name as well.
        """

    async def create_all(self, entities: Sequence[T]) -> list[T]:
        """Store *entities* and fill in what was generated, in their order."""
        return [await self.create(entity) for entity in entities]

    @abstractmethod
    async def get(
        self, key: KeyTuple, where: Specification, lock: Lock | None = None
    ) -> T | None:
        """Return the entity with *key* that *where* means, or None."""

    @abstractmethod
    async def find(
        self,
        where: Specification,
        orders: Sequence[Order],
        skip: int,
        limit: int,
        lock: Lock | None = None,
    ) -> list[T]:
        """Return what *where* means, sorted by *orders*, which leave no ties."""

    @abstractmethod
    async def count(self, where: Specification, cap: int | None) -> int:
        """Return how many *where* means, at most *cap*."""

    @abstractmethod
    async def aggregate(
        self, where: Specification, wanted: Aggregation
    ) -> list[AggregateRow]:
        """Return the figures that are *wanted* of each group of what *where* means."""

    @abstractmethod
    async def exists(self, key: KeyTuple, where: Specification) -> bool:
        """Tell whether there is an entity with *key* that *where* means."""

    async def exists_now(self, key: KeyTuple, where: Specification) -> bool:
        """Tell what ``exists`` does, past the snapshot that a unit may read from."""
        return await self.exists(key, where)

    @abstractmethod
    async def update(
        self, key: KeyTuple, changes: dict[str, Any], where: Specification
    ) -> T | None:
        """Change the entity with *key* that *where* means, and return it, or None."""

    @abstractmethod
    async def update_where(self, where: Specification, changes: dict[str, Any]) -> int:
        """Change every entity that *where* means, and return how many."""

    @abstractmethod
    async def delete(self, key: KeyTuple, where: Specification) -> bool:
        """Remove the entity with *key* that *where* means, and tell if it was there."""

    @abstractmethod
    async def delete_where(self, where: Specification) -> int:
        """Remove every entity that *where* means, and return how many."""

    @abstractmethod
    async def upsert(
        self, item: Upsert[T], rule: UniqueRule, where: Specification
    ) -> T | None:
        """Store or change the entity that holds *rule*, in one atomic step.

        Returns:
            The entity; None where *rule* is held by one that *where* does not mean,
            which is left as it is.
        """

    @abstractmethod
    async def upsert_many(
        self, items: Sequence[Upsert[T]], rule: UniqueRule, where: Specification
    ) -> bool:
        """Store or change what holds *rule*, each item under another value of it.

        Returns:
            False where *rule* is held by one that *where* does not mean; some of the
            items may be written then.
        """

    @abstractmethod
    def confine(self, entity: T, fields: frozenset[str]) -> None:
        """Refuse changes of *fields* on the tracked *entity*: its scope set them."""

    @abstractmethod
    async def run(
        self,
        transaction: Transaction,
        verb: str,
        work: Callable[[], Awaitable[R]],
        *,
        writes: bool,
    ) -> R:
        """Run *work* as *verb* of *transaction*, the driver's errors translated.

        What the storage itself refuses dooms the transaction. The loop gets a turn at
        least once, so that overlapping calls show on every backend alike.
        """
