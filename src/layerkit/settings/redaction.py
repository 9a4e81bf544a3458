"""Keeping secrets out of what is shown of settings."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from layerkit.core.redaction import MASK, hides, redacted_text


def redacted(name: str, value: object) -> Any:
    """Return *value* as it may be shown: secrets as ``***``, also inside addresses.

    Args:
        name: The setting's name; text under a name such as ``API_KEY`` is a secret.
        value: What it holds; containers and models are walked.
    """
    if isinstance(value, SecretStr | SecretBytes):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, BaseModel):
        value = dict(value)
    elif hides(name, value):
        return MASK
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return {key: redacted(f"{name}_{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(name, item) for item in value]
    # pydantic's URL types are no strings, and show their passwords.
    shown = redacted_text(str(value))
    return value if shown == str(value) else shown
