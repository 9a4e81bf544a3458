"""What older releases of SQLAlchemy, and types of a user's own, leave to us."""

from typing import Any, cast

import asyncpg
from sqlalchemy.types import UserDefinedType
from typing_extensions import override

from layerkit.core.errors import UnavailableError
from layerkit.repository import EntityAdapter
from layerkit.sql import types
from layerkit.sql.errors import translate


def test_what_asyncpg_raises_while_it_connects_is_translated() -> None:
    error = translate(asyncpg.InvalidPasswordError("no"))

    assert isinstance(error, UnavailableError)


class Silent(UserDefinedType[Any]):
    @property
    @override
    def python_type(self) -> type[Any]:
        raise NotImplementedError


def test_a_type_that_does_not_say_what_it_holds_has_no_class() -> None:
    assert types.python_type(Silent()) is None


def test_an_adapter_of_ones_own_starts_counting_at_zero() -> None:
    assert EntityAdapter.start(cast(Any, None), "n") == 0
