"""How Sphinx builds the docs: offline, and with every warning as an error."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import layerkit

_PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"

project = "layerkit"
author = "layerkit contributors"
version = release = tomllib.loads(_PYPROJECT.read_text("utf-8"))["project"]["version"]

# Before autodoc looks at the first class: it rewrites annotations of what it reads, and
# models that are defined after that, such as FastAPI's, can't be built.
for package in iter_modules(layerkit.__path__):
    import_module(f"layerkit.{package.name}")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [
    # Names of other libraries: without intersphinx, which needs a network, no target.
    (r"py:.*", r"(?!layerkit\b).*"),
    # Type variables: a page for each would say nothing.
    (r"py:(class|obj)", r"layerkit\..*\.([A-Z](_\w+)?|ID)"),
    # What FastAPI finds in Annotated is private, but shown.
    (r"py:class", r"layerkit\.fastapi\.\w+\._\w+"),
]
nitpick_ignore = [
    # Private, but shown: bases, and the block behind `async with`.
    ("py:class", "layerkit.core.errors._RetryLater"),
    ("py:class", "layerkit.unit_of_work.transaction.Block"),
    ("py:class", "layerkit.repository.bound.BoundRepository"),
    ("py:class", "layerkit.repository.entities.entity_class.EntityClass"),
    ("py:class", "layerkit.testing.contracts.blocks.BlocksContract"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
# As entries of their own, two attributes called `type` would hide the built-in.
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "layerkit"


def describe_data(_: Sphinx, what: str, name: str, *rest: Any) -> None:
    """Give constants and aliases the text that stands under them in the source.

    autodoc looks for it in the module that is named, and a public name is imported
    there.
    """
    package, attribute = name.rsplit(".", 1)
    lines: list[str] = rest[-1]
    if what != "data":
        return
    for module in [m for m in sys.modules if m.startswith(f"{package}.")]:
        documented = ModuleAnalyzer.for_module(module).find_attr_docs()
        if ("", attribute) in documented:
            lines[:] = documented["", attribute]


def setup(app: Sphinx) -> None:
    """Take part in the build."""
    app.connect("autodoc-process-docstring", describe_data)
