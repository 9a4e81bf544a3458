"""Prints the lines of code of each package, and fails where one has grown too much.

Docstrings, comments and blank lines are no code. A package has an aim, which it should
come down to, and a most, which it may not pass: raise that only with a reason. No file
may have more than 400.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent.parent / "src" / "layerkit"
MOST_OF_A_FILE = 400
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Budget(NamedTuple):
    """What a package should have, and what it may have."""

    aim: int
    most: int


BUDGETS: Mapping[str, Budget] = {
    "boundaries": Budget(aim=10, most=10),
    "cache": Budget(aim=170, most=170),
    "contracts": Budget(aim=2600, most=2710),
    "core": Budget(aim=640, most=820),
    "events": Budget(aim=260, most=260),
    "factory": Budget(aim=1180, most=1220),
    "fastapi": Budget(aim=900, most=1150),
    "layerkit": Budget(aim=90, most=90),
    "notifications": Budget(aim=110, most=110),
    "realtime": Budget(aim=270, most=270),
    "redis": Budget(aim=1100, most=1040),
    "repository": Budget(aim=2800, most=4750),
    "service": Budget(aim=200, most=240),
    "settings": Budget(aim=370, most=440),
    "smtp": Budget(aim=10, most=10),
    "sql": Budget(aim=2900, most=5060),
    "sync": Budget(aim=60, most=60),
    "testing": Budget(aim=200, most=200),
    "unit_of_work": Budget(aim=430, most=620),
    "webhooks": Budget(aim=10, most=10),
}
"""By package; the contracts are tests that ship, and count apart."""


def lines_of_code(source: str) -> int:
    """Count the lines of *source* that hold code."""
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            docstring = node.body[0]
            code.difference_update(
                range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1)
            )
    return len(code)


def package_of(path: Path) -> str:
    """Return the package that *path*, relative to the source, counts for."""
    parts = path.parts
    if parts[:2] == ("testing", "contracts"):
        return "contracts"
    return parts[0] if len(parts) > 1 else "layerkit"


def findings(files: Mapping[Path, int]) -> list[str]:
    """Return what is over its budget.

    Args:
        files: Lines of code by path, relative to the source.
    """
    found = [
        f"{path} has {lines} lines of code, and {MOST_OF_A_FILE} are the most of a file"
        for path, lines in sorted(files.items())
        if lines > MOST_OF_A_FILE
    ]
    for package, lines in sorted(sums(files).items()):
        budget = BUDGETS.get(package)
        if budget is None:
            found.append(f"{package} has no budget: give it one in BUDGETS")
        elif lines > budget.most:
            found.append(
                f"{package} has {lines:,} lines of code, and {budget.most:,} at most"
            )
    return found


def sums(files: Mapping[Path, int]) -> Counter[str]:
    """Return the lines of each package."""
    packages: Counter[str] = Counter()
    for path, lines in files.items():
        packages[package_of(path)] += lines
    return packages


def row(lines: int, budget: Budget, name: str) -> str:
    """Return the line of the table for what is called *name*."""
    over = max(0, lines - budget.aim)
    return f"{lines:6,} {budget.aim:6,} {over:6,} {budget.most:6,}  {name}"


def main() -> int:
    """Print a line for each package beside its budget, and what is over."""
    files = {
        path.relative_to(SOURCE): lines_of_code(path.read_text("utf-8"))
        for path in SOURCE.rglob("*.py")
    }
    print(" lines    aim   over   most  package")
    for package, lines in sums(files).most_common():
        print(row(lines, BUDGETS.get(package, Budget(0, 0)), package))
    budgets = [b for name, b in BUDGETS.items() if name != "contracts"]
    product = Budget(sum(b.aim for b in budgets), sum(b.most for b in budgets))
    lines = sum(files.values()) - sums(files)["contracts"]
    print(row(lines, product, "in all, without the contracts"))
    over = findings(files)
    print(*over, sep="\n", end="\n" * bool(over))
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main())
