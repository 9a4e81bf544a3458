"""Parameters: what a class or a function takes, as its signature says."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass
from typing import Any, TypeAlias, get_origin, get_type_hints

from layerkit.core.errors import UsageError
from layerkit.factory.keys import describe, substitute, type_arguments

Make: TypeAlias = Callable[..., object]
"""A class, a function, a coroutine function, or a generator function of either sort."""

_MAKING = ("__new__", "__init__")


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
    return type(make).__call__


def read_parameters(make: Make) -> tuple[tuple[Parameter, ...], object]:
    """Return the parameters of *make* and its return annotation, None without one.

    Raises:
        UsageError: The signature or an annotation can't be read, or is missing.
    """
    name = describe(make)
    try:
        signature, hints, arguments = _read(make)
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
    for place, parameter in enumerate(signature):
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        annotation = hints.get(parameter.name, parameter.annotation)
        has_default = parameter.default is not parameter.empty
        if annotation is parameter.empty:
            if has_default:
                continue
            raise UsageError(
                f"parameter {parameter.name} of {name} has no annotation: say its type"
            )
        if isinstance(annotation, InitVar):
            annotation = annotation.type
        wanted = substitute(annotation, arguments)
        by_position = parameter.kind is parameter.POSITIONAL_ONLY
        position = None if parameter.kind is parameter.KEYWORD_ONLY else place
        parameters.append(
            Parameter(parameter.name, wanted, has_default, by_position, position)
        )
    return tuple(parameters), hints.get("return")


def _read(make: Make) -> tuple[list[inspect.Parameter], dict[str, Any], dict[Any, Any]]:
    """Return parameters, annotations, and what type variables in these stand for."""
    if isinstance(make, functools.partial):
        parameters, hints, arguments = _read(make.func)
        return _left_by(make, parameters), hints, arguments
    cls = get_origin(make) or make  # of Store[User], the signature is Store's
    if not isinstance(cls, type):
        function = function_of(make)
        # Of a class method its class, of an object its own.
        bound = getattr(make, "__self__", None) if inspect.isroutine(make) else make
        owner = bound if isinstance(bound, type) else type(bound)
        parameters = [*inspect.signature(make).parameters.values()]
        return parameters, _hints(function, owner), {}
    for function, owner in _constructors(cls):
        parameters = [*inspect.signature(function).parameters.values()]
        kinds = {parameter.kind for parameter in parameters[1:]}
        if kinds != {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            return parameters[1:], _hints(function, owner), type_arguments(make, owner)
    return [*inspect.signature(cls).parameters.values()], {}, {}


def _constructors(cls: type) -> Iterator[tuple[Callable[..., Any], type]]:
    """Yield what may say what *cls* takes; what passes all on asks the next.

    A metaclass is called first, then ``__new__`` or ``__init__``, its own or inherited.
    """
    if hasattr(cls, "__signature__"):
        return
    places = [(owner, "__call__") for owner in inspect.getmro(type(cls))]
    places += [(owner, name) for owner in cls.__mro__ for name in _MAKING]
    for owner, method in places:
        written = vars(owner).get(method)
        function = getattr(written, "__func__", written)  # __new__ is static
        if inspect.isfunction(function):
            yield function, owner


def _left_by(
    bound: functools.partial[Any], parameters: list[inspect.Parameter]
) -> list[inspect.Parameter]:
    """Return what is left to pass: what was given by name ends the positions."""
    given = inspect.Signature(parameters).bind_partial(*bound.args, **bound.keywords)
    left = [each for each in parameters if each.name not in given.arguments]
    if not bound.keywords:
        return left
    named = inspect.Parameter.KEYWORD_ONLY
    movable = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [each.replace(kind=named) if each.kind is movable else each for each in left]


def _hints(function: Callable[..., Any], owner: type) -> dict[str, Any]:
    """Return the annotations of *function*, a method of *owner* where it is one.

    Those that are texts may name type parameters (PEP 695) and classes inside of the
    class; those of generated methods, what the modules of its bases name.
    """
    inside = {n: v for n, v in vars(owner).items() if isinstance(v, type)}
    names: dict[str, Any] = {**inside, owner.__name__: owner}
    for generic in (owner, function):
        names |= {p.__name__: p for p in getattr(generic, "__type_params__", ())}
    try:
        return get_type_hints(function, localns=names, include_extras=True)
    except NameError:
        for base in owner.__mro__:
            names = vars(sys.modules[base.__module__]) | names
        return get_type_hints(function, localns=names, include_extras=True)
