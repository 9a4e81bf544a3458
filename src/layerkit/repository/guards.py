"""Guards: what a change expects of its entity, and locks on what is read for one."""

from typing import Any

from layerkit.core.errors import (
    ConflictError,
    StaleDataError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.repository.entities.adapter import Adapter
from layerkit.repository.entities.checks import checked
from layerkit.repository.entities.fields import type_name
from layerkit.repository.filters.bounds import check_number
from layerkit.repository.filters.specification import ALL, Comparison, Specification
from layerkit.repository.stores.backend import Backend, Lock
from layerkit.unit_of_work import Transaction


def guard(
    adapter: Adapter, expected_version: int | None, when: Specification | None
) -> Specification:
    """Return what must hold of an entity that is to be changed; ALL for no matter what.

    Raises:
        UsageError: The entity has no version, *expected_version* is not one, or *when*
            is no filter of it.
    """
    condition = ALL if when is None else checked(adapter, when)
    if expected_version is None:
        return condition
    if adapter.version is None:
        raise UsageError(
            f"{adapter.name} has no version to expect: add VersionMixin, or "
            "a field `version: int`"
        )
    info = adapter.fields[adapter.version]
    if info.kind is not int:
        raise UsageError(
            f"{adapter.name}.{info.name} holds {type_name(info)}, and "
            "expected_version goes by versions that are numbers: write "
            f"when=field({info.name!r}) == ..."
        )
    check_number("expected_version", expected_version, 0)
    return Comparison(info.name, "eq", expected_version) & condition


async def explain(
    backend: Backend[Any],
    unit: Transaction,
    where: Specification,
    expected_version: int | None,
) -> None:
    """Raise where the entity is there, and only its guard did not hold.

    Raises:
        StaleDataError: It has another version.
        ConflictError: It does not meet the condition.
    """
    adapter = backend.adapter
    if not await backend.count(unit, where, 1, now=True):
        return
    if expected_version is not None:
        current = guard(adapter, expected_version, None)
        if not await backend.count(unit, where & current, 1, now=True):
            raise StaleDataError
    raise ConflictError(f"{adapter.name} does not meet the condition", kind="guard")


def check_lock(lock: Lock, unit: Transaction | None) -> None:
    """Refuse a lock that nothing would hold.

    Raises:
        UsageError: *lock* is no lock mode.
        UnitOfWorkError: No *unit* that may write is open.
    """
    if lock not in ("wait", "nowait", "skip_locked"):
        raise UsageError(f'lock is "wait", "nowait" or "skip_locked", got {lock!r}')
    if unit is None or unit.read_only:
        raise UnitOfWorkError(
            "a lock lasts as long as its unit of work: open one that may write, "
            "`async with repository.unit_of_work():`"
        )
