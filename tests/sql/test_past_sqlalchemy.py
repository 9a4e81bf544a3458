"""What older releases of SQLAlchemy, and types of a user's own, leave to us."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import aiosqlite
import asyncpg
import pytest
from sqlalchemy.types import UserDefinedType
from sqlalchemy.util import greenlet_spawn
from typing_extensions import override

from layerkit.core.errors import UnavailableError
from layerkit.repository import EntityAdapter
from layerkit.sql import types
from layerkit.sql.dialects.sqlite import _keep_connection
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


async def test_the_cursor_of_a_cancelled_statement_is_closed() -> None:
    async with aiosqlite.connect(":memory:") as connection:
        left = await connection.execute("SELECT 1 UNION SELECT 2")

        def execute(_cursor: aiosqlite.Cursor) -> None:  # as SQLAlchemy names it
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError) as caught:
            execute(left)
        context: Any = SimpleNamespace(original_exception=caught.value)

        await greenlet_spawn(_keep_connection, context)

        assert context.is_disconnect is False
        with pytest.raises(aiosqlite.ProgrammingError, match="closed cursor"):
            await left.fetchone()
