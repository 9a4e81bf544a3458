"""Foreign keys that lead on over many levels of rows."""

from typing import Any

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from layerkit.core.errors import ConflictError, UsageError
from layerkit.repository import Repository
from layerkit.sql import Database
from layerkit.sql.errors import translate
from tests.support.alike import made

DEEPEST = 15  # of MariaDB, with the row itself


def tree(*, owned: bool) -> type[Any]:
    """Return a class whose rows go with the one above, by the table or the mapping."""

    class Own(DeclarativeBase): ...

    class Node(Own):
        __tablename__ = "deep_nodes"
        id: Mapped[int] = mapped_column(primary_key=True)
        above_id: Mapped[int | None] = mapped_column(
            ForeignKey("deep_nodes.id", ondelete="CASCADE", name="node_above")
        )

    if owned:
        Node.below = relationship(Node, cascade="all, delete-orphan")
    return Node


async def grown(database: Database, node: type[Any], depth: int) -> Any:
    """Return a repository of *node* with as many rows, one under the other."""
    nodes = Repository[Any, int](database, node)
    for number in range(1, depth + 1):
        await nodes.create({"id": number, "above_id": number - 1 or None})
    return nodes


async def test_more_levels_than_mariadb_follows_are_a_conflict_there(url: str) -> None:
    node = tree(owned=False)
    async with made(url, node) as database:
        nodes = await grown(database, node, DEEPEST + 1)

        if url.startswith("mysql"):
            with pytest.raises(ConflictError, match="over 15 levels") as refused:
                await nodes.delete(1)
            error = refused.value
            assert (error.kind, error.constraint) == ("foreign_key", "node_above")
            assert (error.retryable, error.public) == (False, False)
            assert await nodes.count() == DEEPEST + 1
            await nodes.delete(DEEPEST + 1)  # the deepest first, as the error says

        assert await nodes.delete(1) is True
        assert await nodes.count() == 0


async def test_relationships_delete_any_number_of_levels(url: str) -> None:
    node = tree(owned=True)
    async with made(url, node) as database:
        nodes = await grown(database, node, DEEPEST + 5)

        assert await nodes.delete(1) is True
        assert await nodes.count() == 0


class DriverError(Exception):
    """Come from a driver."""

    __module__ = "asyncmy.errors"


@pytest.mark.parametrize("text", ["Got error 12 'x193' from InnoDB", "no number"])
def test_another_error_of_the_engine_is_one_that_nobody_knows(text: str) -> None:
    error = DBAPIError("DELETE FROM deep_nodes", None, DriverError(1296, text))

    failure = translate(error)

    assert isinstance(failure, UsageError)
    assert text in str(failure)
