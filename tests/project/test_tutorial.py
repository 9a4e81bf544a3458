"""The tutorial builds examples/quickstart.py, and can be followed as it says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.support.project import ROOT

PAGE = ROOT / "docs" / "tutorial" / "quickstart.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TRIAL = "# Try it\n"


def test_the_pieces_of_the_tutorial_make_up_the_quickstart() -> None:
    pieces = [b for b in BLOCK.findall(PAGE.read_text()) if not b.startswith(TRIAL)]

    assert "\n\n".join(pieces) == (ROOT / "examples" / "quickstart.py").read_text()


class Shell:
    """A ``python -m asyncio`` in *folder*, into which somebody types.

    What goes wrong there is written into *errors*.
    """

    def __init__(self, folder: Path, errors: IO[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asyncio"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def enter(self, text: str) -> str:
        """Type *text*, an empty line and a mark; return what came before the mark."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{text}\n\nprint('do' + 'ne')\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            printed += line
            if line.endswith("done\n"):
                return printed
        raise AssertionError(f"the shell has ended: {printed}")

    def leave(self) -> None:
        """End the shell, and read its last prompt, which else it could not print."""
        self.process.communicate()


def test_the_tutorial_can_be_followed_in_one_shell(tmp_path: Path) -> None:
    file = tmp_path / "quickstart.py"
    with (
        (tmp_path / "errors").open("w", encoding="utf-8") as stderr,
        (shell := Shell(tmp_path, stderr)).process,
    ):
        for language, text in STEP.findall(PAGE.read_text("utf-8")):
            if language == "pycon":
                shell.enter(re.sub(r"^>>> ", "", text, flags=re.MULTILINE))
            elif text.startswith(TRIAL):
                shell.enter(text)
            else:
                with file.open("a", encoding="utf-8") as opened:
                    opened.write(text)

        imported = shell.enter("_ = importlib.reload(quickstart)")
        ran = shell.enter("await quickstart.main()")
        shell.leave()

    errors = (tmp_path / "errors").read_text("utf-8")
    assert "Error" not in errors, errors
    assert "at example.org" not in imported
    assert "at example.org: ada@example.org" in ran
