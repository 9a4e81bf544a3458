"""What docs/how-to/migrations.md says of SQLite holds on PostgreSQL, too."""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect

from layerkit.sql import Database
from tests.support.project import ROOT

PAGE = ROOT / "docs" / "how-to" / "migrations.md"
FILE = re.compile(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """Alembic's configuration in a folder with the files of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = Config("alembic.ini")
    command.init(config, "migrations", template="async")
    for name, source in FILE.findall(PAGE.read_text("utf-8")):
        Path(name).write_text(source, "utf-8")
    yield config
    sys.modules.pop("models", None)


def test_page_migrates_a_postgresql_address_without_a_driver(
    config: Config, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_url.replace("postgresql+asyncpg://", "postgresql://")
    monkeypatch.setenv("DATABASE_URL", url)

    command.revision(config, "tags", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)

    assert asyncio.run(tables(url)) == {"tags", "alembic_version"}


def test_page_undoes_a_migration(
    config: Config, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    command.revision(config, "tags", autogenerate=True)
    command.upgrade(config, "head")

    command.downgrade(config, "base")

    assert asyncio.run(tables(postgres_url)) == {"alembic_version"}


async def tables(url: str) -> set[str]:
    """Return the names of the tables in the database at *url*."""
    async with Database(url) as database, database.engine.connect() as connection:
        return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))
