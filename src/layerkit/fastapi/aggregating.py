"""Reports over HTTP: groups and figures of what is allowed, and of nothing else."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import Query

from layerkit.fastapi.listing import parameter
from layerkit.repository import ALL, AggregateRow, BaseRepository, Specification


@dataclass(frozen=True, slots=True)
class Aggregating:
    """Say which groups and figures a client asks for; each is one that was allowed.

    Attributes:
        by: The fields to group by.
        sum: The fields to add up.
        min: The fields to take the smallest value of.
        max: The fields to take the greatest value of.
        avg: The fields to take the average of.
    """

    by: tuple[str, ...] = ()
    sum: tuple[str, ...] = ()
    min: tuple[str, ...] = ()
    max: tuple[str, ...] = ()
    avg: tuple[str, ...] = ()

    async def of(
        self, repository: BaseRepository[Any, Any], where: Specification = ALL
    ) -> list[AggregateRow]:
        """Return these figures of what matches *where* in *repository*."""
        return await repository.aggregate(where, **asdict(self))


def aggregating(
    *,
    by: Iterable[str] = (),
    sum: Iterable[str] = (),  # noqa: A002 - the verb's word
    min: Iterable[str] = (),  # noqa: A002 - the verb's word
    max: Iterable[str] = (),  # noqa: A002 - the verb's word
    avg: Iterable[str] = (),
) -> Callable[..., Aggregating]:
    """Return a dependency that reads by what to group, and what to work out.

    ``Annotated[Aggregating, Depends(aggregating(by={"status"}, sum={"amount"}))]``
    takes ``?by=status&sum=amount``; a name may come several times. Any other field is
    a 422. What nothing is allowed for is no parameter. Let clients group by fields
    with few values: more than 10,000 groups are an error.

    Args:
        by: The fields that a client may group by.
        sum: The fields that it may have added up.
        min: The fields that it may ask the smallest value of.
        max: The fields that it may ask the greatest value of.
        avg: The fields that it may ask the average of.
    """
    allowed = {"by": by, "sum": sum, "min": min, "max": max, "avg": avg}

    def read(**query: list[str]) -> Aggregating:
        return Aggregating(**{n: tuple(v) for n, v in query.items()})

    parameters = [
        parameter(figure, Annotated[list[Literal[tuple(sorted(names))]], Query()], [])  # type: ignore[misc] # mypy reads no Literal that is made at run time
        for figure, given in allowed.items()
        if (names := set(given))
    ]
    # FastAPI reads the parameters here.
    read.__signature__ = inspect.Signature(parameters, return_annotation=Aggregating)  # type: ignore[attr-defined] # inspect's own protocol
    return read
