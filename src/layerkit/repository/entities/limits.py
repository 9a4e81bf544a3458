"""What a column holds of the values of its class: one rule for every home.

Numbers are rounded once, as PostgreSQL and MariaDB do it, and what no column holds is
refused, also by homes that could keep it: a test in memory passes nothing that
production refuses.
"""

import json
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import MAX_EMAX, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from math import inf, isfinite
from typing import Any, Final
from uuid import UUID

from layerkit.repository.entities.nesting import CONTAINERS, check_depth


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
        digits: The most digits of a decimal that is kept as a float.
        single: True where a float has four bytes.
        zoned: Whether times have a zone. A datetime becomes one of UTC, aware or naive
            as the column is; a time of day is refused that is not as the column is.
        json: True where values are documents.
        uuid: True where texts are UUIDs.
        since_1970: True where a timedelta is kept as the moment that it leads to.
    """

    length: int | None = None
    choices: frozenset[str] | None = None
    least: int | None = None
    greatest: int | None = None
    precision: int | None = None
    scale: int | None = None
    digits: int | None = None
    single: bool = False
    zoned: bool | None = None
    json: bool = False
    uuid: bool = False
    since_1970: bool = False

    def held(self, kind: type | None, value: Any) -> Any:
        """Return *value*, of the class *kind*, as the column holds it.

        Raises:
            ValueError: It holds no such value; the text says why.
        """
        if isinstance(value, CONTAINERS):
            check_depth(value)
        if self.json:
            return _document(value)
        keep = _KEEPERS.get(kind) if value is not None else None
        return value if keep is None else keep(self, value)

    def ends(self, kind: type | None) -> tuple[Any, Any] | None:
        """Return the least and the greatest number that a sum in the column may be.

        One that is kept as a float needs its last digit behind the point as well, where
        the column says how many these are.
        """
        if self.least is not None and self.greatest is not None:
            return self.least, self.greatest
        if self.whole is not None and self.scale is not None:
            past = Decimal(10**self.whole)
            if self.digits is not None and self.precision is not None:
                past = min(past, Decimal(10) ** (self.digits - self.scale))
            end = past - Decimal(1).scaleb(-self.scale)
            return -end, end
        most = sys.float_info.max
        return (-most, most) if kind is float else None

    @property
    def whole(self) -> int | None:
        """How many digits a decimal has before the point at most."""
        if self.precision is None or self.scale is None:
            return self.digits
        most = self.precision - self.scale
        return most if self.digits is None else min(most, self.digits)

    def sought(self, kind: type | None, value: Any) -> Any:
        """Return *value* as it is compared with what the column holds.

        A number keeps its digits, and one beyond the column is just that.

        Raises:
            ValueError: No database takes it.
        """
        keep = _SEEKERS.get(kind)
        return value if keep is None or value is None else keep(self, value)

    def floor(self, value: Decimal | int) -> Decimal:
        """Return *value* or the next decimal below it, in the scale of the column."""
        number = Decimal(value)
        if number.adjusted() > _DIGITS:
            return Decimal((number.is_signed(), (1,), _DIGITS))
        if self.scale is None:
            return number
        with localcontext(prec=2 * _DIGITS, Emin=-MAX_EMAX, Emax=MAX_EMAX):
            return number.quantize(Decimal(1).scaleb(-self.scale), ROUND_FLOOR)


def _text(limits: Limits, value: str) -> str:
    value = _sought_text(limits, value)
    if limits.length is not None and len(value) > limits.length:
        raise ValueError(f"must have at most {limits.length} characters")
    if limits.choices is not None and value not in limits.choices:
        raise ValueError(f"must be one of {', '.join(sorted(limits.choices))}")
    return value


def _sought_text(limits: Limits, value: str) -> str:
    return _uuid(value) if limits.uuid else _plain_text(value)


def _plain_text(value: str) -> str:
    value = str.__str__(value)  # of a class of its own, a StrEnum say, plain
    if "\0" in value:
        raise ValueError("must not hold the character NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be Unicode, without lone surrogates") from None
    return value


def _uuid(value: str) -> str:
    try:
        return str(UUID(value))  # in the one spelling that SQLAlchemy reads
    except ValueError:
        raise ValueError("must be a UUID") from None


def _integer(limits: Limits, value: int) -> int:
    low, high = limits.least, limits.greatest
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"must be from {low} to {high}")
    return int(value)  # of a class of its own, an IntEnum say, plain


def _float(limits: Limits, value: float) -> float:
    try:
        number = to_single(float(value)) if limits.single else float(value)
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise ValueError("must be a number that a float of its size holds")
    if limits.scale is None:
        return number
    return float(_decimal(limits, Decimal(repr(number))))


def _sought_float(limits: Limits, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        return value
    return to_single(number) if limits.single and abs(number) < SINGLE_END else number


def to_single(value: float) -> float:
    """Return the float of four bytes that is nearest to *value*.

    Raises:
        OverflowError: None is.
    """
    (number,) = struct.unpack("f", struct.pack("f", value))
    return float(number)


def _decimal(limits: Limits, value: Decimal | int) -> Decimal:
    number = Decimal(value)
    if limits.scale is None:
        return number
    whole = limits.whole
    with localcontext(prec=_DIGITS):
        is_huge = number.adjusted() >= (_DIGITS - limits.scale - 1)
        if not is_huge:
            number = number.quantize(Decimal(1).scaleb(-limits.scale), ROUND_HALF_UP)
    is_long = is_huge or (whole is not None and number and number.adjusted() >= whole)
    most = limits.digits
    if most is not None and ((is_long and whole == most) or _digits_of(number) > most):
        raise ValueError(f"must have at most {most} digits: SQLite keeps it as a float")
    if is_long:
        end = _DIGITS if whole is None else whole
        raise ValueError(f"must have at most {end} digits before the point")
    return number


def _digits_of(number: Decimal) -> int:
    return len("".join(map(str, number.as_tuple().digits)).strip("0"))


def _binary(_: Limits, value: bytes | bytearray | memoryview) -> bytes:
    return bytes(value)


def _moment(limits: Limits, value: datetime) -> datetime:
    moment = value
    if value.tzinfo is not None:
        try:
            moment = value.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be in the years 1 to 9999 of UTC") from None
    if limits.zoned is None:
        return value
    return moment.replace(tzinfo=UTC if limits.zoned else None)


def _clock(limits: Limits, value: time) -> time:
    if limits.zoned is not None and limits.zoned != (value.tzinfo is not None):
        needs = "must have" if limits.zoned else "must not have"
        raise ValueError(f"{needs} a time zone")
    return value


def _document(value: Any) -> Any:
    """Return what JSON makes of *value*: lists of tuples, texts of numbers as keys.

    Raises:
        ValueError: JSON has no form for it.
    """
    try:
        made = json.loads(json.dumps(value, allow_nan=False))
        for leaf in _leaves(made):
            if isinstance(leaf, str):
                _plain_text(leaf)
    except (TypeError, ValueError) as error:
        raise ValueError("must be what JSON holds") from error
    is_plain = all(type(leaf) in _PLAIN for leaf in _leaves(value))  # no StrEnum, say
    return value if made == value and is_plain else made


def _leaves(document: Any) -> Iterator[Any]:
    """Yield the names in *document*, and what is neither list nor dict."""
    if isinstance(document, dict):
        for name, item in document.items():
            yield name
            yield from _leaves(item)
    elif isinstance(document, list):
        for item in document:
            yield from _leaves(item)
    else:
        yield document


def _span(limits: Limits, value: timedelta) -> timedelta:
    if limits.since_1970:
        try:
            _EPOCH + value  # so SQLAlchemy keeps it where there is no type for it
        except OverflowError:
            raise ValueError(
                "must lead from 1970 to a moment in the years 1 to 9999"
            ) from None
    return value


_DIGITS: Final = 2_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN: Final = (str, int, float, bool, type(None))
SINGLE_END: Final = 3.4e38
_KEEPERS: Final[Mapping[type | None, Callable[[Limits, Any], Any]]] = {
    str: _text,
    int: _integer,
    float: _float,
    Decimal: _decimal,
    bytes: _binary,
    datetime: _moment,
    time: _clock,
    timedelta: _span,
}
_SEEKERS: Final[Mapping[type | None, Callable[[Limits, Any], Any]]] = {
    **{kind: _KEEPERS[kind] for kind in (bytes, datetime, time, timedelta)},
    str: _sought_text,
    float: _sought_float,
}
