"""The quickstart runs anywhere, is short, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT

QUICKSTART = ROOT / "examples" / "quickstart.py"


def test_quickstart_prints_what_it_does_and_leaves_no_file_behind(
    tmp_path: Path,
) -> None:
    run = subprocess.run(
        [sys.executable, QUICKSTART],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        "at example.org: ada@example.org",
        "refused: email already exists; still 2 users",
    ]
    assert list(tmp_path.iterdir()) == []


def test_quickstart_has_at_most_65_lines() -> None:
    assert len(QUICKSTART.read_text("utf-8").splitlines()) <= 65
