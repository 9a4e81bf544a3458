"""Which passwords are good enough, and how they are kept."""

import asyncio
from collections.abc import Callable
from typing import Final

from pwdlib import PasswordHash
from pydantic import SecretStr

from layerkit import ValidationError

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 128  # hashing a text of any length would be an invitation

_RULES: Final[dict[str, Callable[[str, str], bool]]] = {
    f"has {MIN_LENGTH} to {MAX_LENGTH} characters": (
        lambda password, _: MIN_LENGTH <= len(password) <= MAX_LENGTH
    ),
    "has a letter": lambda password, _: any(map(str.isalpha, password)),
    "has a digit": lambda password, _: any(map(str.isdigit, password)),
    "is not the e-mail": lambda password, email: password.lower() != email,
}


def check_password(password: SecretStr, email: str) -> None:
    """Refuse a weak password.

    Raises:
        ValidationError: It breaks a rule; all that it breaks are named, it is not.
    """
    text = password.get_secret_value()
    broken = [rule for rule, holds in _RULES.items() if not holds(text, email)]
    if broken:
        raise ValidationError(
            f"A good password {', '.join(broken)}",
            {"rules": broken},
            fields=("password",),
        )


class PasswordHasher:
    """Hash passwords away from the event loop: hashing is slow by design.

    Args:
        algorithm: How; Argon2id with its recommended cost, if left out.
    """

    def __init__(self, algorithm: PasswordHash | None = None) -> None:
        self._algorithm = algorithm or PasswordHash.recommended()

    async def hash(self, password: SecretStr) -> str:
        """Return the hash of *password*, with its salt and parameters."""
        text = password.get_secret_value()
        return await asyncio.to_thread(self._algorithm.hash, text)
