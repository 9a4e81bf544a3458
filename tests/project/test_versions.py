"""The page of versions says what pyproject.toml, the lock and the Makefile say."""

import re
import runpy
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.project.test_lock import pins
from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "reference" / "versions.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
MATRIX = re.findall(r"for v in (.*);", (ROOT / "Makefile").read_text("utf-8"))[0]
LOWEST = runpy.run_path(str(ROOT / ".ci" / "lowest.py"))
ROW = re.compile(
    r"^\| `([\w-]+)` \| (?:`(\w+)`)? ?\| ([\d.]+) \| ([\d.]+) \| \S", re.MULTILINE
)
ROWS = {name: rest for name, *rest in ROW.findall(PAGE)}
CLASSIFIER = "Programming Language :: Python :: 3."


def floor_of(need: str) -> tuple[str, str]:
    """Return the name and the version of a requirement that is a floor alone."""
    requirement = Requirement(need)
    (bound,) = requirement.specifier
    assert bound.operator == ">="
    return requirement.name, bound.version


FLOORS = dict(map(floor_of, [*PROJECT["dependencies"], *EXTRAS["all"]]))


def test_the_page_has_the_floor_of_every_dependency() -> None:
    assert {name: floor for name, (_, floor, _) in ROWS.items()} == FLOORS


def test_every_extra_has_the_same_floors() -> None:
    for needs in EXTRAS.values():
        for name, floor in map(floor_of, needs):
            assert FLOORS[name] == floor


def test_the_page_names_the_extra_that_brings_a_dependency() -> None:
    base = {floor_of(need)[0] for need in PROJECT["dependencies"]}

    assert {name for name, (extra, *_) in ROWS.items() if not extra} == base
    for name, (extra, *_) in ROWS.items():
        assert not extra or name in dict(map(floor_of, EXTRAS[extra]))


def test_the_newest_tried_is_what_the_lock_pins() -> None:
    locked = {name: str(pin.specifier).lstrip("=") for name, pin in pins().items()}

    assert {name: newest for name, (*_, newest) in ROWS.items()} == {
        name: locked[name] for name in FLOORS
    }


@pytest.mark.parametrize(
    "name", ["psycopg", "psycopg2-binary", "pymysql", "aiomysql", "sqlmodel"]
)
def test_the_page_has_the_release_of_each_driver_that_only_tests_use(name: str) -> None:
    assert f"`{name}` {str(pins()[name].specifier).lstrip('=')}" in PAGE


def test_no_newer_release_is_said_to_add_what_the_floor_has() -> None:
    added = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \| [^|]+ \|$", PAGE, re.MULTILINE)

    assert added
    for name, since in added:
        assert Version(FLOORS[name]) < Version(since) <= Version(ROWS[name][2])


def test_make_lowest_takes_the_floors() -> None:
    taken = dict(pin.split("==") for pin in LOWEST["floors"]((3, 11)))

    assert {Requirement(name).name: version for name, version in taken.items()} == (
        FLOORS
    )


def test_the_page_has_the_floors_of_python_3_14() -> None:
    newer = set(LOWEST["floors"]((3, 14))) - set(LOWEST["floors"]((3, 11)))

    assert newer == {f"{n}=={v}" for n, v in LOWEST["SINCE_3_14"].items()}
    for name, first in LOWEST["SINCE_3_14"].items():
        assert f"{name} before {first}" in PAGE


def test_page_classifiers_and_matrix_name_the_same_pythons() -> None:
    classified = [
        found.removeprefix(CLASSIFIER)
        for found in PROJECT["classifiers"]
        if found.startswith(CLASSIFIER)
    ]
    section = PAGE.partition("\n## Python\n")[2].partition("\n")[2].partition("\n")[0]

    assert [f"3.{minor}" for minor in classified] == MATRIX.split()
    assert re.findall(r"3\.\d+", section) == MATRIX.split()
    assert PROJECT["requires-python"] == f">={MATRIX.split()[0]}"
    assert ".".join(map(str, sys.version_info[:2])) in MATRIX.split()


def test_reference_and_readme_lead_to_the_page() -> None:
    index = (ROOT / "docs" / "reference" / "index.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    existing = ROOT / "docs" / "how-to" / "existing-application.md"

    assert "\nversions\n" in index
    assert "](docs/reference/versions.md)" in readme
    assert "](../reference/versions.md)" in existing.read_text("utf-8")
