"""Type-checks the Python blocks of README and docs, by mypy strict and by pyright.

The blocks of a page share their names, so each page becomes one module, where a line
has the number that it has on the page; a block that begins with a comment such as
``# main.py`` becomes a module of its own, which the blocks after it import. Pyright
reads the files in which we say what users' code is typed as, and the examples, too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "typed"  # the same each time, since mypy keeps what it found
PAGES = ("*.md", "benchmarks/*.md", "docs/**/*.md")
CODE = ("examples", "tests/usage", "tests/surface/test_typing.py")

BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (?P<name>[\w/]+)\.py\n")
IMPORT = re.compile(r"^( *)(from|import) ([\w.]+)", re.MULTILINE)
MYPY = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): (?P<text>.*)")
# A page awaits at top level, as `python -m asyncio` does, which no module may.
TOP_LEVEL = re.compile(
    r'"(await|async \w+)" outside (async )?function'
    r"|\"await\" allowed only within async function"
    r"|Use of \"async\" not allowed outside of async function"
)


class Module(NamedTuple):
    """A module made of a page: its dotted name, and its source."""

    name: str
    source: str


class Found(NamedTuple):
    """What a checker says of a line."""

    file: str
    line: int
    text: str


def modules(page: str, text: str) -> Iterator[Module]:
    """Yield the module of a page's blocks, and before it those of its files.

    Args:
        page: The page's path, which names the modules.
        text: What is on the page.
    """
    package = re.sub(r"\W", "_", page)
    blocks = [
        (text.count("\n", 0, block.start(2)), dedent(block[2]))
        for block in BLOCK.finditer(text)
    ]
    files = {line: name for line, source in blocks if (name := file_name(source))}
    shared = ""
    for line, source in blocks:
        known = {name: f"{package}.line_{at}" for at, name in seen(files, line)}
        padded = "\n" * (line - shared.count("\n")) + importing(source, known)
        if line in files:
            padded = "\n" * line + importing(source, known)
            yield Module(f"{package}.line_{line}", padded)
        else:
            shared += padded
    yield Module(f"{package}.blocks", shared)


def file_name(source: str) -> str | None:
    """Return the module that *source* is the file of, by its first line, or None."""
    file = FILE.match(source)
    return file["name"].replace("/", ".") if file else None


def seen(files: Mapping[int, str], line: int) -> Iterator[tuple[int, str]]:
    """Yield the files that a block at *line* sees: the last version before it."""
    later = [at for at in files if at >= line]
    for at in [*reversed(later), *(at for at in files if at < line)]:
        yield at, files[at]


def importing(source: str, known: Mapping[str, str]) -> str:
    """Return *source* with its imports of a page's files as those of their modules."""

    def renamed(found: re.Match[str]) -> str:
        indent, verb, name = found.groups()
        if name not in known:
            return found[0]
        end = f" as {name}" if verb == "import" else ""
        return f"{indent}{verb} {known[name]}{end}"

    return IMPORT.sub(renamed, source)


def write(root: Path, folder: Path) -> dict[str, str]:
    """Write the modules of all pages into *folder*; return page by module's path."""
    pages = {}
    for path in sorted({p for pattern in PAGES for p in root.glob(pattern)}):
        page = str(path.relative_to(root))
        for module in modules(page, path.read_text("utf-8")):
            file = folder.joinpath(*module.name.split(".")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(module.source, "utf-8")
            pages[str(file)] = page
    return pages


def run(*command: str, **variables: str) -> str:
    """Return what a checker of this environment prints; its breakdown ends us."""
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT, env={**os.environ, **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode > 1:
        sys.exit(ran.stdout + ran.stderr)
    return ran.stdout


def mypy(folder: Path) -> Iterator[Found]:
    """Yield what mypy says of the modules in *folder*."""
    config = folder / "mypy.ini"  # a user's: strict, and no more
    config.write_text("[mypy]\nstrict = true\nexplicit_package_bases = true\n")
    options = ["--config-file", str(config), "--no-error-summary"]
    cache = ["--cache-dir", str(folder.with_name(f"{folder.name}-cache"))]
    bases = f"{folder}{os.pathsep}{ROOT}"
    for line in run("mypy", *options, *cache, str(folder), MYPYPATH=bases).splitlines():
        if found := MYPY.match(line):
            file = (ROOT / found["file"]).resolve()
            yield Found(str(file), int(found["line"]), f"mypy: {found['text']}")


def pyright(folder: Path, code: Iterable[Path]) -> Iterator[Found]:
    """Yield what pyright says of the modules in *folder*, and of *code*."""
    include = [folder, *code]
    options = {
        "include": [os.path.relpath(path, folder) for path in include],
        "extraPaths": [os.path.relpath(ROOT, folder)],
        "pythonVersion": "3.11",
    }
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps(options), "utf-8")
    # The wheels bring pyright and its node, and with JSON it asks nobody for a newer
    # one, unless a variable of these names a version.
    versions = dict.fromkeys(("FORCE_VERSION", "PYLANCE_VERSION", "NODE_VERSION"), "")
    report = json.loads(
        run(
            *("pyright", "--outputjson", "-p", str(config)),
            *("--pythonpath", sys.executable),
            **{f"PYRIGHT_PYTHON_{name}": empty for name, empty in versions.items()},
        )
    )
    there = sum(len([*p.rglob("*.py")]) if p.is_dir() else 1 for p in include)
    if report["summary"]["filesAnalyzed"] != there:
        sys.exit(f"pyright has read {report['summary']} where {there} files are")
    for found in report["generalDiagnostics"]:
        rule = f" [{found['rule']}]" if "rule" in found else ""
        text = f"pyright: {found['severity']}: {found['message']}{rule}"
        yield Found(found["file"], found["range"]["start"]["line"] + 1, text)


def findings(root: Path, folder: Path, code: Iterable[Path] = ()) -> Iterator[str]:
    """Yield what the checkers say of the pages in *root* and of *code*, by its place.

    Args:
        root: Where the pages are.
        folder: Where their modules go; it is emptied.
        code: Files and folders that pyright reads as well.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pages = write(root, folder)
    for found in (*mypy(folder), *pyright(folder, code)):
        if not TOP_LEVEL.search(found.text):
            place = pages.get(found.file) or os.path.relpath(found.file, root)
            yield f"{place}:{found.line}: {found.text}"


def main() -> int:
    """Print what the checkers find, and return 1 where they find anything."""
    lines = [*findings(ROOT, FOLDER, [ROOT / name for name in CODE])]
    print(*lines or ["every page passes mypy strict and pyright"], sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
