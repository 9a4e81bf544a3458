"""Counting SQL statements, so that tests hold code to a budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from sqlalchemy import Engine, event

_CONTROL: Final = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


class TooManyStatementsError(AssertionError):
    """Report that a block has sent more SQL statements than its budget."""


class Statements:
    """Hold the SQL statements that a block has sent, in their order.

    Attributes:
        sql: Their texts, on one line each and without parameters.
        is_open: False once the block has ended, which tasks of its may outlive.
    """

    def __init__(self) -> None:
        self.sql: list[str] = []
        self.is_open = True

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.sql)


_open: ContextVar[tuple[Statements, ...]] = ContextVar(
    "layerkit_statements", default=()
)


@contextmanager
def statements(*, max: int | None = None) -> Iterator[Statements]:  # noqa: A002 - the word for it
    """Count the SQL statements of a block, on whatever engine, and bound them.

    ``with statements(max=2):`` around code in a test counts what this task sends, and
    tasks that it starts inside. BEGIN, COMMIT, savepoints and PRAGMA don't count; one
    execution for many rows is one statement. Blocks nest, and each counts all.

    Args:
        max: The most there may be.

    Yields:
        What was sent so far; it grows.

    Raises:
        TooManyStatementsError: There were more than *max*; it lists them. An error from
            inside the block passes in its place.
    """
    seen = Statements()
    _open.set((*_open.get(), seen))
    try:
        yield seen
    finally:
        seen.is_open = False
        # No reset: a fixture may be left in another context than it was entered in.
        _open.set(tuple(block for block in _open.get() if block.is_open))
    if max is not None and seen.count > max:
        listed = "\n".join(f"  {n}. {sql}" for n, sql in enumerate(seen.sql, 1))
        raise TooManyStatementsError(
            f"{seen.count} SQL statements were sent, and at most {max} may be:\n"
            + listed
        )


@event.listens_for(Engine, "before_cursor_execute")
def _note(_connection: object, _cursor: object, statement: str, *_others: Any) -> None:
    for block in _open.get():
        if block.is_open and not statement.lstrip().upper().startswith(_CONTROL):
            block.sql.append(" ".join(statement.split()))
