"""Findings: what is unwise in settings, above all in production."""

from dataclasses import dataclass
from typing import Final

SECRET_LENGTH: Final = 32
_DISTINCT_CHARACTERS: Final = 10


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
    """Tell whether *secret* is too short or too uniform to be random."""
    return len(secret) < SECRET_LENGTH or len(set(secret)) < _DISTINCT_CHARACTERS
