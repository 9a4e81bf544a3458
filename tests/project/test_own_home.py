"""The home of docs/how-to/own-home.md passes the contract, as the page says."""

import re
import sys
from types import ModuleType

from tests.support.project import ROOT

PAGE = ROOT / "docs" / "how-to" / "own-home.md"
FILE = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)

made: dict[str, ModuleType] = {}
for name, source in FILE.findall(PAGE.read_text("utf-8")):
    made[name] = sys.modules[name] = ModuleType(name)
    exec(compile(source, str(PAGE), "exec"), vars(made[name]))  # noqa: S102 - our own page
for name in made:
    del sys.modules[name]  # the page's own run writes them as files

TestFileDatabase = vars(made["test_file_home"])["TestFileDatabase"]
