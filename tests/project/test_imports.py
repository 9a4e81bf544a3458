"""`import layerkit` is light, and each package imports only its own third party."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import PACKAGE

OPTIONAL = [
    "aiosmtplib", "aiosqlite", "asyncmy", "asyncpg", "fastapi", "grimp", "hypothesis",
    "httpx", "pydantic_settings", "pytest", "redis", "sqlalchemy", "starlette",
]  # fmt: skip
EVERYWHERE = {"layerkit", "pydantic", "pydantic_core", "typing_extensions"}
OWN = {
    "settings": {"pydantic_settings"},
    "sql": {"sqlalchemy"},
    "redis": {"redis"},
    "smtp": {"aiosmtplib"},
    "webhooks": {"httpx"},
    "boundaries": {"grimp"},
    "fastapi": {"anyio", "fastapi", "starlette"},  # Starlette stands on anyio
    "testing/contracts": {"hypothesis", "pytest"},
}


@pytest.mark.parametrize("package", ["layerkit", "layerkit.testing"])
def test_import_loads_no_optional_package(package: str) -> None:
    source = f"import {package}, sys; print(*sys.modules)"

    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        check=True,
        text=True,
    )

    assert sorted(set(output.stdout.split()) & set(OPTIONAL)) == []


def test_each_package_imports_its_own_third_party_only() -> None:
    strangers = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in imported(path.read_text("utf-8"))
        if name not in EVERYWHERE | sys.stdlib_module_names | _own(path)
    ]

    assert strangers == []


def imported(source: str) -> Iterator[str]:
    """Yield the top-level name of each import in *source*, nested ones included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def _own(path: Path) -> set[str]:
    inside = path.relative_to(PACKAGE).as_posix()
    return {
        name
        for folder, names in OWN.items()
        if inside.startswith(f"{folder}/")
        for name in names
    }
