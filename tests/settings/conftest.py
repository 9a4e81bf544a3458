"""An environment that holds nothing but what the test sets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

SetEnvironment: TypeAlias = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SetEnvironment:
    """Return what sets variables; there are none else, and no ``.env``."""
    for name in os.environ:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables
