"""Lists over HTTP: a page of them, filtered and sorted by what is allowed."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeAlias

from fastapi import Query
from typing_extensions import TypeVar

from layerkit.core.errors import UsageError, ValidationError
from layerkit.core.schemas import BaseSchema
from layerkit.repository import ALL, Order, Specification, field

T = TypeVar("T")

_HIGHEST_LIMIT: Final = 10_000
_HIGHEST_SKIP: Final = 2**31 - 1  # beyond what any list holds, and any driver takes
_OWN_NAMES: Final = {"skip", "limit", "sort", "cursor"}


@dataclass(frozen=True, slots=True)
class Listing:
    """Say which entities a client asks for; every value is within what was allowed.

    Attributes:
        where: All filters that were given, joined by "and".
        order_by: In the order of the client's ``sort``.
        skip: How many to leave out, 0 to 2,147,483,647.
        limit: How many at most, from 1.
        cursor: Where the page begins: ``next_cursor`` or ``previous_cursor`` of another
            page; None for the first, or where ``skip`` says it.
    """

    where: Specification = ALL
    order_by: tuple[Order, ...] = ()
    skip: int = 0
    limit: int = 50
    cursor: str | None = None

    @property
    def offset(self) -> int | None:
        """What ``paginate`` takes: ``skip``, and None where pages go by cursor."""
        return self.skip or None


@dataclass(frozen=True, slots=True)
class FilterBy:
    """Say how a query parameter filters, where that is not by equality.

    Attributes:
        type: What the parameter is parsed as.
        where: Returns the specification for a value.
    """

    type: type
    where: Callable[[Any], Specification]


class PageOut(BaseSchema, Generic[T]):
    """Show one page: ``PageOut[UserOut].model_validate(page)``."""

    items: list[T]
    total: int | None = None
    has_next: bool = False
    next_cursor: str | None = None
    previous_cursor: str | None = None


_CURSOR: Final = Query(description="next_cursor or previous_cursor of another page.")

Filters: TypeAlias = Mapping[str, type | FilterBy]


def listing(
    *,
    sort: Iterable[str] = (),
    filters: Filters | None = None,
    limit: int = 50,
    max_limit: int = 200,
) -> Callable[..., Listing]:
    """Return a dependency that reads where a list begins, its limit, sort and filters.

    ``Annotated[Listing, Depends(listing(sort=("name",), filters={"name": str}))]``
    takes ``?name=Ada&sort=-name&skip=20&limit=10``. Whatever is not named here can't be
    filtered or sorted by. The parameters show up in the OpenAPI document.

    Args:
        sort: The fields that a client may sort by; ``-name`` is descending, and several
            are joined by commas.
        filters: Query parameters by name: a type filters the field of that name by
            equality, ``FilterBy`` in any other way.
        limit: The limit when none is given.
        max_limit: The highest limit that a client may ask for, at most 10,000.

    Raises:
        UsageError: A limit is out of bounds, or a filter is called skip, limit, sort or
            cursor.
    """
    sortable = tuple(sort)
    by_name = {name: _filter_by(name, how) for name, how in (filters or {}).items()}
    if not 1 <= limit <= max_limit <= _HIGHEST_LIMIT:
        raise UsageError(
            f"limit={limit}, max_limit={max_limit}: 1 <= limit <= max_limit <= "
            f"{_HIGHEST_LIMIT} must hold"
        )
    taken = sorted(_OWN_NAMES & by_name.keys())
    if taken:
        raise UsageError(f"a filter can't be called {', '.join(taken)}: rename it")

    def read(**query: Any) -> Listing:
        where = ALL
        for name, how in by_name.items():
            if query[name] is not None:
                condition = how.where(query[name])
                where = condition if where is ALL else where & condition
        order_by = _order_by(query["sort"], sortable) if sortable else ()
        skip, cursor = query["skip"], query["cursor"]
        if skip and cursor is not None:
            raise ValidationError(
                "a page begins at skip or at cursor, not at both",
                fields=("skip", "cursor"),
            )
        return Listing(where, order_by, skip, query["limit"], cursor)

    parameters = [
        parameter("skip", Annotated[int, Query(ge=0, le=_HIGHEST_SKIP)], 0),
        parameter("limit", Annotated[int, Query(ge=1, le=max_limit)], limit),
        parameter("cursor", Annotated[str | None, _CURSOR], None),
        *(parameter(name, how.type | None, None) for name, how in by_name.items()),
    ]
    if sortable:
        shown = f"Comma-separated: {', '.join(sortable)}; a leading - is descending."
        sort_type = Annotated[str | None, Query(description=shown)]
        parameters.append(parameter("sort", sort_type, None))
    # FastAPI reads the parameters here.
    read.__signature__ = inspect.Signature(parameters, return_annotation=Listing)  # type: ignore[attr-defined] # inspect's own protocol
    return read


def _filter_by(name: str, how: type | FilterBy) -> FilterBy:
    if isinstance(how, FilterBy):
        return how
    return FilterBy(how, lambda value: field(name) == value)


def parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    """Return a parameter of a dependency that is made at run time."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _order_by(text: str | None, sortable: tuple[str, ...]) -> tuple[Order, ...]:
    order: dict[str, Order] = {}  # to sort by a field once more changes nothing
    for item in (text or "").split(","):
        name = item.strip().removeprefix("-")
        if not name:
            continue
        if name not in sortable:
            raise ValidationError(
                f"sort takes {', '.join(sortable)}; a leading - is descending",
                fields=("sort",),
            )
        is_descending = item.strip().startswith("-")
        by = field(name).desc() if is_descending else field(name).asc()
        order.setdefault(name, by)
    return tuple(order.values())
