"""Fields: what is stored as it is, told at once."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from layerkit.repository.entities.fields import FieldInfo
from layerkit.repository.entities.limits import Limits


class Shade(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("kind", "limits", "value", "is_told"),
    [
        (str, Limits(length=3), "abc", True),
        (str, Limits(length=3), "abcd", False),
        (str, Limits(), "abcd", True),
        (str, Limits(), "a\0", False),
        (str, Limits(), "ä", False),
        (str, Limits(), Shade.RED, False),
        (str, Limits(), None, True),
        (str, Limits(uuid=True), "abc", False),
        (str, Limits(choices=frozenset({"abc"})), "abc", False),
        (int, Limits(least=0, greatest=9), 9, True),
        (int, Limits(least=0, greatest=9), 10, False),
        (int, Limits(least=0, greatest=9), -1, False),
        (int, Limits(least=0, greatest=9), True, False),
        (int, Limits(least=0, greatest=9), None, True),
        (int, Limits(), 9, False),
        (bool, Limits(), True, True),
        (bool, Limits(), 1, False),
        (date, Limits(), date(2026, 1, 1), True),
        (date, Limits(), datetime(2026, 1, 1, tzinfo=UTC), False),
        (UUID, Limits(), UUID(int=1), True),
        (float, Limits(), 1.0, False),
        (Decimal, Limits(), Decimal(1), False),
        (dict, Limits(json=True), None, False),
    ],
)
def test_a_value_that_may_be_changed_or_refused_is_not_recognised_at_once(
    kind: type[Any], limits: Limits, value: object, is_told: bool
) -> None:
    info = FieldInfo("name", kind, limits=limits)

    assert info.as_is(value) is is_told
    if is_told:
        assert info.accepts(value)
        assert info.held(value) is value
