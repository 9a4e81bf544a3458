"""Values in keys: their texts compare as the values do."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerkit.core.errors import ValidationError
from layerkit.redis.sortable import joined, sortable
from layerkit.repository import FieldInfo

DECIMALS = st.decimals(allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\1\2"))
AWARE = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.integers(-720, 720).map(lambda m: timezone(timedelta(minutes=m))),
)
VALUES: dict[str, tuple[type | None, st.SearchStrategy[Any]]] = {
    "integers": (int, st.integers()),
    "floats": (float, st.floats(allow_nan=False)),
    "decimals": (Decimal, DECIMALS),
    "numbers of any kind": (
        None,
        st.integers() | st.floats(allow_nan=False) | DECIMALS | st.booleans(),
    ),
    "texts": (str, TEXTS),
    "uuids": (UUID, st.uuids()),
    "moments": (datetime, AWARE),
    "moments without a zone": (datetime, st.datetimes()),
    "dates": (date, st.dates()),
    "times": (time, st.times()),
    "spans": (timedelta, st.timedeltas()),
    "bytes": (bytes, st.binary()),
}


@pytest.mark.parametrize("name", VALUES)
def test_texts_compare_as_the_values_do(name: str) -> None:
    kind, values = VALUES[name]
    info = FieldInfo("value", kind)

    @given(values, values)
    def check(a: Any, b: Any) -> None:
        first, second = sortable(info, a).encode(), sortable(info, b).encode()

        assert (first < second) == (a < b)
        assert (first == second) == (a == b)

    check()


def test_numbers_of_any_length_compare_as_such() -> None:
    info = FieldInfo("value", int)
    powers = [10**n for n in (0, 1, 9, 98, 99, 100, 105, 120, 121, 5_000)]
    above = [power + more for power in powers for more in (-1, 0, 1, 5)]
    numbers = sorted({*above, *(-n for n in above)})

    texts = [sortable(info, number).encode() for number in numbers]

    assert texts == sorted(set(texts))


@given(st.tuples(TEXTS, st.integers()), st.tuples(TEXTS, st.integers()))
def test_composite_texts_compare_as_tuples_do(
    a: tuple[str, int], b: tuple[str, int]
) -> None:
    infos = FieldInfo("name", str), FieldInfo("place", int)

    first, second = (joined(map(sortable, infos, pair)).encode() for pair in (a, b))

    assert (first < second) == (a < b)
    assert (first == second) == (a == b)


def test_numbers_close_to_each_other_are_distinguished() -> None:
    info = FieldInfo("value", Decimal)
    numbers: list[Any] = [
        -10,
        -9,
        "-1.55",
        "-1.5",
        "-1.05",
        "-0.1",
        0,
        "0.1",
        "1.05",
        "1.5",
        10,
    ]

    texts = [sortable(info, Decimal(number)) for number in numbers]

    assert texts == sorted(texts)


def test_a_member_of_an_enum_goes_by_its_name() -> None:
    class Color(Enum):
        RED = "r"

    assert sortable(FieldInfo("color", Color), Color.RED) == "eRED"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "NaN"),
        ("\ud800", "surrogates"),
        (time(1, tzinfo=UTC), "zone"),
        ([1], "no order"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "range"),
    ],
)
def test_a_value_that_has_no_place_in_a_key_is_refused(
    value: object, reason: str
) -> None:
    info = FieldInfo("value", None)

    with pytest.raises(ValidationError, match=f"value holds .*{reason}") as refused:
        sortable(info, value)

    assert refused.value.fields == ("value",)
