"""Prints the lines of code of each package: no docstrings, comments or blank lines."""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "layerkit"
AIM = 9_000
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


def main() -> int:
    """Print a line for each package, then the sum beside what we aim at."""
    packages: Counter[str] = Counter()
    for path in sorted(SOURCE.rglob("*.py")):
        top = path.relative_to(SOURCE).parts[0]
        packages[top.removesuffix(".py")] += lines_of_code(path.read_text("utf-8"))
    for package, lines in packages.most_common():
        print(f"{lines:6,}  {package}")
    print(f"{packages.total():6,}  lines of code in all; the aim is {AIM:,} at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
