"""Counts the statements that an engine sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


@contextmanager
def sent(engine: AsyncEngine) -> Iterator[list[str]]:
    """Yield a list that grows by each statement, transaction control left out."""
    statements: list[str] = []

    def note(*args: Any) -> None:
        statement: str = args[2]
        if not statement.upper().startswith(CONTROL):
            statements.append(" ".join(statement.split()))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
