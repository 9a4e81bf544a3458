"""The registry of adapters: mapped classes load layerkit.sql, others load nothing."""

import subprocess
import sys

import pytest

from layerkit.repository import registry

SCRIPT = """
import sys
from dataclasses import dataclass
from layerkit.repository import InMemoryRepository, MemoryDatabase, Repository

@dataclass
class Plain:
    id: int | None = None

InMemoryRepository(model_class=Plain)
assert "sqlalchemy" not in sys.modules

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Thing(Base):
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)

assert "layerkit.sql" not in sys.modules
Repository(MemoryDatabase(), Thing)
assert "layerkit.sql" in sys.modules
"""

SESSIONS = """
import sys
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from layerkit.repository import home_of

assert "layerkit.sql" not in sys.modules
assert home_of(async_sessionmaker()) is not None
assert home_of(AsyncSession()) is not None
assert "layerkit.sql" in sys.modules
"""


@pytest.mark.parametrize("script", [SCRIPT, SESSIONS], ids=["classes", "sessions"])
def test_the_first_of_sqlalchemys_loads_the_package_that_knows_it(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_package_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(registry, "import_module", loaded.append)

    registry.load_sql()
    monkeypatch.delitem(sys.modules, "layerkit.sql", raising=False)
    registry.load_sql()

    assert loaded[-1:] == ["layerkit.sql"]
    assert len(loaded) <= 2
