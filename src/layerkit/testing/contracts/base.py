"""BaseContract: what all contracts have, and the one fixture that they need."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import pytest

from layerkit.core.errors import UsageError
from layerkit.testing.contracts.entities import (
    Capabilities,
    Item,
    OpenRepository,
    Record,
    Sale,
    Seat,
)

ReadRaw: TypeAlias = Callable[[type], Awaitable[list[Mapping[str, Any]]]]
"""Given an entity class, returns its rows as they are stored, past the repository."""

_QUANTITIES = {"a": 1, "b": 2, "c": None, "d": 2, "e": 5}


class BaseContract:
    """Hold what a backend says of itself.

    Attributes:
        capabilities: What the backend can do.
        entity: What it stores; a class with the fields of ``Item``.
        record: A class with the fields of ``Record``.
        seat: A class with the fields of ``Seat``.
        sale: A class with the fields of ``Sale``.
        reading: A class with the fields of ``Reading``; None leaves its tests out.
        known_failures: Tests that are known to fail, by name, each with the reason; one
            that passes all the same is reported.
        examples: How many histories the machine plays.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    entity: ClassVar[type[Any]] = Item
    record: ClassVar[type[Any]] = Record
    seat: ClassVar[type[Any]] = Seat
    sale: ClassVar[type[Any]] = Sale
    reading: ClassVar[type[Any] | None] = None
    known_failures: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[int] = 20

    @pytest.fixture
    def open_repository(self) -> OpenRepository:
        """Return what opens an empty repository for an entity class; override it.

        Raises:
            UsageError: It was not overridden.
        """
        raise UsageError(
            f"{type(self).__name__} needs a fixture open_repository that returns a "
            "function from an entity class to an async context manager of a repository"
        )

    @pytest.fixture
    def read_raw(self) -> ReadRaw | None:
        """Return what reads the rows of a class past the repository; None has no way.

        Override it where the storage can be looked at by other means: the contract
        then proves that what was committed has landed there, and nothing else.
        """
        return None

    @pytest.fixture(autouse=True)
    def _expect_known_failure(self, request: pytest.FixtureRequest) -> None:
        unknown = [name for name in self.known_failures if not hasattr(self, name)]
        if unknown:
            raise UsageError(f"known_failures names no test: {', '.join(unknown)}")
        reason = self.known_failures.get(request.function.__name__)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    async def at_once(
        self, *works: Awaitable[Any], return_exceptions: bool = False
    ) -> list[Any]:
        """Do *works* side by side, as ``asyncio.gather`` does.

        Override it for a backend that blocks its thread, where tasks can't race.
        """
        return await asyncio.gather(*works, return_exceptions=return_exceptions)

    def make(self, name: str, **values: Any) -> Any:
        """Return a new entity of that name."""
        return self.entity(name=name, **values)

    async def fill(self, items: Any) -> dict[str, Any]:
        """Store five entities and return their ids by name."""
        made = {
            n: await items.create(self.make(n, qty=q)) for n, q in _QUANTITIES.items()
        }
        return {name: item.id for name, item in made.items()}

    def needs(self, *capabilities: str) -> None:
        """Skip the test where the backend does not claim *capabilities*."""
        for capability in capabilities:
            if not getattr(self.capabilities, capability):
                pytest.skip(f"capability: {capability}")
