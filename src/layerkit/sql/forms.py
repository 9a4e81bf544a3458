"""Columns that store one value in several forms, compared as what is read from them.

SQLite keeps times as texts: its own clock writes none of the microseconds that
SQLAlchemy does, and other programs a T or fewer digits. It keeps decimals as floats,
which sums make longer than what is read. MySQL's FLOAT has four bytes, of which six
digits are read. The texts of a day begin alike, so an index still narrows a search.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeGuard

from sqlalchemy import (
    BINARY,
    CHAR,
    REAL,
    ColumnElement,
    DateTime,
    Dialect,
    Double,
    Float,
    Numeric,
    String,
    Time,
    TypeDecorator,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    type_coerce,
)
from sqlalchemy.types import TypeEngine

from layerkit.repository.entities.limits import SINGLE_END, to_single
from layerkit.sql.dialects.kinds import DIGITS, keeps, scale_of

MYSQL: Final = frozenset({"mysql", "mariadb"})
_SINGLE: Final = 24
"""The most bits of a float of four bytes, in SQL."""

_SHOWING: Final = frozenset({"psycopg", "psycopg2"})
"""The drivers that read of a REAL the digits that PostgreSQL shows."""

_SPLITTER: Final = 2.0**29 + 1
_STEP: Final = 2.0**-23
_GREATEST: Final = 10**308
_DAY: Final = 10
_OFFSET: Final = "*:*[+-][0-9][0-9]:[0-9][0-9]"
_OFFSET_LENGTH: Final = 6
_TEMPLATES: Final[dict[type, str]] = {
    DateTime: "0000-00-00 00:00:00.000000",
    Time: "00:00:00.000000",
}


@dataclass(frozen=True, slots=True)
class Form:
    """Say how a column is compared.

    Attributes:
        read: The column as what is read from it.
        given: Makes of a value what ``read`` is compared with.
        bounds: Makes of a value the least and the greatest that the column itself may
            store for it; None where no index is worth it.
    """

    read: Any
    given: Callable[[Any], Any]
    bounds: Callable[[Any], tuple[Any, Any]] | None = None


def plain_type(kind: TypeEngine[Any], dialect: str) -> TypeEngine[Any]:
    """Return what *kind* decorates on that dialect, or itself."""
    kind = kind._variant_mapping.get(dialect, kind)  # noqa: SLF001 - SQLAlchemy has no public name for it
    while isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    return kind


def _is_short(kind: TypeEngine[Any]) -> bool:
    """Tell whether MySQL keeps floats of *kind* in four bytes."""
    if not isinstance(kind, Float) or isinstance(kind, Double | REAL):
        return False
    return (kind.precision or 0) <= _SINGLE


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def rounding(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], bool] | None:
    """Return what tells whether another value is read in place of one that was stored.

    Six digits are read of MySQL's FLOAT, its times have no microseconds unless they are
    asked for, and its NUMERIC no decimals. psycopg reads of a REAL what PostgreSQL
    shows, and PostgreSQL fills a CHAR up with blanks. SQLite and MySQL have no times
    with a zone, and SQLite no decimals.

    Returns:
        None where values are read as they were stored.
    """
    plain = plain_type(kind, dialect.name)
    if _changes_what_it_sends(kind):
        return partial(_is_changed, kind, dialect)
    if isinstance(kind, DateTime) and kind.timezone and not keeps(DateTime, dialect):
        return bool
    if _is_noisy(plain, dialect):
        return partial(_has_noise, scale_of(plain))
    if dialect.name == "postgresql":
        if is_single(plain) and dialect.driver in _SHOWING:
            return lambda value: _shown(value) != value
        return bool if isinstance(plain, CHAR) else None
    return partial(_is_rounded, kind, plain) if dialect.name in MYSQL else None


def _changes_what_it_sends(kind: TypeEngine[Any]) -> TypeGuard[TypeDecorator[Any]]:
    """Tell whether *kind* is of a user's own, and may send another value."""
    if not isinstance(kind, TypeDecorator):
        return False
    is_own = not type(kind).__module__.startswith(("layerkit.", "sqlalchemy."))
    return is_own and (
        type(kind).process_bind_param is not TypeDecorator.process_bind_param
    )


def _is_changed(kind: TypeDecorator[Any], dialect: Dialect, value: object) -> bool:
    """Tell whether *kind* reads another value than *value*, which it has sent."""
    sent = kind.process_bind_param(value, dialect)
    if type(kind).process_result_value is TypeDecorator.process_result_value:
        return bool(sent != value)
    try:
        return bool(kind.process_result_value(sent, dialect) != value)
    except Exception:  # noqa: BLE001 - it reads what a driver makes of it, and only that
        return True  # the database tells


def _is_noisy(
    kind: TypeEngine[Any], dialect: Dialect
) -> TypeGuard[Numeric[Any] | Float[Any]]:
    """Tell whether decimals are read of a float, and some digits that it has beyond."""
    if not getattr(kind, "asdecimal", False):
        return False
    return isinstance(kind, Float) or not keeps(Numeric, dialect)


def _has_noise(scale: int, value: Decimal) -> bool:
    return Decimal(f"{float(value):.{scale}f}") != value


def _is_rounded(kind: TypeEngine[Any], plain: TypeEngine[Any], value: object) -> bool:
    if isinstance(value, float):
        return _is_short(plain) and _six_digits(value) != value
    if isinstance(value, str):
        return isinstance(plain, CHAR) and value.endswith(" ")
    if isinstance(value, bytes):
        return isinstance(plain, BINARY) and len(value) != plain.length
    if isinstance(value, Decimal):
        scale = getattr(plain, "scale", None) or 0
        return type(plain) is Numeric and round(value, scale) != value
    part = getattr(value, "microsecond", getattr(value, "microseconds", 0))
    digits = getattr(kind, "fsp", None) or getattr(plain, "fsp", None)
    return bool(part) and digits is None


def _shown(value: float) -> float:
    """Return the float of the fewest digits that tell a float of four bytes apart."""
    return next(
        n for d in range(6, 10) if to_single(n := float(f"{value:.{d}g}")) == value
    )


def is_single(kind: TypeEngine[Any]) -> bool:
    """Tell whether *kind* says that its floats have four bytes."""
    if isinstance(kind, REAL):
        return True
    bits = kind.precision if type(kind) is Float else None
    return bits is not None and bits <= _SINGLE


def form_of(column: Any, dialect: str) -> Form | None:
    """Return how *column* is compared; None where its values have one form."""
    kind = plain_type(column.type, dialect)
    if dialect == "sqlite":
        template = next((t for k, t in _TEMPLATES.items() if isinstance(kind, k)), None)
        if template is not None:
            return _text_form(column, template)
        if isinstance(kind, Numeric | Float) and kind.asdecimal:
            return _decimal_form(column, scale_of(kind))
    if dialect in MYSQL and _is_short(kind):
        read = func.concat(column) + literal_column("0e0", Double)
        return Form(type_coerce(read, Double), _six_digits)
    if is_single(kind) and dialect == "postgresql":
        return Form(column, _to_real)
    if is_single(kind):
        return Form(as_single(column), _narrowed, _single_bounds)
    return None


def as_float(value: Any) -> Any:
    """Return the float nearest to an integer; other numbers as they are."""
    if not isinstance(value, int):
        return value
    return float(max(-_GREATEST, min(value, _GREATEST)))


def _narrowed(value: Any) -> Any:
    number = as_float(value)
    return to_single(number) if abs(number) < SINGLE_END else number


def _to_real(value: float) -> Any:
    """Return *value* as a REAL has it, where one does: drivers may show less of it."""
    number = as_float(value)
    return cast(number, REAL) if abs(number) < SINGLE_END else cast(number, Double)


def as_single(number: Any) -> ColumnElement[Any]:
    """Return a number of eight bytes rounded to four, by Veltkamp's splitting."""
    split = number * literal(_SPLITTER, Double())
    return type_coerce(split - (split - number), Double())


def _single_bounds(value: float) -> tuple[float, float]:
    step = abs(value) * _STEP
    return value - step, value + step


def _text_form(column: Any, template: str) -> Form:
    """Return the form of times that are texts."""

    def filled(stored: Any) -> Any:
        spaced = func.rtrim(func.replace(stored, "T", " "), "Z", type_=String)
        whole = spaced.op("||")(func.substr(template, func.length(spaced) + 1))
        return func.substr(whole, 1, len(template), type_=String)

    def sent(value: Any) -> Any:
        return bindparam(None, value, column.type)

    def bounds(value: Any) -> tuple[Any, Any]:
        # One that is written with the offset of a zone may have another day's text.
        day = func.substr(sent(value), 1, _DAY, type_=String)
        low, high = (
            func.coalesce(func.date(day, step, type_=String), day)
            for step in ("-1 day", "+1 day")
        )
        return low, high + "~"

    stored = type_coerce(column, String)
    has_day = len(template) > len(_TEMPLATES[Time])
    if not has_day:
        return Form(filled(stored), lambda value: filled(sent(value)))
    return Form(filled(_in_utc(stored)), lambda value: filled(sent(value)), bounds)


def _in_utc(stored: Any) -> ColumnElement[Any]:
    """Return the text of a time in UTC, which may end with the offset of a zone."""
    has_offset = stored.op("GLOB")(_OFFSET)
    point, end = func.instr(stored, "."), func.length(stored) - _OFFSET_LENGTH
    parts = case((point > 0, func.substr(stored, point, end - point + 1)), else_="")
    moment = func.strftime("%Y-%m-%d %H:%M:%S", stored, type_=String).op("||")(parts)
    return type_coerce(case((has_offset, moment), else_=stored), String)


def _decimal_form(column: Any, scale: int) -> Form:
    """Return the form of decimals that are floats."""
    step = Decimal(1).scaleb(-scale)

    def bounds(value: Any) -> tuple[Any, Any]:
        return Decimal(value) - step, Decimal(value) + step

    def given(value: Any) -> Any:
        bounded = Decimal(max(-_GREATEST, min(value, _GREATEST)))
        return to_digits(bindparam(None, bounded, column.type))

    return Form(rounded(column, scale, column.type), given, bounds)


def rounded(number: Any, scale: int, kind: Any) -> ColumnElement[Any]:
    """Return a decimal that SQLite keeps as a float, with *scale* digits after it."""
    return to_digits(func.round(number, scale, type_=kind))


def to_digits(number: Any) -> ColumnElement[Any]:
    """Return *number* with the digits that SQLite has of it, which ``round`` adds to.

    A null has none.
    """
    shown: Any = cast(func.printf(f"%.{DIGITS}g", number), Double)
    return type_coerce(number * 0 + shown, number.type)
