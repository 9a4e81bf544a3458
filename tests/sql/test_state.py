"""What is known of a session: the unit on it, and that nothing of it stays behind."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from layerkit.core.errors import UnitOfWorkError
from layerkit.sql import Database
from layerkit.sql.session import unit_of
from layerkit.sql.state import Holder, SessionState, ensure_state, state_of
from layerkit.unit_of_work.transaction import Block
from tests.support.authors import Authors, Sessions
from tests.support.library import Author


class PlannedError(Exception):
    """Leave a block on purpose."""


def test_the_unit_of_a_session_is_the_innermost_open_one() -> None:
    outer, inner, closed = (unit_of(Session()) for _ in range(3))
    state = SessionState(units=[outer, inner, closed])
    assert state.unit is None

    outer.blocks.append(Block())
    inner.blocks.append(Block())

    assert state.unit is inner


def test_what_a_rollback_kept_is_taken_once() -> None:
    state = SessionState(kept=[("entity", {"name": "Ada"})])

    assert state.take_kept() == [("entity", {"name": "Ada"})]
    assert state.take_kept() == []


def test_a_session_that_nothing_was_done_with_has_no_state() -> None:
    session = Session()
    assert state_of(session) is None

    assert ensure_state(session) is state_of(session)


async def test_a_unit_and_its_session_let_go_of_each_other() -> None:
    async with Database("sqlite://") as database:
        async with database.unit_of_work():
            session = database.session()
            state = ensure_state(session)
            assert state.unit is database.transaction()
            await session.execute(text("SELECT 1"))

        assert (state.units, state.committed) == ([], None)


async def test_collections_are_held_for_as_long_as_a_unit(sessions: Sessions) -> None:
    async with sessions() as session:
        unit = unit_of(session)
        state = ensure_state(session)
        async with Authors(session).unit_of_work():
            state.holders[instance_state(Author())] = Holder(Author(), {})

        assert (state.holders, state.units) == ({}, [unit])


async def test_a_savepoint_of_the_callers_ends_where_its_transaction_can_not_commit(
    sessions: Sessions,
) -> None:
    session: AsyncSession
    async with sessions() as session:
        authors = Authors(session)
        with pytest.raises(UnitOfWorkError, match="can only roll back"):
            async with session.begin():
                with pytest.raises(PlannedError):
                    async with authors.unit_of_work():
                        await authors.create({"name": "Ada"})
                        raise PlannedError
                async with session.begin_nested():
                    pass
                reached = True

    assert reached


async def test_a_session_that_no_repository_has_seen_commits_as_ever(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        await session.execute(text("SELECT 1"))
        await session.commit()

        assert state_of(session) is None
