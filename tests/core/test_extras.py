"""The import guard of the packages that need an extra."""

import sys
from pathlib import Path

import pytest

from layerkit.core import MissingExtraError, require_extra


def test_a_module_that_is_there_is_let_through() -> None:
    require_extra("json", package="layerkit.x", extra="x")


def test_a_module_that_is_missing_names_the_pip_line() -> None:
    with pytest.raises(MissingExtraError, match="pip install 'layerkit") as caught:
        require_extra("no_such_module", package="layerkit.x", extra="x")

    assert caught.value.name == "no_such_module"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_module_that_misses_another_raises_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError) as caught:
        require_extra("broken_module", package="layerkit.x", extra="x")

    assert not isinstance(caught.value, MissingExtraError)
    assert caught.value.name == "no_such_module"
    assert "broken_module" not in sys.modules
