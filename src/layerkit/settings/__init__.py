"""The settings of an application, read from its environment.

It is not part of ``import layerkit``, since pydantic-settings takes its time to import.
"""

from layerkit.core.redaction import redacted
from layerkit.settings.base import Explained, Settings, get_settings
from layerkit.settings.checks import Finding

__all__ = ["Explained", "Finding", "Settings", "get_settings", "redacted"]
