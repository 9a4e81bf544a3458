"""The tools of the workshop do what they say: snippets, lines of code, benchmarks."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.run import Benchmark, find, in_units, report
from tests.support.project import ROOT
from tests.support.snippets import Page

LINES = runpy.run_path(str(ROOT / ".ci" / "lines.py"))


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page()
    yield page
    page.close()


def test_blocks_of_a_page_share_names_and_one_event_loop(page: Page) -> None:
    page.run("import asyncio")
    page.run("task = asyncio.create_task(asyncio.sleep(0, 7)); await asyncio.sleep(0)")

    page.run("assert await task == 7")


def test_classes_of_a_page_find_its_names_by_their_module(page: Page) -> None:
    page.run("from typing import get_type_hints")
    page.run("class A: ...")
    page.run("class B:\n    a: 'A'")

    page.run("assert get_type_hints(B) == {'a': A}")


@pytest.mark.parametrize("block", ["1 / 0", "await asyncio.sleep(0)\n1 / 0"])
def test_block_of_a_page_fails_by_its_own_error(page: Page, block: str) -> None:
    page.run("import asyncio")

    with pytest.raises(ZeroDivisionError):
        page.run(block)


def test_page_runs_in_an_empty_folder_that_goes_with_it() -> None:
    back_to = Path.cwd()
    page = Page()
    folder = Path.cwd()

    page.run("open('app.db', 'x').close()")
    page.close()

    assert Path.cwd() == back_to
    assert not folder.exists()


def test_block_that_begins_with_the_name_of_a_file_is_that_file(page: Page) -> None:
    page.run("\n\n# shop/stock.py\nqty = 3\n")

    page.run("from shop.stock import qty\nassert qty == 3")

    assert Path("shop/stock.py").read_text("utf-8") == "# shop/stock.py\nqty = 3\n"


def test_modules_of_a_page_are_forgotten_with_it() -> None:
    page = Page()
    page.run("# stock_of_one_page.py\nqty = 3\n")
    page.run("import stock_of_one_page")

    page.close()

    assert "stock_of_one_page" not in sys.modules


def test_docstrings_comments_and_blank_lines_are_no_lines_of_code() -> None:
    source = '''"""A module."""

# a comment
class A:
    """A class,

    described.
    """

    text = """
    a string
    """

    async def f(self) -> None:
        """A method."""
        return (  # three lines

            None
        )
'''

    assert LINES["lines_of_code"](source) == 8


def test_report_shows_every_run_their_median_and_the_ratio() -> None:
    seconds = iter([0.004, 0.001, 0.002, 0.003, 0.006, 0.007])

    async def other() -> float:
        return next(seconds)

    benchmark = Benchmark(
        title="Two ways",
        baseline="one",
        cases={"one": lambda: next(seconds), "other": other},
        conclude=lambda medians: f"medians: {medians}",
    )

    assert report(benchmark).splitlines() == [
        "Two ways",
        "  one      4.0 ms    2.0 ms    6.0 ms  median   4.0 ms   1.00 x one",
        "  other    1.0 ms    3.0 ms    7.0 ms  median   3.0 ms   0.75 x one",
        "  medians: {'one': 0.004, 'other': 0.003}",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (3e-6, "3.0 µs")]
)
def test_seconds_are_written_in_a_readable_unit(seconds: float, text: str) -> None:
    assert in_units(seconds) == text


def test_every_benchmark_is_found_and_has_its_baseline() -> None:
    benchmarks = find()

    assert "imports" in benchmarks
    every = [each for found in benchmarks.values() for each in found]
    assert all(each.baseline in each.cases for each in every)


def test_unknown_benchmark_is_refused_with_the_known_names() -> None:
    with pytest.raises(SystemExit, match=r"nothing.*imports"):
        find(["nothing"])
