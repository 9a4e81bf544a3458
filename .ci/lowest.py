"""Prints the oldest release of each dependency that pyproject.toml admits."""

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def main() -> None:
    """Print one `name==version` for each dependency, those of all extras included."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["all"]]
    print(*(need.replace(">=", "==") for need in needs))


if __name__ == "__main__":
    main()
