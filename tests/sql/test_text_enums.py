"""Enums of texts: each home sorts them in its way, and all find them alike."""

import enum
from collections.abc import Callable
from typing import Any, Literal

import pytest
from sqlalchemy import Enum, TypeDecorator, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

from layerkit.core.errors import UsageError, ValidationError
from layerkit.repository import ALL, Home, Repository, Specification, field
from layerkit.repository.filters.specification import Field
from layerkit.sql import Database
from tests.support.databases import new_tables

State = Literal["new", "active", "done"]


class Own(TypeDecorator[str]):
    """Keep texts with a letter in front of them, in an Enum."""

    impl = Enum("pbbb", "paaa", name="text_enums_own")
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value and f"p{value}"

    @override
    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return value and value[1:]


class Grade(enum.Enum):
    """Be a member of a class, in another order than that of the names."""

    LOW = 1
    HIGH = 2
    BEST = 3


class Base(DeclarativeBase):
    """Hold the tables of this file."""


class Task(Base):
    """Have a state in several kinds of columns."""

    __tablename__ = "text_enums_tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[State | None] = mapped_column(
        Enum("new", "active", "done", name="text_enums_state")
    )
    plain: Mapped[State | None] = mapped_column(
        Enum("new", "active", "done", native_enum=False)
    )
    strict: Mapped[State | None] = mapped_column(
        Enum("new", "active", "done", native_enum=False, validate_strings=True)
    )
    own: Mapped[str | None] = mapped_column(Own)


class Stage(Base):
    """Have such a state for its key."""

    __tablename__ = "text_enums_stages"

    state: Mapped[State] = mapped_column(
        Enum("new", "active", "done", name="text_enums_stage"), primary_key=True
    )
    n: Mapped[int] = mapped_column(default=0)


class Score(Base):
    """Have a member of a class for its key."""

    __tablename__ = "text_enums_scores"

    grade: Mapped[Grade] = mapped_column(
        Enum(Grade, name="text_enums_grade"), primary_key=True
    )


STATES: tuple[State | None, ...] = ("new", "active", "done", None)
COLUMNS = ["state", "plain", "strict"]


@pytest.fixture
async def tasks(home: Home) -> Repository[Task, int]:
    tasks = Repository[Task, int](home, Task)
    await tasks.create_many(dict.fromkeys(COLUMNS, state) for state in STATES)
    return tasks


@pytest.mark.parametrize("name", COLUMNS)
async def test_no_home_sorts_by_an_enum_of_texts(
    tasks: Repository[Task, int], name: str
) -> None:
    by = field(name)

    for order in (by.asc(), by.desc()):
        with pytest.raises(UsageError, match="str of an Enum, which is not in the"):
            await tasks.find(ALL, order)
        with pytest.raises(UsageError, match="sort by another field"):
            await tasks.paginate(order_by=order)
        with pytest.raises(UsageError, match="sort by another field"):
            [row async for row in tasks.stream(order_by=order)]
    for where in (by < "new", by <= "new", by > "new", by >= "new"):
        with pytest.raises(UsageError, match=r"use == or in_\(\)"):
            await tasks.find(where)


@pytest.mark.parametrize("name", COLUMNS)
async def test_groups_and_ends_of_an_enum_of_texts_go_by_these(
    tasks: Repository[Task, int], name: str
) -> None:
    groups = await tasks.aggregate(by=name)
    [ends] = await tasks.aggregate(min=name, max=name)

    assert (ends.min[name], ends.max[name]) == ("active", "new")
    assert [g.by[name] for g in groups] == ["active", "done", "new", None]


@pytest.mark.parametrize(
    ("test", "found"),
    [
        (lambda by: by == "new", ["new"]),
        (lambda by: by == "zzz", []),
        (lambda by: by == "NEW", []),
        (lambda by: by == "", []),
        (lambda by: ~(by == "zzz"), ["new", "active", "done"]),
        (lambda by: by != "zzz", ["new", "active", "done"]),
        (lambda by: ~(by != "zzz"), []),
        (lambda by: by != "new", ["active", "done"]),
        (lambda by: by.in_(["zzz", "done", "NEW"]), ["done"]),
        (lambda by: by.in_(["zzz", ""]), []),
        (lambda by: by.in_([]), []),
        (lambda by: by.not_in(["zzz", "done"]), ["new", "active"]),
        (lambda by: by.not_in(["zzz"]), ["new", "active", "done"]),
        (lambda by: by.not_in([]), ["new", "active", "done", None]),
        (lambda by: by.is_null(), [None]),
        (lambda by: by.contains("n"), ["new", "done"]),
        (lambda by: by.contains("ew"), ["new"]),
        (lambda by: by.contains("EW"), []),
        (lambda by: by.contains(""), ["new", "active", "done"]),
        (lambda by: by.startswith("a"), ["active"]),
        (lambda by: by.endswith("e"), ["active", "done"]),
        (lambda by: by.icontains("EW"), ["new"]),
        (lambda by: by.istartswith("A"), ["active"]),
        (lambda by: by.iendswith("E"), ["active", "done"]),
        (lambda by: ~by.icontains("EW"), ["active", "done"]),
    ],
)
@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.unmeasured
async def test_an_enum_of_texts_is_found_by_texts(
    tasks: Repository[Task, int],
    name: str,
    test: Callable[[Field], Specification],
    found: list[State | None],
) -> None:
    where = test(field(name))

    assert [getattr(row, name) for row in await tasks.find(where)] == found
    assert await tasks.count(where) == len(found)


async def test_a_key_that_no_member_has_is_not_there(home: Home) -> None:
    stages = Repository[Stage, str](home, Stage)
    await stages.create({"state": "new"})

    assert await stages.get_by_id("zzz") is None
    assert not await stages.exists("zzz")
    assert not await stages.delete("zzz")
    assert await stages.update("zzz", {"n": 1}) is None
    assert [s.state for s in await stages.get_many(["zzz", "new"])] == ["new"]
    with pytest.raises(ValidationError, match="state must be one of"):
        await stages.create({"state": "zzz"})


async def test_sqlite_counts_texts_that_a_column_had_before_its_enum_lost_them() -> (
    None
):
    async with Database("sqlite://") as database:
        await new_tables(database.engine, Base.metadata)
        tasks = Repository[Task, int](database, Task)
        async with database.engine.begin() as connection:
            insert = text("INSERT INTO text_enums_tasks (id, state) VALUES (1, 'old')")
            await connection.execute(insert)

        assert await tasks.count(field("state") == "old") == 1


async def test_pages_by_a_key_of_texts_lose_nothing(home: Home) -> None:
    stages = Repository[Stage, str](home, Stage)
    await stages.create_many({"state": state} for state in ("new", "active", "done"))

    first = await stages.paginate(size=2)
    rest = await stages.paginate(size=2, cursor=first.next_cursor)
    back = await stages.paginate(size=2, cursor=rest.previous_cursor)

    every = ["active", "done", "new"]
    assert [s.state for s in (*first.items, *rest.items)] == every
    assert [s.state for s in back.items] == every[:2]
    assert [s.state async for s in stages.stream(batch_size=1)] == every
    assert [s.state for s in await stages.get_all()] == every


async def test_a_stream_by_a_key_of_members_loses_nothing(database: Database) -> None:
    await new_tables(database.engine, Base.metadata)
    scores = Repository[Score, Grade](database, Score)
    await scores.create_many({"grade": grade} for grade in Grade)

    found = [s.grade async for s in scores.stream(batch_size=1)]

    assert found == [Grade.BEST, Grade.HIGH, Grade.LOW]


async def test_what_a_type_of_ones_own_keeps_in_an_enum_is_searched_and_sorted(
    home: Home,
) -> None:
    tasks = Repository[Task, int](home, Task)
    await tasks.create_many([{"own": "bbb"}, {"own": "aaa"}, {}])
    by = field("own")

    assert [t.own for t in await tasks.find(by.contains("b"))] == ["bbb"]
    assert [t.own for t in await tasks.find(by > "aaa")] == ["bbb"]
    assert [t.own for t in await tasks.find(by == "aaa")] == ["aaa"]
    found = await tasks.find(by.is_not_null(), by.asc())
    assert [t.own for t in found] == ["aaa", "bbb"]


async def test_members_of_a_class_are_found_by_themselves(database: Database) -> None:
    await new_tables(database.engine, Base.metadata)
    scores = Repository[Score, Grade](database, Score)
    await scores.create_many({"grade": grade} for grade in Grade)
    grade = field("grade")

    same = await scores.find(grade == Grade.HIGH)
    others = await scores.find(grade.not_in([Grade.HIGH, Grade.LOW]))

    assert [score.grade for score in (*same, *others)] == [Grade.HIGH, Grade.BEST]
