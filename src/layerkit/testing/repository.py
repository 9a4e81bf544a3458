"""MockRepository: an InMemoryRepository that records its calls."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic

from typing_extensions import TypeVar, override

from layerkit.repository import InMemoryRepository, MemoryDatabase
from layerkit.testing.failures import Failures

T = TypeVar("T")
ID = TypeVar("ID", default=Any)
R = TypeVar("R")


class MockRepository(Failures, InMemoryRepository[T, ID], Generic[T, ID]):
    """Store in memory, record the verbs that were called, and fail when told to.

    ``MockRepository(model_class=User)``, or a subclass with finders of one's own:
    ``class MockUsers(MockRepository[User, int])``.

    Args:
        home: The database; left out, the double makes one.
        model_class: The entity class, where the class itself does not say it.

    Attributes:
        calls: The names of the verbs so far, such as ``"create"``; those that were told
            to fail are among them.
    """

    def __init__(
        self, home: MemoryDatabase | None = None, model_class: type[T] | None = None
    ) -> None:
        Failures.__init__(self)
        InMemoryRepository.__init__(self, home, model_class)
        self.calls: list[str] = []

    @override
    async def _verb(
        self, name: str, work: Callable[[Any], Awaitable[R]], **options: Any
    ) -> R:
        async def recorded(unit: Any) -> R:
            self.calls.append(name)
            self._fail_if_planned(name)
            return await work(unit)

        return await super()._verb(name, recorded, **options)
