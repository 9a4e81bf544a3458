"""Standard logging with a correlation id, and an optional JSON formatter.

No handler is installed and no level is set: that is the application's to do.
"""

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final

from typing_extensions import override

from layerkit.core.serialization import log_ready, log_traceback

correlation_id: ContextVar[str | None] = ContextVar(
    "layerkit_correlation_id", default=None
)
"""The id of what one request or event has caused; None outside of both."""

_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "correlation_id"}
)
# JSON leaves them as they are, and what reads line by line stops at them.
_LINE_BREAKS: Final = {n: f"\\u{n:04x}" for n in (0x85, 0x2028, 0x2029)}
_MEMBERS: Final = frozenset({"timestamp", "level", "logger", "exception", "stack"})


class CorrelationFilter(logging.Filter):
    """Stamp each record with the correlation id of the context that logs it."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = correlation_id.get()
        return True


_correlation_filter = CorrelationFilter()


@cache
def get_logger(name: str) -> logging.Logger:
    """Return the standard logger *name*; its records carry the correlation id."""
    logger = logging.getLogger(name)
    logger.addFilter(_correlation_filter)  # the same filter twice is added once
    return logger


def name_of(function: Callable[..., object]) -> str:
    """Return the name of *function* for a log line; what a partial holds stays out."""
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


class JSONFormatter(logging.Formatter):
    """Write each record as one line of JSON, whatever is in it; it never raises.

    Members: timestamp (ISO 8601, UTC), level, logger, message, correlation_id where
    there is one, every ``extra``, and exception and stack where they are asked for. An
    extra that is named like one of these gets a ``_`` at its end. Objects that JSON
    does not know are written by their members, or as text.

    Secrets are shown as ``***``: an extra, or a member of one, whose name says that it
    is one (password, apiKey, Authorization, ...); SecretStr; in any text, tracebacks
    included, the passwords of addresses, ``password=...``, bearer tokens, and what
    pydantic, SQLAlchemy, PostgreSQL and MariaDB quote of rejected data. A secret that
    nothing distinguishes from other words is shown.

    The message, all extras together, exception and stack are each cut at 32,768
    characters, and say how many were left out; of a traceback, begin and end are kept.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": log_ready(_message(record)),
        }
        stamped = getattr(record, "correlation_id", None) or correlation_id.get()
        if stamped:
            line["correlation_id"] = log_ready(stamped)
        extras = {n: v for n, v in vars(record).items() if n not in _STANDARD}
        for name, value in log_ready(extras).items():
            line[f"{name}_" if name in _MEMBERS else name] = value
        if record.exc_info:
            line["exception"] = log_traceback(self.formatException(record.exc_info))
        elif record.exc_text:  # of a record that came from another process
            line["exception"] = log_traceback(record.exc_text)
        if record.stack_info:
            line["stack"] = log_traceback(self.formatStack(record.stack_info))
        return json.dumps(line, ensure_ascii=False).translate(_LINE_BREAKS)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a line with a mistake in it is better than none
        return f"{log_ready(record.msg)} (its arguments do not fit)"
