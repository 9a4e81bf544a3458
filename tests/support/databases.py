"""A database or key prefix of its own for each test, on a server that all share."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4
from weakref import WeakKeyDictionary

from redis import Redis
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    MetaData,
    NullPool,
    create_engine,
    make_url,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# Of PostgreSQL's two ways this is the faster one for an empty template: 20 ms, not 50.
CREATE = {
    "postgresql": "CREATE DATABASE {} STRATEGY file_copy",
    "mysql": "CREATE DATABASE {} CHARACTER SET utf8mb4",
}
DROP = {
    "postgresql": "DROP DATABASE {} WITH (FORCE)",  # a test may leave a connection open
    "mysql": "DROP DATABASE {}",
}

# One statement: foreign keys are not looked at, and what is deleted needs no order.
EMPTY = """
DO $$ BEGIN
SET LOCAL session_replication_role = replica;
{deletes}
PERFORM setval(pg_depend.objid, 1, false) FROM pg_depend
    JOIN pg_class ON pg_class.oid = pg_depend.objid AND pg_class.relkind = 'S'
    WHERE pg_depend.refobjid = ANY (ARRAY[{names}]::regclass[]);
END $$
"""
# The tables that have given out keys; to empty the others takes a hundredth as long.
USED = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = DATABASE() AND auto_increment > 1
"""


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Create an empty database, yield its SQLAlchemy URL, and drop it.

    Args:
        server_url: A database of the server whose user may create others; PostgreSQL
            15 or newer, MySQL or MariaDB.
    """
    url = make_url(server_url)
    name = f"layerkit_{uuid4().hex}"
    dialect = url.get_backend_name()
    execute(server_url, CREATE[dialect].format(name))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        execute(server_url, DROP[dialect].format(name))


@contextmanager
def fresh_prefix(server_url: str) -> Iterator[str]:
    """Yield a key prefix that nobody uses, and delete what is left under it."""
    prefix = f"layerkit:{uuid4().hex}:"
    yield prefix
    with Redis.from_url(server_url) as client:
        for key in list(client.scan_iter(match=f"*{prefix}*", count=1000)):
            client.unlink(key)  # one by one: they may be in many slots of a cluster


def execute(url: str, *statements: str) -> None:
    """Run *statements*, each on its own, from code that may hold a running loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, _execute(url, statements)).result()


async def _execute(url: str, statements: tuple[str, ...]) -> None:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


# The tables that shared databases have, by the database's name, and what they were
# made of; those that a test may have altered since; and the file of a SQLite database,
# by what its tables were made of.
Made: TypeAlias = tuple[MetaData, frozenset[str]]
_made: dict[str, list[Made]] = {}
_forgotten: dict[str, list[Made]] = {}
_files: WeakKeyDictionary[MetaData, tuple[int, bytes]] = WeakKeyDictionary()


async def new_tables(engine: AsyncEngine, metadata: MetaData) -> None:
    """Give a database the tables of *metadata*, empty, and keys that begin at one.

    Making them again costs up to half a second, so tables that an earlier test left are
    emptied. Who alters a table in a shared database calls `forget_tables`.
    """
    if not made_file(engine.url, metadata):
        async with engine.begin() as connection:
            await connection.run_sync(empty_tables, metadata)


def new_tables_in_sync(engine: Engine, metadata: MetaData) -> None:
    """Do what `new_tables` does, by a synchronous engine."""
    if not made_file(engine.url, metadata):
        with engine.begin() as connection:
            empty_tables(connection, metadata)


def forget_tables(engine: AsyncEngine) -> None:
    """Have the next test make the tables of this database again."""
    name = str(engine.url.database)
    _forgotten.setdefault(name, []).extend(_made.pop(name, []))


def made_file(url: URL, metadata: MetaData) -> bool:
    """Write the file of a SQLite database that has none yet; tell whether it did."""
    file = Path(str(url.database))
    if url.get_backend_name() != "sqlite" or file.suffix != ".db" or file.exists():
        return False
    count, content = _files.get(metadata, (0, b""))
    if count != len(metadata.tables):
        content = content_of_file(metadata)
        _files[metadata] = (len(metadata.tables), content)
    file.write_bytes(content)
    return True


def content_of_file(metadata: MetaData) -> bytes:
    """Return a SQLite database with the tables of *metadata*."""
    memory = create_engine("sqlite://")
    with memory.connect() as connection:
        metadata.create_all(connection)
        connection.commit()
        driver: Any = connection.connection.driver_connection
        content: bytes = driver.serialize()
    memory.dispose()
    return content


def empty_tables(connection: Connection, metadata: MetaData) -> None:
    """Empty the tables of *metadata*, or make them again."""
    made = (metadata, frozenset(metadata.tables))
    there: list[Made] = []
    forgotten: list[Made] = []
    if connection.dialect.name != "sqlite":  # whose file is the test's own
        name = str(connection.engine.url.database)
        there = _made.setdefault(name, there)
        forgotten = _forgotten.setdefault(name, forgotten)
    if made not in there:
        for others in (there, forgotten):
            for other in [other for other in others if other[1] & made[1]]:
                others.remove(other)
                other[0].drop_all(connection)
        metadata.drop_all(connection)
        metadata.create_all(connection)
        there.append(made)
        return
    quote = connection.dialect.identifier_preparer.format_table
    names = {table.name: quote(table) for table in metadata.tables.values()}
    if connection.dialect.name == "postgresql":
        deletes = "".join(f"DELETE FROM {n};" for n in names.values())  # noqa: S608 - names of our own
        quoted = ", ".join(f"'{name}'" for name in names.values())
        connection.exec_driver_sql(EMPTY.format(deletes=deletes, names=quoted))
        return
    used = set(connection.scalars(text(USED)))
    connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 0")
    for name, quoted in names.items():
        empty = "TRUNCATE" if name in used else "DELETE FROM"
        connection.exec_driver_sql(f"{empty} {quoted}")
    connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 1")
