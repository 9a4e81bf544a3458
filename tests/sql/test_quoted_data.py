"""No error quotes what a client sent: not its text, and not its line in a log."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import String, create_engine, text
from sqlalchemy.exc import CompileError, InvalidRequestError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from layerkit import AlreadyExistsError, Repository, UnitOfWorkError, UsageError
from layerkit.core import AppException, JSONFormatter
from layerkit.repository import ALL
from layerkit.sql import Database
from layerkit.sql.errors import translate
from layerkit.sync import run, unit_of_work
from tests.sql.test_drivers import ASYNCHRONOUS, SYNCHRONOUS, address_of
from tests.sql.test_errors import from_mysql

EMAIL = "hunt" + "er2@x"  # no line of this file, which a traceback shows, has it whole


class Base(DeclarativeBase): ...


class Member(Base):
    __tablename__ = "quoted_members"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(60), unique=True)


class Members(Repository[Member, int]): ...


async def twice(members: Members) -> AppException:
    """Return what a verb raises after a duplicate that was caught."""
    await members.create({"email": EMAIL})
    with pytest.raises(AlreadyExistsError):
        await members.create({"email": EMAIL})
    with pytest.raises(AppException) as refused:
        await members.count(ALL)
    return refused.value


def line_of(error: Exception) -> str:
    info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("app", logging.ERROR, "", 1, "%s", (error,), info)
    return JSONFormatter().format(record)


async def twice_in_a_loop(address: str) -> AppException:
    async with Database(address) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(database.engine) as session, session.begin():
            return await twice(Members(session))


@pytest.mark.parametrize("name", [*(f"async {n}" for n in ASYNCHRONOUS), *SYNCHRONOUS])
def test_a_begin_block_that_has_failed_says_so_and_quotes_nothing(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    kind, _, driver = name.rpartition(" ")
    address = address_of(request, driver, tmp_path / "quoted.db")

    if kind == "async":
        error = asyncio.run(twice_in_a_loop(address))
    else:
        engine = create_engine(address)
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            error = run(twice(Members(session)))
        engine.dispose()

    assert type(error) is UnitOfWorkError
    assert "leave its block" in str(error)
    assert EMAIL not in str(error)
    assert EMAIL not in line_of(error)


STATEMENTS = [
    "INSERT INTO quoted_members (id, email) VALUES (:value, 'a')",
    "SELECT CAST(:value AS integer)",
    "SELECT CAST(:value AS timestamp)",
    "SELECT CAST(:value AS integer[])",
    "SELECT CAST('9' || :digits AS integer)",
    "SELECT date :value",
]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pymysql"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_a_server_says_of_a_value_is_no_part_of_the_error(
    request: pytest.FixtureRequest, driver: str, statement: str, tmp_path: Path
) -> None:
    engine = create_engine(address_of(request, driver, tmp_path / "quoted.db"))
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    digits = "8" * 20
    values = {"value": EMAIL, "digits": digits}
    given: Any = {n: v for n, v in values.items() if f":{n}" in statement}

    with (
        Session(engine) as session,
        pytest.raises(AppException) as refused,
        unit_of_work(Members(session)),
    ):
        session.execute(text(statement), given)
        session.execute(text("no statement"))  # where the server takes the value
    engine.dispose()

    for value in values.values():
        assert value not in str(refused.value)
        assert value not in line_of(refused.value)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError(f"(1062, \"Duplicate entry '{EMAIL}' for key 'x'\")"),
        InvalidRequestError(f'malformed array literal: "{EMAIL}"'),
        from_mysql(1064, f"syntax to use near '{EMAIL}' at line 1"),
        CompileError(f"Key (email)=({EMAIL}) already exists"),
        StatementError(
            "", "", {}, InvalidRequestError(f"DETAIL:  Key (email)=({EMAIL}) exists")
        ),
    ],
)
def test_the_words_of_others_are_shown_without_data(error: Exception) -> None:
    translated = translate(error)

    assert type(translated) is UsageError
    assert EMAIL not in str(translated)
