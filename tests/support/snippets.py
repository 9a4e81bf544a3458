"""Runs the Python blocks of Markdown pages, `await` at top level included.

A block that begins with a comment such as ``# main.py`` is that file: it is written
into the page's folder, where the blocks after it can import it.
"""

import asyncio
import importlib
import inspect
import os
import re
import sys
import tempfile
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from pathlib import Path
from types import ModuleType
from typing import Any

from sybil import Example, Sybil
from sybil.evaluators.python import pad
from sybil.parsers.myst import CodeBlockParser, SkipParser

_PAGE = "__page__"
_FILE = re.compile(r"\s*# (?P<name>[\w/]+\.py)\n")


class Page:
    """What the blocks of one page share: names, a loop, an empty folder, variables."""

    def __init__(self) -> None:
        # A module that can be imported: SQLAlchemy and typing look names up there.
        self._module = ModuleType(_PAGE)
        sys.modules[_PAGE] = self._module
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory(prefix="layerkit-")
        self._back_to = Path.cwd()
        self._variables = os.environ.copy()
        os.chdir(self._folder.name)
        sys.path.insert(0, self._folder.name)

    def run(self, source: str, path: str = "page.md") -> None:
        """Execute *source*; a block that awaits runs in the page's loop."""
        if file := _FILE.match(source):
            self._write(file["name"], source.lstrip())
            return
        code = compile(
            source, path, "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        # A code object with a top-level await gives a coroutine; others give None.
        result = eval(code, vars(self._module))  # noqa: S307 - the blocks are our own pages
        if inspect.iscoroutine(result):
            self._runner.run(result)

    def close(self) -> None:
        """End the loop, remove folder and module, restore the environment variables."""
        self._runner.close()
        os.environ.clear()
        os.environ.update(self._variables)
        os.chdir(self._back_to)
        sys.path.remove(self._folder.name)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if file.startswith(self._folder.name):
                del sys.modules[name]
        self._folder.cleanup()
        del sys.modules[_PAGE]

    def _write(self, name: str, source: str) -> None:
        path = Path(self._folder.name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
        importlib.invalidate_caches()


def snippets(root: Path, *patterns: str) -> Sybil:
    """Return the collector of the Python blocks in the Markdown pages of *patterns*."""
    return Sybil(
        parsers=[CodeBlockParser("python", _evaluate), SkipParser()],
        path=str(root),
        patterns=patterns,
        setup=_open_page,
        teardown=_close_page,
    )


def _open_page(namespace: dict[str, Any]) -> None:
    namespace[_PAGE] = Page()


def _evaluate(example: Example) -> None:
    __tracebackhide__ = True
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    example.namespace[_PAGE].run(source, example.path)


def _close_page(namespace: dict[str, Any]) -> None:
    namespace[_PAGE].close()
