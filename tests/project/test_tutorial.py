"""The tutorial builds examples/quickstart.py, and nothing else."""

import re

from tests.support.project import ROOT

PAGE = ROOT / "docs" / "tutorial" / "quickstart.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TRIAL = "# Try it\n"


def test_the_pieces_of_the_tutorial_make_up_the_quickstart() -> None:
    pieces = [b for b in BLOCK.findall(PAGE.read_text()) if not b.startswith(TRIAL)]

    assert "\n\n".join(pieces) == (ROOT / "examples" / "quickstart.py").read_text()
