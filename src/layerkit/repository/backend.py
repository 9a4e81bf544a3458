"""Backend: the port that a home writes for its kind of storage."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic

from typing_extensions import TypeVar

from layerkit.repository.entities import EntityAdapter
from layerkit.repository.query import Order, Specification
from layerkit.unit_of_work import Transaction

T = TypeVar("T")
R = TypeVar("R")


class Backend(ABC, Generic[T]):
    """Store entities of one class inside the open transaction; never commit.

    ``Repository`` has checked what arrives here: keys are tuples in the order of the
    adapter's ``key``, filters name known fields, orders end with the key.

    Args:
        adapter: What is known of the entity class.
    """

    def __init__(self, adapter: EntityAdapter[T]) -> None:
        self.adapter = adapter

    @abstractmethod
    async def create(self, entity: T) -> T:
        """Store *entity* and fill in what was generated."""

    @abstractmethod
    async def get(self, key: tuple[Any, ...]) -> T | None:
        """Return the entity with *key*, or None."""

    @abstractmethod
    async def find(
        self, where: Specification, orders: Sequence[Order], skip: int, limit: int
    ) -> list[T]:
        """Return what *where* means, sorted by *orders*, which leave no ties."""

    @abstractmethod
    async def count(self, where: Specification, cap: int | None) -> int:
        """Return how many *where* means, at most *cap*."""

    @abstractmethod
    async def update(
        self, key: tuple[Any, ...], changes: dict[str, Any], when: Specification
    ) -> T | None:
        """Change the entity with *key* where *when* holds, and return it, or None."""

    @abstractmethod
    async def delete(self, key: tuple[Any, ...]) -> bool:
        """Remove the entity with *key* and tell whether there was one."""

    @abstractmethod
    async def exists(self, key: tuple[Any, ...]) -> bool:
        """Tell whether there is an entity with *key*."""

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
