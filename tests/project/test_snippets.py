"""Every public name is used in a Python block of the README or the docs, which runs."""

import ast
import re
from importlib import import_module
from pkgutil import iter_modules

import pytest

import layerkit
from tests.support.project import PAGES

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SKIPPED = re.compile(r"skip: next[^\n]*\n+\Z")
PACKAGES = [
    "layerkit",
    *(f"layerkit.{module.name}" for module in iter_modules(layerkit.__path__)),
    "layerkit.testing.contracts",
]


def used(text: str) -> set[str]:
    """Return the names that the blocks of a page use; an import alone is no use."""
    names: set[str] = set()
    for block in BLOCK.finditer(text):
        if SKIPPED.search(text, 0, block.start()):
            continue
        for node in ast.walk(ast.parse(block[1])):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return names


USED = set[str]().union(*(used(page.read_text("utf-8")) for page in PAGES))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_used_in_a_block_that_runs(package: str) -> None:
    missing = set(import_module(package).__all__) - USED

    assert missing == set()


def test_import_alone_is_no_use() -> None:
    page = "```python\nfrom layerkit import Inc\n\nawait ALL.x\n```\n"

    assert used(page) == {"ALL", "x"}


def test_block_that_is_skipped_is_no_use() -> None:
    page = '% skip: next "needs a server"\n\n```python\nALL\n```\n'

    assert used(page) == set()
