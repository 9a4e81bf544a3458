"""Event and Payload: what they hold and refuse."""

import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, assert_type
from uuid import uuid4

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from layerkit.core.errors import UsageError
from layerkit.core.logging import correlation_id
from layerkit.events import Event, Payload

NOON_IN_DELHI = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5.5)))


class BookSold(Payload, event_type="book.sold"):
    title: str


def test_event_takes_the_four_textbook_fields_by_keyword() -> None:
    event = Event(
        event_type="user.created",
        data={"id": 7},
        timestamp=datetime(2026, 3, 1, tzinfo=UTC),
        source="user_service",
    )

    assert event.event_type == "user.created"
    assert event.data == {"id": 7}
    assert event.timestamp == datetime(2026, 3, 1, tzinfo=UTC)
    assert event.source == "user_service"


def test_event_refuses_positional_arguments() -> None:
    with pytest.raises(TypeError):
        Event("user.created", {})  # type: ignore[call-arg]  # by keyword only


def test_id_and_timestamp_have_defaults() -> None:
    before = datetime.now(UTC)

    first: Event = Event(event_type="tick", data={})
    second: Event = Event(event_type="tick", data={})

    assert first.id.version == 7
    assert first.id < second.id
    assert before <= first.timestamp <= datetime.now(UTC)
    assert first.timestamp.tzinfo is UTC


def test_timestamp_of_another_zone_is_kept_in_utc() -> None:
    event: Event = Event(event_type="tick", data={}, timestamp=NOON_IN_DELHI)

    assert event.timestamp == NOON_IN_DELHI
    assert event.timestamp.isoformat() == "2026-03-01T06:30:00+00:00"


def test_naive_timestamp_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'tick' has a naive timestamp.*now\(UTC\)"):
        Event(event_type="tick", data={}, timestamp=datetime(2026, 3, 1))  # noqa: DTZ001 - the subject


@pytest.mark.parametrize(
    "event_type", ["", "user.*", "line\nbreak", "x" * 251, None, 7]
)
def test_event_type_that_is_no_name_is_refused(event_type: Any) -> None:
    with pytest.raises(UsageError, match="can't be an event type"):
        Event(event_type=event_type, data={})


@pytest.mark.parametrize(
    "event_type", ["x", "x" * 250, "user.created", "UserCreated", "größe.geändert"]
)
def test_event_type_may_be_any_printable_name(event_type: str) -> None:
    assert Event(event_type=event_type, data={}).event_type == event_type


def test_event_is_frozen() -> None:
    event: Event = Event(event_type="tick", data={})

    with pytest.raises(FrozenInstanceError):
        event.source = "other"  # type: ignore[misc]  # the subject of the test


def test_event_keeps_its_own_copy_of_the_headers() -> None:
    headers = {"traceparent": "00-1-2-01"}
    event: Event = Event(event_type="tick", data={}, headers=headers)

    headers.clear()

    assert event.headers == {"traceparent": "00-1-2-01"}


def test_events_are_equal_by_value_and_hashed_by_id() -> None:
    event: Event = Event(event_type="tick", data={"a": [1]}, headers={"a": "b"})
    twin = Event(
        event_type="tick",
        data={"a": [1]},
        headers={"a": "b"},
        id=event.id,
        timestamp=event.timestamp,
    )

    assert event == twin
    assert {event, twin} == {event}
    assert event != Event(event_type="tick", data={"a": [1]})


def test_event_takes_the_correlation_id_of_its_context() -> None:
    token = correlation_id.set("request-1")

    event: Event = Event(event_type="tick", data={})

    correlation_id.reset(token)
    assert event.correlation_id == "request-1"
    assert Event(event_type="tick", data={}).correlation_id is None


def test_event_made_outside_of_a_handler_has_no_cause() -> None:
    assert Event(event_type="tick", data={}).causation_id is None


def test_event_survives_pickling() -> None:
    event = Event(event_type="book.sold", data=BookSold(title="Emma"))

    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 - our own bytes


def test_event_survives_a_round_trip_through_json() -> None:
    adapter = TypeAdapter(Event[BookSold])
    event = Event(
        event_type="book.sold",
        data=BookSold(title="Emma"),
        headers={"a": "b"},
        causation_id=uuid4(),
    )

    assert adapter.validate_json(adapter.dump_json(event)) == event


def test_event_is_typed_by_its_data() -> None:
    event = Event(event_type="book.sold", data=BookSold(title="Emma"))
    plain: Event = Event(event_type="tick", data={"id": 7})

    assert_type(event, Event[BookSold])
    assert_type(plain.data, dict[str, Any])


def test_event_with_the_payload_of_another_type_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'tick'.*BookSold.*'book\.sold'"):
        Event(event_type="tick", data=BookSold(title="Emma"))


@pytest.mark.defect("E27")
def test_event_type_is_what_the_payload_was_given_and_not_its_class_name() -> None:
    class Renamed(Payload, event_type="book.lent"):
        pass

    assert Renamed.event_type == "book.lent"
    assert Renamed().event_type == "book.lent"


def test_payload_without_event_type_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Nameless has no event type.*event_type="):

        class Nameless(Payload):
            pass


def test_subclass_of_a_payload_does_not_share_its_event_type() -> None:
    with pytest.raises(UsageError, match="SignedBookSold has no event type"):

        class SignedBookSold(BookSold):
            pass


def test_payload_with_an_event_type_that_is_no_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'book\.\*' can't be an event type"):

        class Wild(Payload, event_type="book.*"):
            pass


def test_payloads_may_share_fields_through_a_plain_model() -> None:
    class Titled(BaseModel):
        title: str

    class BookLent(Titled, Payload, event_type="book.lent"):
        to: str

    class BookReturned(Titled, Payload, event_type="book.returned"):
        pass

    assert BookLent(title="Emma", to="Ada").title == "Emma"
    assert BookReturned.event_type == "book.returned"


def test_payload_takes_pydantic_config_beside_its_event_type() -> None:
    class Strict(Payload, event_type="strict", extra="forbid"):
        pass

    with pytest.raises(ValidationError):
        Strict(unknown=1)  # type: ignore[call-arg]  # the subject of the test


def test_payload_is_frozen() -> None:
    sold = BookSold(title="Emma")

    with pytest.raises(ValidationError):
        sold.title = "Persuasion"  # type: ignore[misc]  # the subject of the test


def test_error_of_a_payload_does_not_show_its_input() -> None:
    with pytest.raises(ValidationError) as caught:
        BookSold.model_validate({"title": ["s3cret"]})

    assert "s3cret" not in str(caught.value)
