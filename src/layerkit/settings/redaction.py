"""Keeping secrets out of what is shown of settings."""

import re
from typing import Any, Final

from pydantic import SecretBytes, SecretStr

MASK: Final = "***"

_SECRET_NAME: Final = re.compile(
    r"key|secret|token|passw|credential|dsn", re.IGNORECASE
)
# Up to the last @: a password may hold one that nobody escaped.
_USER_INFO: Final = re.compile(r"(://[^:/?#@]*):.*@", re.DOTALL)
_SECRET_QUERY: Final = re.compile(
    r"([?&][^=&]*(?:key|secret|token|passw)[^=&]*)=[^&#]*", re.IGNORECASE
)


def redacted(name: str, value: object) -> Any:
    """Return *value* as it may be shown: secrets as ``***``, also inside addresses.

    Args:
        name: The setting's name; text under a name such as ``API_KEY`` is a secret.
        value: What it holds; containers are walked.
    """
    if isinstance(value, SecretStr | SecretBytes):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, str):
        if value and _SECRET_NAME.search(name):
            return MASK
        masked = _USER_INFO.sub(rf"\1:{MASK}@", value)
        return _SECRET_QUERY.sub(rf"\1={MASK}", masked)
    if isinstance(value, dict):
        return {key: redacted(f"{name}_{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(name, item) for item in value]
    return value
