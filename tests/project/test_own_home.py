"""The home of docs/how-to/own-home.md passes the contract, as the page says."""

import re
import sys
from types import ModuleType

from tests.support.project import ROOT

PAGE = ROOT / "docs" / "how-to" / "own-home.md"
FILE = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)

module = ModuleType("")
for name, source in FILE.findall(PAGE.read_text("utf-8")):
    module = sys.modules[name] = ModuleType(name)
    exec(compile(source, str(PAGE), "exec"), vars(module))  # noqa: S102 - our own page

TestFileDatabase = vars(module)["TestFileDatabase"]
del sys.modules["file_home"], sys.modules["test_file_home"]
