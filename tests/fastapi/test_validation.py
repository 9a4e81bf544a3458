"""What is said of pydantic's errors: the sentence never quotes the input."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, field_validator, model_validator

from layerkit.fastapi.validation import input_errors


class Order(BaseModel):
    size: Any = None
    note: str = ""
    items: list[int] | None = None

    @field_validator("size")
    @classmethod
    def check_size(cls, value: Any) -> Any:
        if value is not None:
            raise ValueError(f"at most 3, not {value!r}")
        return value

    @model_validator(mode="after")
    def check_note(self) -> "Order":
        if self.note:
            raise AssertionError(f"no notes: {self.note.strip().lower()}")
        return self


def sentences(body: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate(body)
    return [entry["detail"] for entry in input_errors(caught.value.errors(), body)]


@pytest.mark.parametrize(
    "size",
    ["hunter2", " hunter2 ", "a\n'b", 4711, 47.11, ["hunter2"], {"a": "hunter2"}],
)
def test_a_validator_that_quotes_its_input_is_not_quoted(size: Any) -> None:
    assert sentences({"size": size}) == ["Input is not valid"]


def test_a_validator_that_quotes_a_field_of_its_model_is_not_quoted() -> None:
    assert sentences({"note": " Hunter2 "}) == ["Input is not valid"]


@pytest.mark.parametrize("size", [3, True, [], {"a": None}])
def test_a_short_number_in_a_message_is_no_quotation(size: Any) -> None:
    assert "at most 3" in sentences({"size": size})[0]


def test_words_of_pydantics_own_stay_whatever_was_sent() -> None:
    assert sentences({"items": {"a": "be", "b": "a", "c": "list"}}) == [
        "Input should be a valid list"
    ]


def test_a_parameter_without_a_name_and_an_error_without_a_place_are_told() -> None:
    errors = [
        {"loc": ("query",), "type": "missing", "msg": "Field required"},
        {"loc": (), "type": "value_error", "msg": ""},
    ]

    assert input_errors(errors, None) == [
        {"in": "query", "name": "", "code": "missing", "detail": "Field required"},
        {"pointer": "#", "code": "value_error", "detail": "Input is not valid"},
    ]
