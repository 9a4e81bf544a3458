"""One page of a list."""

from dataclasses import dataclass
from typing import Generic

from typing_extensions import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Hold the items of one page and where to go from it.

    Attributes:
        items: The entities of this page, at most ``size`` of them.
        total: How many there are on all pages; None where it was not asked for.
        has_next: True where at least one entity comes after this page; going back, the
            page that the cursor comes from counts for one.
        next_cursor: Opaque; pass it back for the page after, where pages go by cursor.
        previous_cursor: Opaque; pass it back for the page before.
    """

    items: list[T]
    total: int | None = None
    has_next: bool = False
    next_cursor: str | None = None
    previous_cursor: str | None = None
