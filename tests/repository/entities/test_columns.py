"""Many new rows, looked at a column at a time: what is let through, and what not."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from layerkit.repository.entities.fields import FieldInfo
from layerkit.repository.entities.limits import Limits

NUMBER = FieldInfo("n", int, limits=Limits(least=0, greatest=9))
TEXT = FieldInfo("t", str, limits=Limits(length=3))
DAY = FieldInfo("d", date)
PLAIN: Sequence[tuple[FieldInfo, list[Any]]] = [
    (NUMBER, [0, None, 9]),
    (NUMBER, [None]),
    (TEXT, ["", None, "abc"]),
    (FieldInfo("t", str), ["x" * 99]),
    (DAY, [date(2026, 1, 1), None]),
    (FieldInfo("f", float), [None]),
]
DOUBTFUL: Sequence[tuple[FieldInfo, list[Any]]] = [
    (NUMBER, [1, 10]),
    (NUMBER, [-1, 1]),
    (NUMBER, [1, True]),
    (TEXT, ["abcd"]),
    (TEXT, ["a", "\0"]),
    (TEXT, ["é"]),
    (TEXT, ["a", 1]),
    (FieldInfo("f", float), [1.0]),
    (FieldInfo("j", dict, limits=Limits(json=True)), [None]),
]


@pytest.mark.parametrize(("field", "values"), PLAIN)
def test_what_is_stored_as_it_is_passes(field: FieldInfo, values: list[Any]) -> None:
    assert field.all_as_is(values)
    assert all(map(field.as_is, values))


@pytest.mark.parametrize(("field", "values"), DOUBTFUL)
def test_one_doubtful_value_sends_all_to_the_slow_look(
    field: FieldInfo, values: list[Any]
) -> None:
    assert not field.all_as_is(values)
    assert not all(map(field.as_is, values))
