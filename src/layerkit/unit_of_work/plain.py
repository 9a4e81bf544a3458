"""The in-memory form: hooks and events without a transaction under them."""

from contextlib import AbstractAsyncContextManager

from typing_extensions import override

from layerkit.core.errors import NotSupportedError
from layerkit.unit_of_work.base import UnitOfWork
from layerkit.unit_of_work.sink import EventSink
from layerkit.unit_of_work.transaction import Transaction, open_blocks


class PlainTransaction(Transaction):
    """Run hooks and publish events on success, drop them on error; nothing else."""

    def __init__(self) -> None:
        super().__init__(home=None)

    @override
    async def _begin(self) -> None:
        """Have nothing to begin."""

    @override
    async def _commit(self) -> None:
        """Have nothing to commit."""

    @override
    async def _rollback(self) -> None:
        """Have nothing to undo."""

    @override
    def _savepoint(self) -> AbstractAsyncContextManager[None]:
        raise NotSupportedError(
            "savepoint() needs a transaction, and this unit has none: "
            "give the service a repository with a home, such as Database"
        )


def plain_unit_of_work(*, events: EventSink | None = None) -> UnitOfWork:
    """Return a unit for code without a home: it joins the open unit, of any home.

    On its own it runs hooks and publishes events on success and drops them on error.
    """
    return UnitOfWork(_open_or_plain, events=events)


def _open_or_plain() -> Transaction:
    innermost = next(open_blocks(), None)
    if innermost is not None and innermost.transaction is not None:
        return innermost.transaction
    return PlainTransaction()
