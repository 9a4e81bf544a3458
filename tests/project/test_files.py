"""The project's files name no machine, are not generated, and say `__all__`."""

import ast
import re

import pytest

from tests.support.project import PACKAGE, ROOT, git_files

# In pieces, so that this file doesn't name them itself.
HOSTS = ["py" + "pi.org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian"]
FOLDERS = ["/wo" + "rk/", "/ro" + "ot/", "/fa" + "rm/", "/op" + "t/"]


@pytest.mark.parametrize("text", [*HOSTS, *FOLDERS])
def test_no_file_names_a_registry_or_a_folder_of_a_machine(text: str) -> None:
    files = git_files("--cached", "--others", "--exclude-standard")

    found = [
        str(path.relative_to(ROOT))
        for path in files
        if text.encode() in path.read_bytes()
    ]

    assert found == []


def test_no_generated_file_is_tracked() -> None:
    assert git_files("--cached", "--ignored", "--exclude-standard") == []


def test_every_package_says_what_it_exports() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("__init__.py")
        if not _assigns_all(path.read_text("utf-8"))
    ]

    assert silent == []


def test_source_has_no_unfinished_place() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b")

    unfinished = [
        f"{path.relative_to(ROOT)}: {mark.group()}"
        for path in PACKAGE.rglob("*.py")
        for mark in marks.finditer(path.read_text("utf-8"))
    ]

    assert unfinished == []


def test_every_exception_from_a_check_has_its_reason_on_the_line() -> None:
    exception = re.compile(r"#\s*(?:type: ignore|noqa|pragma: no (?:cover|branch))")
    which = r"type: ignore\[[^]]+\]|noqa: [A-Z0-9, ]+|pragma: no \w+"
    reason = re.compile(rf"(?:{which})\s+[-#]\s+(?!noqa|type: ignore|pragma)\S")

    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in git_files("--cached", "--others", "--exclude-standard", "*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if exception.search(line) and not reason.search(line)
    ]

    assert bare == []


def _assigns_all(source: str) -> bool:
    names = {
        target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    return "__all__" in names
