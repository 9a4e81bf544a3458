"""Batches of new objects whose keys come back."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts

from layerkit.sql.entities import MappedAdapter

_COUNTING: Final = "_layerkit_counting"


async def insert_counted(
    session: AsyncSession, adapter: MappedAdapter[Any], entities: Sequence[Any]
) -> None:
    """Add new *entities* without keys on SQLite, and flush them by one INSERT.

    SQLite counts a key on from the greatest, so that the keys of a batch tell its
    order. SQLAlchemy does not rely on that, and would send an INSERT for each row.

    Raises:
        OverflowError: No key is left that is greater than all others.
    """
    bind = {"mapper": adapter.mapper}
    connection: Any = await session.run_sync(
        lambda held: held.connection(bind_arguments=bind)
    )
    usual = connection.dialect
    connection.dialect = _counting(usual)
    try:
        session.add_all(entities)
        await session.flush()
    finally:
        connection.dialect = usual
    ids = [adapter.id_of(entity) for entity in entities]
    if any(later != before + 1 for before, later in pairwise(ids)):
        raise OverflowError("past the last key SQLite takes any, in no order")


def _counting(usual: Dialect) -> Dialect:
    """Return the dialect that takes the keys of a batch for its order."""
    made: Dialect | None = vars(usual).get(_COUNTING)
    if made is None:
        made = copy.copy(usual)
        counted = InsertmanyvaluesSentinelOpts.AUTOINCREMENT
        made.insertmanyvalues_implicit_sentinel = counted
        vars(usual)[_COUNTING] = made  # kept, since statements are cached by dialect
    return made
