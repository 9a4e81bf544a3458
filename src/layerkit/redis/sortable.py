"""Values as texts in Redis keys: equal where the values are, and in their order.

Members of a sorted set with equal scores are compared byte by byte, and the UTF-8 of
two texts sorts as their code points do. So with these texts a sorted set is an index.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from layerkit.core.errors import ValidationError
from layerkit.repository import FieldInfo

_LONG: Final = 10**99
_COMPLEMENT: Final = str.maketrans("0123456789", "9876543210")
_HEX_COMPLEMENT: Final = str.maketrans("0123456789abcdef", "fedcba9876543210")
_MICROSECOND: Final = timedelta(microseconds=1)


def sortable(info: FieldInfo, value: object) -> str:
    """Return *value* as a text that sorts and compares as the field's values do.

    Raises:
        ValidationError: It has no such text: a NaN, a collection, a text that is not
            Unicode.
    """
    try:
        text = _text(value, is_integer=info.kind is int)
        text.encode()
    except (ValueError, OverflowError) as error:
        raise ValidationError(
            f"{info.name} holds a {type(value).__name__} that can't be part of a key "
            f"or an index: {error}",
            fields=(info.name,),
        ) from error
    return text


def joined(texts: Iterable[str]) -> str:
    """Return several of these texts as one that sorts as their tuple does."""
    return "\0".join(texts)


def _text(value: object, *, is_integer: bool) -> str:
    """Return the text of *value*; a letter in front keeps the kinds apart.

    Raises:
        ValueError: It has none.
    """
    if isinstance(value, Enum):
        return "e" + _escaped(value.name)
    if is_integer and isinstance(value, int):
        return "i" + _integer(value)
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    raise ValueError("it has no order")


def _escaped(text: str) -> str:
    """Keep the zero, which parts the texts of a composite key, out of *text*."""
    return text.replace("\1", "\1\2").replace("\0", "\1\1")


def _integer(value: int) -> str:
    """Return the length first, so that 9 comes before 10; below zero all reversed."""
    if abs(value) >= _LONG:
        return _long_integer(value)
    digits = str(abs(value))
    text = f"{len(digits):02}.{digits}"
    return text if value >= 0 else "-" + text.translate(_COMPLEMENT)


def _long_integer(value: int) -> str:
    """Return what no database holds and anyone may ask for, beyond all other ones.

    In base 16, since Python refuses to write long ones in decimals.
    """
    digits = f"{abs(value):x}"
    text = f"{len(digits):012}.{digits}"
    return f"~{text}" if value > 0 else "-!" + text.translate(_HEX_COMPLEMENT)


def _number(value: Decimal | float) -> str:
    """Return sign, exponent and digits; one text for 1, 1.0 and 1.00.

    Raises:
        ValueError: It is a NaN.
    """
    number = Decimal(value)
    if number.is_nan():
        raise ValueError("NaN equals nothing")
    if number.is_infinite():
        return "d~" if number > 0 else "d!"
    if not number:
        return "d0"
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if number > 0:
        return f"d1{_integer(number.adjusted())}.{digits}"
    # The mark at the end is greater than any digit: -1.55 comes before -1.5.
    return f"d-{_integer(-number.adjusted())}.{digits.translate(_COMPLEMENT)}~"


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        return "l" + value.isoformat(timespec="microseconds")
    utc = value.astimezone(UTC).replace(tzinfo=None)
    return "t" + utc.isoformat(timespec="microseconds")


def _time(value: time) -> str:
    """Return a time of day.

    Raises:
        ValueError: It has a zone.
    """
    if value.tzinfo is not None:
        raise ValueError("a time of a zone has no order among others")
    return "c" + value.isoformat(timespec="microseconds")


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: lambda value: "s" + _escaped(value),
    int: _number,
    float: _number,
    Decimal: _number,
    UUID: lambda value: "u" + str(value),
    datetime: _moment,
    date: lambda value: "a" + value.isoformat(),
    time: _time,
    timedelta: lambda value: "p" + _integer(value // _MICROSECOND),
    bytes: lambda value: "y" + value.hex(),
    bytearray: lambda value: "y" + value.hex(),
    memoryview: lambda value: "y" + value.hex(),
}
"""By class, a datetime before a date, which it is as well."""
