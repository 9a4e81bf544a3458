"""New objects in one INSERT that returns what the database has made of them."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts

from layerkit.sql.entities import MappedAdapter

_COUNTING: Final = "_layerkit_counting"


async def insert_all(
    session: AsyncSession, adapter: MappedAdapter[Any], entities: Sequence[Any]
) -> None:
    """Add new *entities* to the session, and flush.

    Raises:
        OverflowError: SQLite has no key left that is greater than all others.
    """
    session.add_all(entities)
    key = adapter.integer_key
    given = key is None or any(getattr(e, key) is not None for e in entities)
    bind = {"mapper": adapter.mapper}
    connection = (await session.connection(bind_arguments=bind)).sync_connection
    if given or connection is None or connection.dialect.name != "sqlite":
        await session.flush()
        return
    # SQLite counts a key on from the greatest, so that the keys of a batch tell its
    # order. SQLAlchemy does not rely on that, and would send an INSERT for each row.
    usual = connection.dialect
    connection.dialect = _counting(usual)
    try:
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
