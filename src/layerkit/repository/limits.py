"""What a column holds of the values of its class: one rule for every home.

Numbers are rounded once, as PostgreSQL and MariaDB do it, and what no column holds is
refused, also by homes that could keep it: a test in memory passes nothing that
production refuses.
"""

import json
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from math import inf, isfinite
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Describe what a column holds of a class's values; None is no limit.

    Attributes:
        length: The most characters of a text.
        choices: The only texts.
        least: The least whole number.
        greatest: The greatest whole number.
        precision: The most digits of a decimal.
        scale: How many of them are behind the point.
        single: True where a float has four bytes.
        json: True where values are documents.
    """

    length: int | None = None
    choices: frozenset[str] | None = None
    least: int | None = None
    greatest: int | None = None
    precision: int | None = None
    scale: int | None = None
    single: bool = False
    json: bool = False

    def held(self, kind: type | None, value: Any) -> Any:
        """Return *value*, of the class *kind*, as the column holds it.

        Raises:
            ValueError: It holds no such value; the text says why.
        """
        if self.json:
            return _document(value)
        keep = _KEEPERS.get(kind) if value is not None else None
        return value if keep is None else keep(self, value)

    def ends(self, kind: type | None) -> tuple[Any, Any] | None:
        """Return the least and the greatest number that the column holds."""
        if self.least is not None and self.greatest is not None:
            return self.least, self.greatest
        if self.precision is not None and self.scale is not None:
            past = Decimal(10 ** (self.precision - self.scale))
            end = past - Decimal(1).scaleb(-self.scale)
            return -end, end
        most = sys.float_info.max
        return (-most, most) if kind is float else None

    def sought(self, kind: type | None, value: Any) -> Any:
        """Return *value* as it is compared with what the column holds.

        A number keeps its digits, and one beyond the column is just that.

        Raises:
            ValueError: No database takes it.
        """
        if kind is float and self.single and isinstance(value, float):
            return _to_single(value) if abs(value) < _SINGLE_END else value
        keep = _SEEKERS.get(kind)
        return value if keep is None or value is None else keep(_ANY, value)


def _text(limits: Limits, value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold the character NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be Unicode, without lone surrogates") from None
    if limits.length is not None and len(value) > limits.length:
        raise ValueError(f"must have at most {limits.length} characters")
    if limits.choices is not None and value not in limits.choices:
        raise ValueError(f"must be one of {', '.join(sorted(limits.choices))}")
    return value


def _integer(limits: Limits, value: int) -> int:
    low, high = limits.least, limits.greatest
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"must be from {low} to {high}")
    return value


def _float(limits: Limits, value: float) -> float:
    try:
        number = _to_single(float(value)) if limits.single else float(value)
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise ValueError("must be a number that a float of its size holds")
    if limits.scale is None:
        return number
    return float(_decimal(limits, Decimal(repr(number))))


def _to_single(value: float) -> float:
    (number,) = struct.unpack("f", struct.pack("f", value))
    return float(number)


def _decimal(limits: Limits, value: Decimal | int) -> Decimal:
    number = Decimal(value)
    if limits.scale is None:
        return number
    whole = None if limits.precision is None else limits.precision - limits.scale
    with localcontext(prec=_DIGITS):
        is_huge = number.adjusted() >= (_DIGITS - limits.scale - 1)
        if not is_huge:
            number = number.quantize(Decimal(1).scaleb(-limits.scale), ROUND_HALF_UP)
    if is_huge or (whole is not None and number and number.adjusted() >= whole):
        raise ValueError(f"must have at most {whole} digits before the point")
    return number


def _binary(_: Limits, value: bytes | bytearray | memoryview) -> bytes:
    return bytes(value)


def _moment(_: Limits, value: datetime) -> datetime:
    if value.tzinfo is not None:
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be in the years 1 to 9999 of UTC") from None
    return value


def _document(value: Any) -> Any:
    """Return what JSON makes of *value*: lists of tuples, texts of numbers as keys.

    Raises:
        ValueError: JSON has no form for it.
    """
    try:
        made = json.loads(json.dumps(value, allow_nan=False))
        _check_texts(made)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("must be what JSON holds") from error
    return value if made == value else made  # it may track changes inside


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        _text(_ANY, value)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _text(_ANY, name)
            _check_texts(item)


_ANY: Final = Limits()
_DIGITS: Final = 2_000
_SINGLE_END: Final = 3.4e38
_KEEPERS: Final[Mapping[type | None, Callable[[Limits, Any], Any]]] = {
    str: _text,
    int: _integer,
    float: _float,
    Decimal: _decimal,
    bytes: _binary,
    datetime: _moment,
}
_SEEKERS: Final[Mapping[type | None, Callable[[Limits, Any], Any]]] = {
    kind: _KEEPERS[kind] for kind in (str, bytes, datetime)
}
