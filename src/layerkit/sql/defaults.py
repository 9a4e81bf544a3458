"""What the defaults of columns give, made here and not by the database."""

import copy
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Column
from sqlalchemy.sql.functions import FunctionElement

from layerkit.core.errors import NotSupportedError
from layerkit.repository.entities.fields import FieldInfo
from layerkit.repository.entities.limits import Limits

_NOW: Final = frozenset({"NOW", "CURRENT_TIMESTAMP"})


class Context:
    """What a default function gets, to look at the other values of its row.

    Args:
        owner: Whose default it is, for messages.
        values: The other values by the key of their columns; None where a statement
            writes many rows at once.
    """

    def __init__(self, owner: str, values: dict[str, Any] | None) -> None:
        self._owner, self._values = owner, values

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the values.

        Raises:
            NotSupportedError: There are none.
        """
        if self._values is None:
            raise NotSupportedError(
                f"what an update sets {self._owner} to goes by the other values of its "
                "row, which no upsert knows: use create and update"
            )
        return self._values

    @property
    def current_parameters(self) -> Any:
        """The values, by SQLAlchemy's older name."""
        return self.get_current_parameters()


def is_python(default: Any) -> bool:
    """Tell whether *default* is a value or a function of Python's."""
    return any(getattr(default, f"is_{kind}", False) for kind in ("scalar", "callable"))


def is_made_here(default: Any) -> bool:
    """Tell whether ``value_of`` can do without the database: also for its own clock."""
    if is_python(default):
        return True
    argument = getattr(default, "arg", None)
    if isinstance(argument, FunctionElement):
        return str(getattr(argument, "name", "")).upper() in _NOW
    return str(argument).strip("()").upper() in _NOW


def may_not_fit(field: FieldInfo, default: Any) -> bool:
    """Tell whether *field* may hold otherwise what *default* of its column gives.

    A function that looks at the other values of its row is left to SQLAlchemy.
    """
    if getattr(default, "is_callable", False):
        is_limited = field.kind is float or field.limits != Limits()
        return is_limited and hasattr(default.arg, "__wrapped__")
    if not getattr(default, "is_scalar", False) or not field.accepts(default.arg):
        return False
    try:
        return repr(field.held(default.arg)) != repr(default.arg)
    except ValueError:
        return True


def value_of(
    column: Column[Any], default: Any, owner: str, values: dict[str, Any] | None
) -> Any:
    """Return the value that a default of *column* gives, which ``is_made_here``.

    Args:
        column: Whose default it is.
        default: What makes the value.
        owner: As for ``Context``.
        values: As for ``Context``.
    """
    if not is_python(default):
        now = datetime.now(UTC)
        is_aware = getattr(column.type, "timezone", False)
        return now if is_aware else now.replace(tzinfo=None)
    if default.is_callable:
        return default.arg(Context(owner, values))
    return copy.deepcopy(default.arg)
