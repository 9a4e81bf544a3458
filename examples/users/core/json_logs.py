"""Logs as lines of JSON, each with the correlation id of its request."""

import logging

from layerkit.core import JSONFormatter


def configure_logging(*, debug: bool = False) -> None:
    """Send the logs of the whole process to stderr as JSON.

    Args:
        debug: True logs debug messages too.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    handler.addFilter(_without_color)
    level = logging.DEBUG if debug else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _without_color(record: logging.LogRecord) -> bool:
    """Drop uvicorn's second message, which has the colours of a terminal in it."""
    vars(record).pop("color_message", None)
    return True
