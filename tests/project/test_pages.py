"""What README, CONTRIBUTING, CHANGELOG and the docs say holds."""

import re
import tomllib

from tests.support.project import PAGES, ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
QUOTED = re.compile(r"(?:^|`)make ([a-z]+)", re.MULTILINE)


def test_every_quoted_make_command_is_a_target() -> None:
    quoted = {
        (page.name, target)
        for page in PAGES
        for target in QUOTED.findall(page.read_text("utf-8"))
    }

    assert quoted
    assert {(page, target) for page, target in quoted if target not in TARGETS} == set()


def test_contributing_names_every_target() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

    assert set(QUOTED.findall(contributing)) == TARGETS - {"help"}


def test_every_target_is_phony_and_explained() -> None:
    phony = set(re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z]+):.*## \w", MAKEFILE, re.MULTILINE))

    assert phony == TARGETS
    assert explained == TARGETS


def test_contributing_names_every_variable_of_the_test_servers() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    conftest = (ROOT / "tests" / "conftest.py").read_text("utf-8")
    variables = re.compile(r"LAYERKIT_TEST_\w+")

    assert set(variables.findall(contributing)) == set(variables.findall(conftest))


def test_top_version_of_the_changelog_is_the_version_of_the_package() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    versions = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)

    assert versions[0] == project["version"]


def test_every_skipped_block_says_why() -> None:
    skips = re.compile(r"(?:<!--+|%|;)\s*skip:\s*(?:next|start)(?P<reason>[^\n>]*)")

    without_reason = [
        (page.name, skip.group())
        for page in PAGES
        for skip in skips.finditer(page.read_text("utf-8"))
        if '"' not in skip["reason"]
    ]

    assert without_reason == []


def test_extra_all_is_the_union_of_the_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]

    everything = set(extras.pop("all"))

    assert everything == {need for needs in extras.values() for need in needs}
