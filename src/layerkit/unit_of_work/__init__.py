"""The unit of work: one block, one transaction, hooks and events after its commit."""

from layerkit.unit_of_work.base import UnitOfWork, current_unit
from layerkit.unit_of_work.plain import PlainTransaction, plain_unit_of_work
from layerkit.unit_of_work.shield import is_being_cancelled, shielded
from layerkit.unit_of_work.sink import EventSink
from layerkit.unit_of_work.transaction import (
    Hook,
    Transaction,
    run_hooks,
    transaction_of,
)

__all__ = [
    "EventSink",
    "Hook",
    "PlainTransaction",
    "Transaction",
    "UnitOfWork",
    "current_unit",
    "is_being_cancelled",
    "plain_unit_of_work",
    "run_hooks",
    "shielded",
    "transaction_of",
]
