"""The tools of the workshop do what they say: snippets, lines of code, benchmarks."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.run import Benchmark, find, in_units, report
from tests.support.project import ROOT
from tests.support.snippets import Page

TYPED = runpy.run_path(str(ROOT / ".ci" / "typed.py"))
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


PAGE = """# A page

```python
# main.py
import shop
from shop import qty
```

Text.

```python
# shop.py
qty = 1
```

  ```python
  import shop
  ```

```text
no = "Python"
```

```python
# shop.py
qty = 2
```

```python
import shop.more, os
from shop import qty
from shops import qty

await qty
```
"""


def test_blocks_of_a_page_are_one_module_whose_lines_are_those_of_the_page() -> None:
    *files, (name, source) = TYPED["modules"]("docs/a-page.md", PAGE)

    assert name == "docs_a_page_md.blocks"
    lines, page = source.splitlines(), PAGE.splitlines()
    assert [n for n, line in enumerate(lines) if line] == [16, 29, 30, 31, 33]
    assert lines[16] == "import docs_a_page_md.line_11 as shop"
    assert lines[33] == page[33] == "await qty"
    assert [name for name, _ in files] == [
        "docs_a_page_md.line_3",
        "docs_a_page_md.line_11",
        "docs_a_page_md.line_24",
    ]
    assert files[2].source.splitlines()[24:26] == page[24:26]


def test_a_block_imports_the_file_as_it_was_shown_last_before_it() -> None:
    main, *_, blocks = TYPED["modules"]("a.md", PAGE)

    assert main.source.split() == [
        "#", "main.py",
        "import", "a_md.line_11", "as", "shop",  # it comes later only
        "from", "a_md.line_11", "import", "qty",
    ]  # fmt: skip
    assert blocks.source.splitlines()[29:32] == [
        "import shop.more, os",
        "from a_md.line_24 import qty",
        "from shops import qty",
    ]


def test_what_a_type_checker_says_of_a_page_is_reported_by_page_and_line(
    tmp_path: Path,
) -> None:
    tmp_path.joinpath("README.md").write_text(
        "```python\nimport asyncio\nfrom contextlib import AsyncExitStack\n```\n"
        "Text.\n"
        "```python\nasync with AsyncExitStack() as stack:\n"
        "    count: int = await asyncio.sleep(0, 'one')\n"
        "assert [n async for n in agen()]\n```\n"
    )
    (code := tmp_path / "code.py").write_text("number: int = 'two'\n")

    found = [*TYPED["findings"](tmp_path, tmp_path / "build" / "typed", [code])]

    assert [line.split(" error: ")[0] for line in found] == [
        "README.md:8: mypy:",
        "README.md:9: mypy:",
        "README.md:8: pyright:",
        "README.md:9: pyright:",
        "code.py:1: pyright:",
    ]
    assert "agen" in found[1]


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


def test_a_package_that_has_grown_too_much_is_named() -> None:
    budget = LINES["BUDGETS"]["service"]
    files = {
        Path("service/base.py"): 150,
        Path("service/more.py"): budget.most - 149,
        Path("testing/contracts/verbs.py"): 100,
        Path("__init__.py"): 80,
    }

    assert LINES["findings"](files) == [
        f"service has {budget.most + 1:,} lines of code, and {budget.most:,} at most"
    ]
    assert LINES["sums"](files)["contracts"] == 100


def test_a_file_that_is_too_long_and_a_package_without_budget_are_named() -> None:
    found = LINES["findings"]({Path("sql/backend.py"): 401, Path("grpc/base.py"): 1})

    assert found == [
        "sql/backend.py has 401 lines of code, and 400 are the most of a file",
        "grpc has no budget: give it one in BUDGETS",
    ]


def test_a_row_shows_how_far_a_package_is_over_its_aim() -> None:
    budget = LINES["Budget"](aim=1_000, most=1_300)

    assert LINES["row"](1_234, budget, "sql") == " 1,234  1,000    234  1,300  sql"
    assert LINES["row"](990, budget, "sql") == "   990  1,000      0  1,300  sql"


def test_every_package_is_within_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert LINES["main"]() == 0
    assert "in all, without the contracts" in capsys.readouterr().out


@pytest.mark.unmeasured
def test_no_coverage_is_measured_of_a_test_that_is_marked_so() -> None:
    assert sys.gettrace() is None  # which coverage traces by, before Python 3.12
