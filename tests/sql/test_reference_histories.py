"""Random histories of classes that refer to each other, in memory and on SQLite."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from typing_extensions import override

from layerkit.repository import ALL, Home, MemoryDatabase, Repository, field
from layerkit.sql import Database
from layerkit.testing.contracts.entities import Capabilities
from layerkit.testing.contracts.machine import Failed, Machine
from tests.support.profiles import examples


class Base(DeclarativeBase):
    """Hold a family of tables."""


class House(Base):
    """Be referred to in all ways."""

    __tablename__ = "houses"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str | None] = mapped_column(String(9), unique=True)
    owned: Mapped[list["Room"]] = relationship(
        foreign_keys="Room.owner_id", cascade="all, delete-orphan"
    )
    named: Mapped[list["Room"]] = relationship(foreign_keys="Room.named_id")


class Room(Base):
    __tablename__ = "rooms"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("houses.id"))
    named_id: Mapped[int | None] = mapped_column(ForeignKey("houses.id"))
    house_id: Mapped[int | None] = mapped_column(
        ForeignKey("houses.id", ondelete="CASCADE")
    )
    code: Mapped[str | None] = mapped_column(
        ForeignKey("houses.code", onupdate="CASCADE", ondelete="SET NULL")
    )
    above_id: Mapped[int | None] = mapped_column(
        ForeignKey("rooms.id", ondelete="CASCADE")
    )


class Key(Base):
    __tablename__ = "keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    room_id: Mapped[int | None] = mapped_column(
        ForeignKey("rooms.id", ondelete="SET NULL")
    )
    spare_id: Mapped[int | None] = mapped_column(ForeignKey("rooms.id"))
    house_id: Mapped[int | None] = mapped_column(
        ForeignKey("houses.id", deferrable=True, initially="DEFERRED")
    )


ENTITIES = (House, Room, Key)


class Side:
    """Be one of the two homes that a history is played on."""

    def __init__(self, home: Home) -> None:
        self.home, self.unit_of_work = home, home.unit_of_work
        self.of: dict[str, Repository[Any, int]] = {
            entity.__name__: Repository[Any, int](home, entity) for entity in ENTITIES
        }

    async def stored(self) -> list[list[dict[str, Any]]]:
        """Return all rows."""
        found = [await self.of[entity.__name__].get_all() for entity in ENTITIES]
        return [[row_of(one) for one in entities] for entities in found]


def row_of(entity: Any) -> dict[str, Any]:
    names = entity.__mapper__.column_attrs.keys()
    return {name: getattr(entity, name) for name in names}


def orphans(stored: list[list[dict[str, Any]]]) -> Iterator[tuple[str, str, Any]]:
    """Yield what refers to nothing."""
    rows = dict(zip((e.__tablename__ for e in ENTITIES), stored, strict=True))
    for entity in ENTITIES:
        for key in entity.__table__.foreign_keys:
            there = {row[key.column.name] for row in rows[key.column.table.name]}
            for row in rows[entity.__tablename__]:
                if row[key.parent.name] not in {None, *there}:
                    yield entity.__tablename__, key.parent.name, row


@asynccontextmanager
async def on_sqlite(_: type[Any]) -> AsyncIterator[Side]:
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        yield Side(database)


ids = st.integers(1, 4)
codes = st.sampled_from([None, "a", "b", "c"])
refers = st.none() | ids
changes = {
    "House": st.fixed_dictionaries({"code": codes}),
    "Room": st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("owner_id", "named_id", "house_id", "above_id"), refers)
        | {"code": codes},
    ),
    "Key": st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("room_id", "spare_id", "house_id"), refers)
    ),
}
writes = st.sampled_from([*changes]).flatmap(
    lambda name: st.tuples(st.just(name), changes[name])
)
names = st.sampled_from(["House", "House", "Room", "Key"])


class FamilyMachine(Machine):
    """Play histories of houses, rooms and keys; nothing ever refers to nothing."""

    open_repository = staticmethod(on_sqlite)
    entity = House
    capabilities = Capabilities()

    def __init__(self) -> None:
        super().__init__()
        self.sides: Any = (self.sides[0], Side(MemoryDatabase()))

    @rule(write=writes, number=ids)
    def create(self, write: tuple[str, dict[str, Any]], number: int) -> None:
        name, values = write
        self.play(f"create({write})", name, "create", {"id": number, **values})

    @rule(write=writes, number=ids)
    def create_many(self, write: tuple[str, dict[str, Any]], number: int) -> None:
        name, values = write
        rows = [{"id": number + 4}, {"id": number, **values}]
        self.play(f"create_many({write})", name, "create_many", rows)

    @rule(write=writes, number=ids)
    def upsert(self, write: tuple[str, dict[str, Any]], number: int) -> None:
        name, values = write
        row = {"id": number, **values}
        self.play(f"upsert({write})", name, "upsert_many", [row], key="id")

    @rule(write=writes, number=ids)
    def update(self, write: tuple[str, dict[str, Any]], number: int) -> None:
        name, values = write
        self.play(f"update({number}, {write})", name, "update", number, values)

    @rule(write=writes, bound=ids)
    def update_where(self, write: tuple[str, dict[str, Any]], bound: int) -> None:
        name, values = write
        if values and name != "House":
            where = field("id") <= bound
            self.play(f"update_where({write})", name, "update_where", where, values)

    @rule(write=writes, number=ids)
    def change(self, write: tuple[str, dict[str, Any]], number: int) -> None:
        """Change an object inside a unit."""
        name, values = write

        async def step(side: Side) -> None:
            async with side.unit_of_work():
                entity = await side.of[name].get_by_id(number)
                for field_name, value in values.items() if entity else ():
                    setattr(entity, field_name, value)
                await side.of[name].count()  # an outer unit would write it later

        self.check(f"change({number}, {write})", step)

    @rule(name=names, number=ids)
    def delete(self, name: str, number: int) -> None:
        self.play(f"delete({name} {number})", name, "delete", number)

    @rule(name=names, bound=ids)
    def delete_where(self, name: str, bound: int) -> None:
        async def step(side: Side) -> None:
            # SQLite does not count what another row of the statement took along.
            await side.of[name].delete_where(field("id") <= bound)

        self.check(f"delete_where({name} to {bound})", step)

    @rule()
    def look(self) -> None:
        """Compare all rows, as the open unit sees them."""
        self.check("stored()", Side.stored)

    @override
    async def _said(self, step: Any, side: Any) -> object:
        said = await super()._said(step, side)
        # SQLite does not tell which fields a foreign key is about.
        return Failed(said[:2]) if isinstance(said, Failed) else said

    def play(self, what: str, name: str, verb: str, *args: Any, **options: Any) -> None:
        async def step(side: Side) -> Any:
            said = await getattr(side.of[name], verb)(*args, **options)
            return said if isinstance(said, int | None) else row_of(said)

        self.check(what, step)

    @override
    def teardown(self) -> None:
        while self.blocks:
            self.leave(fails=False)
        try:
            self.look()
            for side in self.sides:
                assert list(orphans(self.runner.run(side.stored()))) == []
        finally:
            super().teardown()


@pytest.mark.unmeasured
def test_memory_and_sqlite_go_through_the_same_histories() -> None:
    run_state_machine_as_test(
        FamilyMachine,
        settings=settings(
            max_examples=examples(30, full=300),
            stateful_step_count=20,
            phases=[
                Phase.reuse,
                Phase.generate,
            ],  # as short as it is; see the contracts
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
    )


async def test_orphans_are_found_where_nothing_is_checked() -> None:
    side = Side(MemoryDatabase(foreign_keys=False))
    await side.of["Key"].create({"id": 1, "spare_id": 2})
    await side.of["Room"].delete_where(ALL)

    assert [(table, column) for table, column, _ in orphans(await side.stored())] == [
        ("keys", "spare_id")
    ]
