"""Fixtures of the tests of units of work."""

import pytest

from tests.support.recording import RecordingHome


@pytest.fixture
def home() -> RecordingHome:
    return RecordingHome()
