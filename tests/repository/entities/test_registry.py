"""The registry of adapters: mapped classes load layerkit.sql, others load nothing."""

import gc
import subprocess
import sys
import weakref
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from layerkit.repository.entities import registry

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


def test_a_class_is_let_go_with_its_adapter() -> None:
    class Short(BaseModel):
        id: int | None = None

    assert registry.adapter_for(Short) is registry.adapter_for(Short)
    gone = weakref.ref(Short)
    del Short
    gc.collect()

    assert gone() is None


def test_a_subclass_has_an_adapter_of_its_own() -> None:
    @dataclass
    class Base:
        id: int | None = None

    @dataclass
    class Wider(Base):
        name: str = ""

    assert set(registry.adapter_for(Base).fields) == {"id"}
    assert set(registry.adapter_for(Wider).fields) == {"id", "name"}
