"""Column types that a server without them keeps: times with a zone, and decimals.

SQLAlchemy drops the zone there as it is given, 12:00 in Paris is read as 12:00, and
reads of a decimal on SQLite what the float has behind its last digit. The engines that
a Database makes keep the moment and the digits, as PostgreSQL does.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, Final

from sqlalchemy import DateTime, Dialect, Numeric
from typing_extensions import override

from layerkit.sql.dialects.numbers import DIGITS, scale_of

_MOST_DIGITS: Final = 400
"""How many digits any float has before the point, and some behind it."""


class InUTC(DateTime):
    """Send aware datetimes in UTC, and read them so where the column has a zone."""

    @override
    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        send = super().bind_processor(dialect)

        def sent(value: Any) -> Any:
            if isinstance(value, datetime) and value.tzinfo is not None:
                value = value.astimezone(UTC).replace(tzinfo=None)
            return value if send is None else send(value)

        return sent

    @override
    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], Any] | None:
        read = super().result_processor(dialect, coltype)
        zone = UTC if self.timezone else None
        if read is None and zone is None:
            return None

        def in_utc(value: Any) -> Any:
            found = value if read is None else read(value)
            if found is None or found.tzinfo is zone:
                return found
            moment = found.astimezone(UTC) if found.tzinfo is not None else found
            return moment.replace(tzinfo=zone)

        return in_utc


class InDigits(Numeric[Any]):
    """Read the digits that a float has of a decimal."""

    @override
    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], Any] | None:
        if not self.asdecimal:
            return None  # it is a float already
        places = Decimal(1).scaleb(-scale_of(self))

        def in_digits(value: Any) -> Decimal | None:
            if value is None:
                return None
            exact = isinstance(value, int)  # as SQLite keeps a whole number
            number = Decimal(value if exact else f"{float(value):.{DIGITS}g}")
            with localcontext(prec=_MOST_DIGITS):
                return number.quantize(places, ROUND_HALF_UP)

        return in_digits
