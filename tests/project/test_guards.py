"""A package of an extra that is not installed names the pip line."""

import sys
from importlib import import_module

import pytest

from layerkit.core import MissingExtraError

GUARDS = [
    ("sql", "sqlalchemy"),
    ("redis", "redis"),
    ("smtp", "aiosmtplib"),
    ("webhooks", "httpx"),
    ("boundaries", "grimp"),
    ("fastapi", "fastapi"),
]


@pytest.mark.parametrize(("package", "module"), GUARDS)
def test_import_without_the_extra_names_the_pip_line(
    package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"layerkit.{package}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)  # how Python marks it as not there

    with pytest.raises(MissingExtraError) as caught:
        import_module(f"layerkit.{package}")

    assert f"pip install 'layerkit[{package}]'" in str(caught.value)
    assert caught.value.name == module


@pytest.mark.parametrize(("package", "module"), GUARDS)
def test_import_with_the_extra_succeeds(package: str, module: str) -> None:
    import_module(module)

    assert isinstance(import_module(f"layerkit.{package}").__all__, list)
