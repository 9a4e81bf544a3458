"""Listeners of the user's own: no verb passes them by."""

import pytest
from sqlalchemy import String, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from layerkit import ALL, NotSupportedError, Repository, field
from layerkit.sql import Database
from tests.support.databases import new_tables


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Shouted(Base):
    """Have a listener on an attribute, which does what a validator may do."""

    __tablename__ = "shouted"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(10))


@event.listens_for(Shouted.name, "set", retval=True)
def _shout(_: object, value: str, __: object, ___: object) -> str:
    return value.upper()


class Plain(Base):
    """Have no rules."""

    __tablename__ = "plain"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(10))
    size: Mapped[int] = mapped_column(default=1)


@pytest.fixture
async def tables(engine: AsyncEngine) -> AsyncEngine:
    await new_tables(engine, Base.metadata)
    return engine


async def test_a_listener_on_an_attribute_hears_every_verb(tables: AsyncEngine) -> None:
    rows = Repository[Shouted, int](Database(tables), Shouted)
    made = await rows.create({"name": "a"})

    await rows.create_many([{"name": "b"}, {"name": "c"}])
    await rows.update(made.id, {"name": "d"})
    await rows.update_where(field("name") == "B", {"name": "e"})
    await rows.upsert({"id": made.id, "name": "f"}, key="id")

    found = await rows.find(ALL, field("name").asc())
    assert [row.name for row in found] == ["C", "E", "F"]


async def test_a_listener_on_flushes_hears_every_verb(tables: AsyncEngine) -> None:
    class Audited(Session): ...

    seen: list[list[str]] = []

    @event.listens_for(Audited, "before_flush")
    def note(session: Session, _: object, __: object) -> None:
        kinds = ("new", "dirty", "deleted")
        seen.append([kind for kind in kinds for _ in getattr(session, kind)])

    sessions = async_sessionmaker(tables, sync_session_class=Audited)
    rows = Repository[Plain, int](sessions, Plain)

    await rows.create_many([{"name": "a"}, {"name": "b"}])
    await rows.update(1, {"name": "c"})
    await rows.update_where(ALL, {"name": "d"})
    await rows.delete(1)
    await rows.delete_where(ALL)

    changes = [kinds for kinds in seen if kinds]
    assert changes == [
        *(["new", "new"], ["dirty"], ["dirty", "dirty"]),
        *(["deleted"], ["deleted"]),
    ]
    with pytest.raises(NotSupportedError, match="use create and update"):
        await rows.upsert({"id": 1, "name": "a"}, key="id")


@pytest.mark.defect("R44")
async def test_a_change_is_kept_where_the_session_does_not_flush_by_itself(
    tables: AsyncEngine,
) -> None:
    made = await Repository[Plain, int](Database(tables), Plain).create({"name": "a"})

    async with AsyncSession(tables, autoflush=False) as session:
        rows = Repository[Plain, int](session, Plain)
        row = await rows.get_by_id(made.id)
        assert row is not None
        row.name = "b"

        updated = await rows.update(made.id, {"size": 2})

        assert updated is row
        assert (row.name, row.size) == ("b", 2)
