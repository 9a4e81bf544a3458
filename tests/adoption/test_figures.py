"""What the pages tell of the two moves is what the files hold."""

import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

from tests.support.project import ROOT

LINES = runpy.run_path(str(ROOT / ".ci" / "lines.py"))
ROW = re.compile(r"^\| ([^|]+) \| (\d+) \| (\d+) \| ([^|]*) ?\|$", re.MULTILINE)
FILE = re.compile(r"`(\w+\.py)`")
PAGES = {
    "existing-sync-application.md": "sync_shop",
    "existing-application.md": "async_blog",
}


def sources(folder: Path) -> dict[str, str]:
    """Return the files of a form of an application, with those that both have."""
    files = [*folder.parent.glob("*.py"), *folder.glob("*.py")]
    return {
        file.name: file.read_text("utf-8").replace(f".{folder.name}", "")
        for file in files
    }


@pytest.mark.parametrize("page", PAGES)
def test_a_page_gives_the_lines_of_each_file_before_and_after(page: str) -> None:
    folder = ROOT / "tests" / "adoption" / PAGES[page]
    before, after = sources(folder / "before"), sources(folder / "after")
    told = (ROOT / "docs" / "how-to" / page).read_text("utf-8")
    _, move = told.split("\n## The whole move\n")
    named: Counter[str] = Counter()

    def lines(form: dict[str, str], files: list[str]) -> int:
        return sum(LINES["lines_of_code"](form[f]) for f in files if f in form)

    for parts, lines_before, lines_after, words in ROW.findall(move):
        files = FILE.findall(parts) or [*before.keys() | after.keys()]
        named.update(files)
        figures = lines(before, files), lines(after, files)
        assert (parts, *figures) == (parts, int(lines_before), int(lines_after))
        if words.strip() == "the same files":
            assert [before[file] for file in files] == [after[file] for file in files]

    # Each in a row of its own, and in that of all.
    assert named == dict.fromkeys(before.keys() | after.keys(), 2)
