"""What a key and an expiry may be."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerkit.cache import check_key, to_milliseconds
from layerkit.core.errors import UsageError


@pytest.mark.parametrize("key", ["k", "x" * 250, "user:7 / größe", "💡", "C:\\dir"])
def test_key_of_1_to_250_printable_characters_is_kept(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 251])
def test_key_out_of_bounds_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match=f"1 to 250 characters, got {len(key)}"):
        check_key(key)


@pytest.mark.parametrize("key", ["a\n", "\x00", "a\x1fb", "\x7f", "\x85", "\ud800"])
def test_key_with_a_control_character_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="control character or a lone surrogate"):
        check_key(key)


@pytest.mark.parametrize("key", [None, 7, b"key", ("a", "b")])
def test_key_that_is_not_text_is_refused(key: Any) -> None:
    with pytest.raises(UsageError, match=f"is text, got {type(key).__name__}"):
        check_key(key)


@given(st.text())
def test_key_that_is_taken_can_be_written_in_utf_8(key: str) -> None:
    try:
        taken = check_key(key)
    except UsageError:
        return
    assert taken.encode().decode() == key


def test_none_has_no_expiry() -> None:
    assert to_milliseconds(None) is None


@pytest.mark.parametrize(
    ("expire", "milliseconds"),
    [
        (1, 1000),
        (3600, 3_600_000),
        (0.25, 250),
        (4.035, 4035),  # 4.035 * 1000 is a little more than 4035
        (timedelta(minutes=1), 60_000),
        (timedelta.max, math.ceil(timedelta.max.total_seconds() * 1000)),
    ],
)
def test_expiry_is_given_in_seconds(expire: Any, milliseconds: int) -> None:
    assert to_milliseconds(expire) == milliseconds


@pytest.mark.defect("C4")
@pytest.mark.parametrize(
    ("expire", "milliseconds"),
    [
        (0.5, 500),
        (0.0001, 1),
        (1e-300, 1),
        (0.0011, 2),
        (timedelta(microseconds=1), 1),
        (timedelta(microseconds=1001), 2),
    ],
)
def test_fraction_of_a_second_is_rounded_up_to_a_millisecond(
    expire: Any, milliseconds: int
) -> None:
    assert to_milliseconds(expire) == milliseconds


@pytest.mark.defect("C5")
@pytest.mark.parametrize(
    "expire",
    [
        0,
        0.0,
        -1,
        -0.5,
        math.nan,
        math.inf,
        -math.inf,
        1e300,
        10**400,
        timedelta(0),
        timedelta(seconds=-1),
        True,
        "60",
        [60],
    ],
)
def test_expiry_that_is_no_time_to_keep_a_value_is_refused(expire: Any) -> None:
    with pytest.raises(UsageError, match=r"expire=.* is no time to keep a value"):
        to_milliseconds(expire)


@given(st.floats(min_value=0, exclude_min=True, max_value=1e9))
def test_value_is_kept_at_least_as_long_as_asked(expire: float) -> None:
    milliseconds = to_milliseconds(expire)

    assert milliseconds is not None
    assert expire * 1000 - 1e-6 <= milliseconds <= expire * 1000 + 1.001
