"""What the contracts store, and what a backend says of itself."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from layerkit.repository import Unique

OpenRepository: TypeAlias = Callable[[type], AbstractAsyncContextManager[Any]]
"""Given an entity class, returns an async context manager of an empty repository."""


@dataclass
class Item:
    """Be stored by a contract; a backend with classes of its own gives one like it.

    Attributes:
        name: Unique.
        qty: A number, or null.
        note: A text, or null.
        id: The key; the backend counts it up where it is None.
    """

    name: Annotated[str, Unique()]
    qty: int | None = None
    note: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Say what a backend can do; what is off must be refused, never approximated.

    Attributes:
        unique: Unique rules of the entity are enforced.
        conditions: ``update(..., when=...)`` and ``Inc`` are atomic.
        transactions: ``unit_of_work()`` makes several writes one.
    """

    unique: bool = True
    conditions: bool = True
    transactions: bool = True
