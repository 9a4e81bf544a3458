"""Values go to JSON and come back as they were."""

import json
from datetime import UTC, timedelta, timezone
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from layerkit import UsageError
from layerkit.repository.filters.values import decode_value, encode_value

ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=-9, minutes=-30))])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.uuids(),
    st.dates(),
    st.times(timezones=ZONES),
    st.datetimes(timezones=ZONES),
    st.timedeltas(),
    st.decimals(allow_nan=False),
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    back = decode_value(json.loads(json.dumps(encode_value(value))))

    assert back == value
    assert type(back) is type(value)


class Code(str):
    """Be a text of its own."""

    @override
    def __str__(self) -> str:
        return "shown otherwise"


class ServerUUID(UUID):
    """Be what asyncpg reads."""


@pytest.mark.parametrize(
    "value", [Code("a"), ServerUUID(int=1), type("N", (int,), {})(2)]
)
def test_a_value_of_a_subclass_comes_back_as_its_base(value: object) -> None:
    back = decode_value(encode_value(value))

    assert back == value
    assert type(back) is type(value).__bases__[0]


class Tint(Enum):
    RED = "red"


@pytest.mark.parametrize("value", [Tint.RED, object(), [1]])
def test_what_has_no_form_in_json_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="can't be written as JSON"):
        encode_value(value)
