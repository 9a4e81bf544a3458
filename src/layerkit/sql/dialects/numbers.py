"""Numbers as columns hold them: floats of four bytes and of eight, and decimals."""

import sys
from decimal import Decimal
from typing import Any, Final, TypeGuard

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from layerkit.repository.entities.limits import SINGLE_END, to_single
from layerkit.sql.dialects.records import Form

DIGITS: Final = sys.float_info.dig
"""How many digits of a decimal a float has for certain."""

SINGLE_BITS: Final = 24
"""The most bits of a float of four bytes, in SQL."""

GREATEST: Final = 10**308
"""About the greatest float."""

_SPLITTER: Final = 2.0**29 + 1
_STEP: Final = 2.0**-23


def plain_type(kind: TypeEngine[Any], dialect: str) -> TypeEngine[Any]:
    """Return what *kind* decorates on the dialect of that name, or itself."""
    kind = kind._variant_mapping.get(dialect, kind)  # noqa: SLF001 - SQLAlchemy has no public name for it
    if isinstance(kind, sa.TypeDecorator):
        return plain_type(kind.impl_instance, dialect)
    return kind


def scale_of(kind: sa.Numeric[Any] | sa.Float[Any]) -> int:
    """Return how many decimals are read of a number that is stored as a float."""
    return int(kind._effective_decimal_return_scale)  # noqa: SLF001 - SQLAlchemy's own rule, which has no public name


def reads_decimals(kind: TypeEngine[Any]) -> TypeGuard[sa.Numeric[Any] | sa.Float[Any]]:
    """Tell whether decimals are read of a column of *kind*."""
    return isinstance(kind, sa.Numeric | sa.Float) and bool(kind.asdecimal)


def is_single(kind: TypeEngine[Any]) -> bool:
    """Tell whether *kind* says that its floats have four bytes."""
    if isinstance(kind, sa.REAL):
        return True
    bits = kind.precision if type(kind) is sa.Float else None
    return bits is not None and bits <= SINGLE_BITS


def as_float(value: Any) -> Any:
    """Return the float nearest to an integer; other numbers as they are."""
    return float(bounded(value)) if isinstance(value, int) else value


def bounded(value: Any) -> Any:
    """Return *value*, or the end of all floats that it is beyond."""
    return max(-GREATEST, min(value, GREATEST))


def as_single(number: Any) -> sa.ColumnElement[Any]:
    """Return a number of eight bytes rounded to four, by Veltkamp's splitting."""
    split = number * sa.literal(_SPLITTER, sa.Double())
    return sa.type_coerce(split - (split - number), sa.Double())


def single_form(column: Any) -> Form:
    """Return how floats of four bytes are compared that are stored in eight."""
    return Form(as_single(column), _narrowed, _single_bounds)


def _narrowed(value: Any) -> Any:
    number = as_float(value)
    return to_single(number) if abs(number) < SINGLE_END else number


def _single_bounds(value: float) -> tuple[float, float]:
    step = abs(value) * _STEP
    return value - step, value + step


def has_noise(scale: int, value: Decimal) -> bool:
    """Tell whether a float of *value* has other digits than it, so many decimals on."""
    return Decimal(f"{float(value):.{scale}f}") != value
