"""Prints the oldest release of each dependency that pyproject.toml admits."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
SINCE_3_14: Final = {"pydantic": "2.12", "asyncpg": "0.31", "grimp": "3.12"}
"""What has no wheel for Python 3.14 before these."""


def floors(python: tuple[int, int] = sys.version_info[:2]) -> Iterator[str]:
    """Yield one `name==version` for each dependency, those of all extras included."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    for need in [*project["dependencies"], *project["optional-dependencies"]["all"]]:
        name, _, floor = need.partition(">=")
        first = SINCE_3_14.get(name) if python >= (3, 14) else None
        yield f"{name}=={first or floor}"


if __name__ == "__main__":
    print(*floors())
