"""Findings: what is unwise in settings, above all in production."""

import re
from dataclasses import dataclass
from typing import Final

SECRET_LENGTH: Final = 32
_DISTINCT_CHARACTERS: Final = 10
# Words of templates, long enough not to come about by chance.
_PLACEHOLDER: Final = re.compile(
    r"change|secret|example|default|insecure|password|placeholder|your[ _-]",
    re.IGNORECASE,
)
_PRODUCTION: Final = re.compile(r"\s*(?:prod|prd|production|live)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """Say what is unwise, by the names of variables and never their values.

    Attributes:
        variable: The name of the variable.
        text: What is wrong, and what to do.
        is_error: True where it must not be so in production.
    """

    variable: str
    text: str
    is_error: bool = True


def is_weak(secret: str) -> bool:
    """Tell whether *secret* is too short, too uniform or too wordy to be random."""
    return (
        len(secret) < SECRET_LENGTH
        or len(set(secret)) < _DISTINCT_CHARACTERS
        or _PLACEHOLDER.search(secret) is not None
    )


def spells_production(environment: str) -> bool:
    """Tell whether *environment* is ``production``, however it is spelt."""
    return _PRODUCTION.fullmatch(environment) is not None
