"""What is said of pydantic's errors: the sentence never quotes the input."""

import time
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, field_validator, model_validator

from layerkit.fastapi.validation import input_errors, invalid_request


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


def test_a_parameter_without_a_name_and_an_error_without_a_place_are_reported() -> None:
    errors = [
        {"loc": ("query",), "type": "missing", "msg": "Field required"},
        {"loc": (), "type": "value_error", "msg": ""},
    ]

    assert input_errors(errors, None) == [
        {"in": "query", "name": "", "code": "missing", "detail": "Field required"},
        {"pointer": "#", "code": "value_error", "detail": "Input is not valid"},
    ]


# What is shown is bounded, and so is the work


def error_of(given: Any, message: str, kind: str = "value_error") -> dict[str, Any]:
    return {"loc": ("body", "a"), "type": kind, "msg": message, "input": given}


def sentence(given: Any, message: str, kind: str = "value_error") -> str:
    [entry] = input_errors([error_of(given, message, kind)], {"a": given})
    return entry["detail"]


@pytest.mark.parametrize("kind", ["value_error", "string_type"])
@pytest.mark.parametrize(
    ("given", "message", "is_quoted"),
    [
        ("be", "to be", True),
        ("be", "it is (BE)!", True),
        ("be", "it became a bee", False),
        ("be", "_be be_ 2be", False),
        ("be", "became, be", True),
        ("strasse", "die STRASSE, die Straße", True),
        ("x" * 33, "a" + "x" * 33 + "a", True),
        ("x" * 32, "a" + "x" * 32 + "a", False),
        ("it's", "it\\'s", False),
        ("a\nb", "got a\\nb", True),
        ("", "empty", False),
        (" ", "blank", False),
    ],
)
def test_a_quotation_is_a_word_or_a_long_text(
    kind: str, given: str, message: str, is_quoted: bool
) -> None:
    expected = "Input is not valid" if is_quoted else message

    assert sentence(given, message, kind) == expected


def test_a_long_sentence_of_a_validator_is_not_reported() -> None:
    assert sentence("a", "n" * 500) == "n" * 500
    assert sentence("a", "n" * 501) == "Input is not valid"
    assert sentence("a", "n" * 501, "literal_error") == "n" * 501


def test_more_texts_than_are_looked_for_may_be_quoted() -> None:
    assert sentence(["b"] * 1_000, "no") == "no"
    assert sentence(["b"] * 1_001, "no") == "Input is not valid"


def test_the_deepest_input_is_looked_through() -> None:
    deep: Any = "hunter2"
    for _ in range(5_000):
        deep = [deep]

    assert sentence(deep, "not hunter2") == "Input is not valid"


def test_long_names_are_cut_and_deep_ways_end() -> None:
    long, deep = "k" * 1_000_000, ("body", *range(100))
    errors = [
        {"loc": ("body", long), "type": "missing", "msg": "m"},
        {"loc": ("query", long), "type": "extra_forbidden", "msg": "m", "input": "x"},
        {"loc": ("body", "k" * 64), "type": "missing", "msg": "m"},
    ]
    nested: Any = 1
    for step in reversed(range(100)):
        nested = [0] * step + [nested]

    body, query, fits = input_errors(errors, {})
    [way] = input_errors([{"loc": deep, "type": "int_type", "msg": "m"}], nested)

    assert body["pointer"] == f"#/{'k' * 64}%E2%80%A6"
    assert query["name"] == f"{'k' * 64}…"
    assert fits["pointer"] == f"#/{'k' * 64}"
    assert way["pointer"].count("/") == 33
    assert way["pointer"].endswith("/31/%E2%80%A6")


def test_a_name_that_utf8_can_not_hold_is_reported() -> None:
    [entry] = input_errors(
        [{"loc": ("body", "\ud800"), "type": "missing", "msg": "m"}], {}
    )

    assert entry["pointer"] == "#/%3F"


def test_of_many_errors_the_first_hundred_are_reported() -> None:
    errors = [error_of(n, "m") for n in range(250)]

    many, few = invalid_request(errors, {}), invalid_request(errors[:100], {})

    assert len(many.detail["errors"]) == 100
    assert many.detail["omitted"] == 150
    assert "omitted" not in few.detail


def test_logs_name_what_is_declared_and_nothing_that_was_made_up() -> None:
    errors = [
        {"loc": ("query", "limit"), "type": "int_parsing", "msg": "m", "input": "x"},
        {"loc": ("query", "hunter2"), "type": "extra_forbidden", "msg": "m"},
        {"loc": ("body", "hunter2"), "type": "extra_forbidden", "msg": "m"},
        {"loc": ("body", "by", "hunter2"), "type": "int_parsing", "msg": "m"},
        {"loc": ("body", "by", "hunter3"), "type": "int_parsing", "msg": "m"},
        {"loc": (), "type": "value_error", "msg": "m"},
    ]

    assert invalid_request(errors, {}).logged == (
        "The request is not valid: query limit int_parsing, query extra_forbidden, "
        "body extra_forbidden, body int_parsing, body value_error"
    )


def texts(size: int) -> dict[str, tuple[dict[str, Any], Any]]:
    """Return errors about inputs of *size* characters that are hard to look for."""
    same, words = "a" * size, "ab " * (size // 3)
    named = {"loc": ("body", same), "type": "extra_forbidden", "msg": "m", "input": 1}
    return {
        "echoed": (error_of(same, f"bad {same}"), {}),
        "pydantics": (error_of(same, f"bad a{same}a", "custom"), {}),
        "half": (error_of(same[: size // 2], f"bad {same}", "custom"), {}),
        "words": (error_of(words, f"bad {words}"), {}),
        "many": (error_of(list(same), "a a a " * 80), {}),
        "distinct": (error_of([f"{n}" for n in range(size // 6)], "1" * 400), {}),
        "name": (named, {same: 1}),
    }


@pytest.mark.parametrize("name", texts(1))
def test_work_grows_with_the_text_and_no_faster(name: str) -> None:
    small, large = texts(100_000)[name], texts(400_000)[name]

    def seconds(case: tuple[dict[str, Any], Any]) -> float:
        begin = time.process_time()
        for _ in range(3):
            invalid_request([case[0]], case[1])
        return time.process_time() - begin

    # Alternated, and the least of each: what else the machine does adds to both.
    pairs = [(seconds(small), seconds(large)) for _ in range(5)]
    least_small, least_large = (min(column) for column in zip(*pairs, strict=True))

    assert least_large <= 6 * least_small + 0.01
