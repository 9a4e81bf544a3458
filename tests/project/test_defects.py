"""Each defect that an implemented part owns has a test marked with its number."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.project import PACKAGE, ROOT

OWNED = ROOT / "tests" / "project" / "defects.txt"


def owned_numbers() -> list[str]:
    lines = OWNED.read_text("utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip() and line[0] != "#"]


def marked_numbers(source: str) -> Iterator[str]:
    """Yield the arguments of each `defect(...)` call, a decorator or a parameter's."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _name(node.func) == "defect":
            for argument in node.args:
                assert isinstance(argument, ast.Constant), ast.dump(argument)
                yield str(argument.value)


def test_every_owned_defect_has_a_test() -> None:
    assert sorted(set(owned_numbers()) - _marked()) == []


def test_every_marked_defect_is_owned() -> None:
    assert sorted(_marked() - set(owned_numbers())) == []


def test_no_defect_is_listed_twice() -> None:
    numbers = owned_numbers()

    assert len(numbers) == len(set(numbers))


def test_marks_are_found_on_functions_classes_and_parameters() -> None:
    source = """
@pytest.mark.defect("R1")
class TestFilters:
    @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.defect("R2"))])
    @pytest.mark.defect("R3", "R4")
    async def test_filter(self, n): ...
"""

    assert sorted(marked_numbers(source)) == ["R1", "R2", "R3", "R4"]


def _marked() -> set[str]:
    contracts = (PACKAGE / "testing" / "contracts").rglob("*.py")
    files: list[Path] = [*(ROOT / "tests").rglob("*.py"), *contracts]
    return {
        number for path in files for number in marked_numbers(path.read_text("utf-8"))
    }


def _name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""
