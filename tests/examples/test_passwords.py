"""The passwords of the users example."""

import threading

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr
from typing_extensions import override

from examples.users.core.passwords import PasswordHasher


class Algorithm(PasswordHash):
    """Notes which thread it is run by."""

    def __init__(self) -> None:
        super().__init__([Argon2Hasher()])
        self.thread = threading.get_ident()

    @override
    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.thread = threading.get_ident()
        return "hash"


async def test_password_is_hashed_away_from_the_thread_of_the_loop() -> None:
    algorithm = Algorithm()

    assert await PasswordHasher(algorithm).hash(SecretStr("correct horse 7")) == "hash"

    assert algorithm.thread != threading.get_ident()
