"""The reference has every public name, once; the changelog every everyday one."""

import re
from collections import Counter
from importlib import import_module
from pkgutil import iter_modules

import pytest

import layerkit
from tests.support.project import ROOT

DIRECTIVE = re.compile(
    r"^\.\. auto(?:class|exception|function|data):: (layerkit[\w.]*)\.(\w+)",
    re.MULTILINE,
)
PACKAGES = [
    "layerkit",
    *(f"layerkit.{module.name}" for module in iter_modules(layerkit.__path__)),
    "layerkit.testing.contracts",
]


def documented() -> list[tuple[str, str]]:
    """Return the module and the name of each entry."""
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    return [entry for page in pages for entry in DIRECTIVE.findall(page.read_text())]


@pytest.mark.parametrize("package", PACKAGES)
def test_reference_has_every_public_name(package: str) -> None:
    everyday = {name for module, name in documented() if module == "layerkit"}
    own = {name for module, name in documented() if module == package}
    module = import_module(package)

    def is_everyday(name: str) -> bool:
        return name in everyday and getattr(layerkit, name) is getattr(module, name)

    missing = {n for n in module.__all__ if n not in own and not is_everyday(n)}

    assert missing == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_reference_has_no_name_that_is_not_public(package: str) -> None:
    own = {name for module, name in documented() if module == package}

    assert own - set(import_module(package).__all__) == set()


def test_reference_has_each_name_once() -> None:
    names = Counter(
        id(getattr(import_module(module), name)) for module, name in documented()
    )

    assert [count for count in names.values() if count > 1] == []


def test_changelog_names_every_everyday_name() -> None:
    quoted = set(re.findall(r"`(\w+)`", (ROOT / "CHANGELOG.md").read_text()))

    assert set(layerkit.__all__) - quoted == set()
