"""Event and Payload: what travels on a bus."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError
from layerkit.core.logging import correlation_id as current_correlation
from layerkit.core.types import uuid7

D_co = TypeVar("D_co", covariant=True, default=dict[str, Any])

LONGEST_EVENT_TYPE: Final = 250

handling: ContextVar[UUID | None] = ContextVar("layerkit_event_id", default=None)
"""The id of the event whose handler this context runs; None outside of handlers."""


class Payload(BaseModel):
    """Type the data of one kind of event, under a name that a rename never changes.

    ``class OrderPlaced(Payload, event_type="order.placed")`` gives the name; it is what
    travels, so the class may be renamed or moved. Payloads are frozen. A subclass names
    an event type of its own; fields that several share go into a plain pydantic model.

    Raises:
        UsageError: A subclass has no ``event_type``, or one that can't be a name.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    event_type: ClassVar[str]

    @override
    def __init_subclass__(cls, *, event_type: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if event_type is None:
            raise UsageError(
                f"{cls.__name__} has no event type: write "
                f'`class {cls.__name__}(Payload, event_type="order.placed")`, and put '
                "fields that several payloads share into a plain pydantic model"
            )
        cls.event_type = check_event_type(event_type)


@dataclass(frozen=True, kw_only=True)
class Event(Generic[D_co]):
    """Tell that something happened: the data, and where, when and why.

    Events are compared by value and hashed by id.

    Attributes:
        event_type: 1 to 250 printable characters without ``*``; dots make levels, as in
            ``user.created``.
        data: A mapping of plain values, or a Payload.
        timestamp: Aware; kept in UTC. The present moment when not given.
        source: Where it happened, as a URI reference (CloudEvents 1.0, ``source``).
        id: A UUID, version 7, so ids sort by time; the same on each redelivery.
        correlation_id: What ties together all that one request caused; the present one
            when not given.
        causation_id: The event whose handler made this one, when a handler did.
        headers: What rides along, such as ``traceparent``.

    Raises:
        UsageError: ``event_type`` can't be a name or isn't the payload's, or
            ``timestamp`` is naive.
    """

    event_type: str
    data: D_co
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    source: str = "application"
    id: UUID = field(default_factory=uuid7)
    correlation_id: str | None = field(default_factory=current_correlation.get)
    causation_id: UUID | None = field(default_factory=handling.get)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_event_type(self.event_type)
        if isinstance(self.data, Payload) and event_type_of(type(self.data)) != (
            self.event_type
        ):
            raise UsageError(
                f"Event(event_type={self.event_type!r}) holds a "
                f"{type(self.data).__name__}, whose event type is "
                f"{self.data.event_type!r}: publish the payload itself, or use its type"
            )
        if self.timestamp.tzinfo is None:
            raise UsageError(
                f"Event {self.event_type!r} has a naive timestamp, which could be any "
                "zone's: pass datetime.now(UTC), or leave it out"
            )
        object.__setattr__(self, "timestamp", self.timestamp.astimezone(UTC))
        object.__setattr__(self, "headers", dict(self.headers))

    @override
    def __hash__(self) -> int:
        return hash(self.id)


def event_type_of(payload: type[Payload]) -> str:
    """Return the event type of *payload*.

    Raises:
        UsageError: It is Payload itself, which has none.
    """
    if payload is Payload:
        raise UsageError(
            "Payload itself has no event type: subclass it, "
            '`class OrderPlaced(Payload, event_type="order.placed")`'
        )
    return payload.event_type


def check_event_type(event_type: object) -> str:
    """Return *event_type* where it can name an event.

    Raises:
        UsageError: It is empty, too long, not printable, or has a ``*``.
    """
    if (
        not isinstance(event_type, str)
        or not 0 < len(event_type) <= LONGEST_EVENT_TYPE
        or "*" in event_type
        or not event_type.isprintable()
    ):
        raise UsageError(
            f"{event_type!r} can't be an event type: it takes 1 to "
            f"{LONGEST_EVENT_TYPE} printable characters without '*'"
        )
    return event_type
