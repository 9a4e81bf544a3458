"""Parameters: what a class or a function takes, as its signature says."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, get_origin, get_type_hints

from layerkit.core.errors import UsageError
from layerkit.factory.keys import describe, substitute, type_arguments

Make: TypeAlias = Callable[..., object]
"""A class, a function, a coroutine function, or a generator function of either sort."""

MISSING = inspect.Parameter.empty
"""What stands for an annotation or a default that is not there."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that is to be filled: its name and the type it asks for.

    Attributes:
        position: Its place among those that are passed by position, from 0; None for
            what is passed by name only.
    """

    name: str
    annotation: object
    has_default: bool = False
    positional_only: bool = False
    position: int | None = None


def function_of(make: Make) -> Callable[..., Any]:
    """Return the function that runs when *make* is called; a class is its own."""
    while isinstance(make, functools.partial):
        make = make.func
    if inspect.isroutine(make) or isinstance(get_origin(make) or make, type):
        return make
    call: Callable[..., Any] = type(make).__call__
    return call


def read_parameters(make: Make) -> tuple[tuple[Parameter, ...], object]:
    """Return the parameters of *make* and its return annotation.

    Raises:
        UsageError: The signature or an annotation can't be read, or is missing.
    """
    name = describe(make)
    try:
        cls = get_origin(make) or make  # of Store[User], the signature is Store's
        signature = inspect.signature(cls if isinstance(cls, type) else make)
        hints, arguments = _hints(make)
    except NameError as error:
        raise UsageError(
            f"{name} has an annotation that can't be resolved ({error}): name types "
            "of its module; those of an enclosing function are out of reach"
        ) from error
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{name} can't be inspected ({error}): wrap it in a function"
        ) from error
    parameters = []
    for place, parameter in enumerate(signature.parameters.values()):
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        annotation = hints.get(parameter.name, parameter.annotation)
        has_default = parameter.default is not MISSING
        if annotation is MISSING:
            if has_default:
                continue
            raise UsageError(
                f"parameter {parameter.name} of {name} has no annotation: say its type"
            )
        wanted = substitute(annotation, arguments)
        by_position = parameter.kind is parameter.POSITIONAL_ONLY
        position = None if parameter.kind is parameter.KEYWORD_ONLY else place
        parameters.append(
            Parameter(parameter.name, wanted, has_default, by_position, position)
        )
    return tuple(parameters), hints.get("return", MISSING)


def _hints(make: Make) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return the annotations of *make*, and what their type variables stand for."""
    cls = get_origin(make) or make
    if not isinstance(cls, type):
        return get_type_hints(function_of(make), include_extras=True), {}
    # The class's own constructor, or the inherited one.
    for owner in cls.__mro__:
        for method in ("__init__", "__new__"):
            function = vars(owner).get(method)
            if inspect.isfunction(function):
                hints = get_type_hints(function, include_extras=True)
                return hints, type_arguments(make, owner)
    return {}, {}
