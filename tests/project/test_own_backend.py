"""The backend of docs/how-to/own-backend.md passes the contract, as the page says."""

import re

from tests.support.project import ROOT

PAGE = ROOT / "docs" / "how-to" / "own-backend.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

for block in BLOCK.findall(PAGE.read_text()):
    if "\nawait " not in block:  # the page's own run has those
        exec(compile(block, str(PAGE), "exec"))  # noqa: S102 - the blocks are our own
