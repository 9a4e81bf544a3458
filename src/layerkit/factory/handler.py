"""Handlers: functions called with a scope of their own."""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

from typing_extensions import TypeVar

from layerkit.core.errors import WiringError
from layerkit.factory.keys import describe
from layerkit.factory.parameters import read_parameters
from layerkit.factory.provider import Provider
from layerkit.factory.scope import Scope
from layerkit.factory.threads import call_without_blocking
from layerkit.factory.wiring import Need, Unresolved, Wiring

R_co = TypeVar("R_co", covariant=True)


class ScopedHandler(Protocol[R_co]):
    """A handler with a scope of its own per call, as ``factory.handler`` makes it.

    It takes what the function's first parameters take; the rest is injected.

    Attributes:
        __name__: The function's.
    """

    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R_co]:
        """Open a scope, call the function, close the scope."""


class Call:
    """Know the parameters of a handler, and which of them must be provided.

    Args:
        function: The handler.

    Raises:
        UsageError: An annotation can't be read.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        has_name = hasattr(function, "__name__") or isinstance(function, partial)
        self.name = describe(function if has_name else type(function))
        self.parameters = read_parameters(function)[0]
        self.signature = inspect.signature(function)
        self.is_async = inspect.iscoroutinefunction(function)

    @property
    def needs(self) -> list[Need]:
        """What a scope must provide: all but the first, which may be the caller's."""
        first = next(iter(self.signature.parameters), None)
        return [
            Need(self.name, p.annotation, p.name)
            for p in self.parameters
            if p.name != first and not p.has_default
        ]

    def providers(self, wiring: Wiring) -> list[Provider]:
        """Return what fills the parameters that nobody passes."""
        found = []
        for parameter in self.parameters:
            with suppress(Unresolved):
                found.append(wiring.find(parameter.annotation))
        return found


async def run_handler(
    call: Call, scope: Scope, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call the handler with what its caller gave, the rest from *scope*.

    Raises:
        WiringError: A parameter was neither given nor is provided.
    """
    bound = call.signature.bind_partial(*args, **kwargs)
    for parameter in call.parameters:
        if parameter.name in bound.arguments:
            continue
        try:
            found = await scope.get(cast("type[object]", parameter.annotation))
        except WiringError:
            if not parameter.has_default:
                raise
        else:
            bound.arguments[parameter.name] = found
    return await call_without_blocking(call.function, *bound.args, **bound.kwargs)
