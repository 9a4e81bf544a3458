"""Subscriptions: which handler gets which events, and how it is called."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.events.event import Event, Payload, check_event_type, event_type_of

D_contra = TypeVar("D_contra", contravariant=True, default=dict[str, Any])


class Handler(Protocol[D_contra]):
    """Take an event: a function, sync or async, or an object with ``__call__``."""

    def __call__(self, event: Event[D_contra], /) -> object:
        """Handle *event*; an awaitable that it returns is awaited."""
        ...


@dataclass(frozen=True, eq=False)
class Subscription:
    """One handler's wish for the events of one type, or of all types below a prefix.

    Attributes:
        event_type: An event type, ``prefix.*`` for all below the prefix, or ``*``.
        handler: What is called.
        name: The handler's name in logs.
        payload: What the data is turned into before the handler gets it.
        is_async: True where the handler is called on the loop, False for a thread.
    """

    event_type: str
    handler: Handler[Any]
    name: str
    payload: type[Payload] | None
    is_async: bool

    def matches(self, event_type: str) -> bool:
        """Tell whether the handler wants events of *event_type*."""
        if self.event_type.endswith("*"):
            return event_type.startswith(self.event_type[:-1])
        return event_type == self.event_type

    async def call(self, event: Event[object]) -> None:
        """Call the handler with *event*, its data typed as the handler wants it.

        A sync handler runs in a thread, in a copy of the context.
        """
        if self.payload is not None and not isinstance(event.data, self.payload):
            data = self.payload.model_validate(event.data, from_attributes=True)
            event = replace(event, data=data)
        if self.is_async:
            result = self.handler(event)
        else:
            result = await asyncio.to_thread(_call_in_thread, self.handler, event)
        if inspect.isawaitable(result):
            await result


def subscription(
    event_type: type[Payload] | str, handler: Handler[Any], name: str | None
) -> Subscription:
    """Return the subscription of *handler*, checked.

    Raises:
        UsageError: *event_type* is neither a Payload class nor a name or pattern, or
            *handler* can't be called.
    """
    if not callable(handler):
        raise UsageError(
            f"subscribe({event_type!r}) takes a handler to call, "
            f"got {type(handler).__name__}"
        )
    payload = None
    if isinstance(event_type, type) and issubclass(event_type, Payload):
        payload, event_type = event_type, event_type_of(event_type)
    elif not isinstance(event_type, str):
        raise UsageError(
            f"subscribe() takes an event type or a Payload class, got {event_type!r}"
        )
    elif event_type != "*":
        check_event_type(event_type.removesuffix(".*"))
    target = _innermost(handler)
    return Subscription(
        event_type=event_type,
        handler=handler,
        name=name or _name_of(target),
        payload=payload,
        is_async=inspect.iscoroutinefunction(target)
        or inspect.iscoroutinefunction(getattr(target, "__call__", None)),  # noqa: B004 - its kind matters, not that it is there
    )


def _call_in_thread(handler: Handler[Any], event: Event[object]) -> object:
    try:
        return handler(event)
    except StopIteration as error:
        # A future can't hold StopIteration: whoever awaits it would wait for ever.
        raise RuntimeError(f"{_name_of(handler)} raised StopIteration") from error


def _innermost(handler: Callable[..., object]) -> Callable[..., object]:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


def _name_of(handler: Callable[..., object]) -> str:
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    return f"{named.__module__}.{named.__qualname__}"
