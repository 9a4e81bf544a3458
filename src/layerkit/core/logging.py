"""Standard logging with a correlation id, and an optional JSON formatter.

No handler is installed and no level is set: that is the application's to do.
"""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from typing_extensions import override

correlation_id: ContextVar[str | None] = ContextVar(
    "layerkit_correlation_id", default=None
)
"""The id of what one request or event has caused; None outside of both."""

_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "correlation_id"}
)
_SECRET: Final = re.compile(
    r"password|secret|token|authorization|api_?key|dsn", re.IGNORECASE
)
_MASK: Final = "***"


class CorrelationFilter(logging.Filter):
    """Stamp each record with the correlation id of the context that logs it."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = correlation_id.get()
        return True


_correlation_filter = CorrelationFilter()


def get_logger(name: str) -> logging.Logger:
    """Return the standard logger *name*; its records carry the correlation id."""
    logger = logging.getLogger(name)
    logger.addFilter(_correlation_filter)  # the same filter twice is added once
    return logger


class JSONFormatter(logging.Formatter):
    """Write each record as one line of JSON.

    Members: timestamp (ISO 8601, UTC), level, logger, message, correlation_id where
    there is one, exception where there is one, and every ``extra``. An extra whose
    name says that it is a secret (password, token, ...) is shown as ``***``.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        stamped = getattr(record, "correlation_id", None) or correlation_id.get()
        if stamped:
            line["correlation_id"] = stamped
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = _masked(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _masked(name: str, value: object) -> object:
    if _SECRET.search(name):
        return _MASK
    if isinstance(value, dict):
        return {str(key): _masked(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(name, item) for item in value]
    return value
