"""Keeping secrets out of what is shown of settings."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

from layerkit.core.redaction import MASK

_SECRET_NAME: Final = re.compile(
    r"key|secret|token|passw|passphrase|pwd|_pass(?:$|_)|credential|dsn", re.IGNORECASE
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
        value: What it holds; containers and models are walked.
    """
    if isinstance(value, SecretStr | SecretBytes):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, str | bytes):
        if value and _SECRET_NAME.search(name):
            return MASK
        return _without_secrets(value) if isinstance(value, str) else value
    if isinstance(value, BaseModel):
        return {key: redacted(f"{name}_{key}", item) for key, item in value}
    if isinstance(value, Mapping):
        return {key: redacted(f"{name}_{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(name, item) for item in value]
    # pydantic's URL types are no strings, and show their passwords.
    shown = _without_secrets(str(value))
    return value if shown == str(value) else shown


def _without_secrets(text: str) -> str:
    return _SECRET_QUERY.sub(rf"\1={MASK}", _USER_INFO.sub(rf"\1:{MASK}@", text))
