"""Collects the Python blocks of the README and the docs as tests; counts skips."""

import gc
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from sybil.integration.pytest import SybilItem

from tests.support.snippets import snippets

pytest_plugins = ["pytester"]

pytest_collect_file = snippets(
    Path(__file__).parent, "*.md", "benchmarks/*.md", "docs/**/*.md"
).pytest()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have the garbage collector pass over what collecting makes: it stays to the end.

    Else a seventh of the time of all tests goes into looking through it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the blocks of a page back in order: pytest-randomly has shuffled them."""
    places = [i for i, item in enumerate(items) if isinstance(item, SybilItem)]
    in_order = sorted(
        (item for item in items if isinstance(item, SybilItem)),
        key=lambda item: (str(item.path), item.example.line),
    )
    for place, item in zip(places, in_order, strict=True):
        items[place] = item


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say in one line for each reason how many tests were skipped."""
    reports = terminalreporter.stats.get("skipped", [])
    for reason, count in Counter(report.longrepr[2] for report in reports).items():
        terminalreporter.write_line(f"{count} x {reason}")
