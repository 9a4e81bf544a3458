"""The unit of work: one block, one transaction, hooks and events after its commit."""

from layerkit.unit_of_work.base import UnitOfWork, current_unit, transaction_of
from layerkit.unit_of_work.plain import PlainTransaction, plain_unit_of_work
from layerkit.unit_of_work.shield import (
    COMMIT_TIMEOUT_SECONDS,
    OverdueError,
    is_being_cancelled,
    running_task,
    shielded,
    within,
)
from layerkit.unit_of_work.sink import EventSink
from layerkit.unit_of_work.transaction import Hook, Transaction, run_hooks

__all__ = [
    "COMMIT_TIMEOUT_SECONDS",
    "EventSink",
    "Hook",
    "OverdueError",
    "PlainTransaction",
    "Transaction",
    "UnitOfWork",
    "current_unit",
    "is_being_cancelled",
    "plain_unit_of_work",
    "run_hooks",
    "running_task",
    "shielded",
    "transaction_of",
    "within",
]
