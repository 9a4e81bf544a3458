"""Providers: how one kind of object is made, and what making it needs."""

import inspect
from collections.abc import AsyncIterable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Self, TypeAlias, get_args, get_origin

from layerkit.core.errors import UsageError
from layerkit.factory.keys import Key, class_of, describe, unfit
from layerkit.factory.parameters import Make, Parameter, function_of, read_parameters


class Lifetime(Enum):
    """How long what a provider makes is kept."""

    VALUE = "value"
    SINGLETON = "singleton"
    GIVEN = "given to each scope"
    SCOPED = "scoped"
    TRANSIENT = "transient"

    @property
    def is_shared(self) -> bool:
        """True where there is one object for all scopes."""
        return self in {Lifetime.VALUE, Lifetime.SINGLETON}


Kind: TypeAlias = Literal["plain", "coroutine", "context", "async context"]
"""What ``make`` returns: the object, an awaitable of it, a manager around it."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a user handed to the factory, as it was handed over."""

    lifetime: Lifetime
    make: Make | None = None
    key: Key = None
    value: object = None


@dataclass(slots=True, eq=False)
class Provider:
    """Make the object of one key.

    Attributes:
        make: Returns the object, or what *kind* says.
        parameters: What ``make`` takes.
        needed: The providers chosen for the parameters, once wired.
        call: ``make`` for these: it takes them by position, which is the fastest way.
        immediate: True where making it, with all it needs, awaits nothing.
        enters: True where making it, with all it needs, enters a plain generator.
        is_kept: True where who asks again gets the same object.
    """

    key: Key
    lifetime: Lifetime
    make: Callable[..., Any]
    kind: Kind = "plain"
    parameters: tuple[Parameter, ...] = ()
    value: object = None
    needed: tuple["Provider", ...] = ()
    call: Callable[..., Any] = field(init=False)
    immediate: bool = True
    enters: bool = False
    is_kept: bool = field(init=False)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Read for each object that is made: members of an Enum are slow to look up.
        self.is_kept = self.lifetime is not Lifetime.TRANSIENT
        self.call = self.make

    def connect(self, chosen: Sequence[tuple[Parameter, "Provider"]]) -> None:
        """Take *chosen* as what fills the parameters; the rest keep their defaults."""
        self.needed = tuple(needed for _, needed in chosen)
        if [p.position for p, _ in chosen] != list(range(len(chosen))):
            self.call = _by_name(self.make, [p.name for p, _ in chosen])

    @property
    def opens(self) -> bool:
        """True where what was made has to be closed."""
        return self.kind in {"context", "async context"}

    @property
    def name(self) -> str:
        """The key as a person would write it."""
        return describe(self.key)


def _by_name(make: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    def call(*arguments: object) -> Any:
        return make(**dict(zip(names, arguments, strict=True)))

    return call


def provider_of(registration: Registration) -> Provider:
    """Return the provider that *registration* describes; problems are noted in it."""
    key, make = registration.key, registration.make
    if make is None:
        if key is None:
            key = type(registration.value)
        lifetime, value = registration.lifetime, registration.value
        provider = Provider(key, lifetime, _absent(key), value=value)
    else:
        provider = _read_make(make, key, registration.lifetime)
    reason = unfit(provider.key)
    if reason is not None and not provider.problems:
        provider.problems.append(reason)
    return provider


def _absent(key: Key) -> Callable[[], Any]:
    """Return what is called for a key whose object the scope should have brought."""

    def opened_without_it() -> Any:
        raise UsageError(
            f"{describe(key)} is given to each scope, and this one was opened without: "
            f"factory.scope({{{describe(key)}: ...}})"
        )

    return opened_without_it


def _read_make(make: Make, key: Key, lifetime: Lifetime) -> Provider:
    kind, call = _kind_of(make)
    provider = Provider(key if key is not None else make, lifetime, call, kind)
    try:
        parameters, returned = read_parameters(make)
    except UsageError as error:
        provider.problems.append(error.message)
        return provider
    provider.parameters = tuple(p for p in parameters if not p.positional_only)
    provider.problems += [
        f"parameter {p.name} of {describe(make)} is positional only, and the factory "
        "passes by name: wrap it in a function"
        for p in parameters
        if p.positional_only and not p.has_default
    ]
    cls = get_origin(make) or make
    if isinstance(cls, type):
        left_out: Collection[str] = getattr(cls, "_not_injected", tuple)()
        provider.parameters = tuple(
            p for p in provider.parameters if p.name not in left_out
        )
        provider.problems += _unfit_class(cls, key)
    elif key is None:
        if returned is None:
            provider.problems.append(
                f"{describe(make)} does not say what it returns: annotate it, "
                "or give key="
            )
        provider.key = _yielded(returned) if provider.opens else returned
        if provider.key is Self:  # of a class method
            provider.key = getattr(make, "__self__", Self)
    return provider


def _unfit_class(cls: type, key: Key) -> list[str]:
    name = describe(cls)
    if inspect.isabstract(cls) or getattr(cls, "_is_protocol", False):
        return [f"{name} is abstract: register an implementation with key={name}"]
    base = class_of(key)
    is_protocol = getattr(base, "_is_protocol", False)
    if base is not None and not is_protocol and not issubclass(cls, base):
        return [f"{name} is registered as {describe(key)}, and is no subclass of it"]
    return []


def _yielded(returned: object) -> Key:
    """Return what a generator yields, by its annotation."""
    origin = get_origin(returned)
    if isinstance(origin, type) and issubclass(origin, Iterable | AsyncIterable):
        return get_args(returned)[0]
    return returned


def _kind_of(make: Make) -> tuple[Kind, Callable[..., Any]]:
    """Return how *make* is called, and what to call."""
    function = function_of(make)
    yielding: Any = make  # mypy does not learn it from what inspect tells of function
    if inspect.isasyncgenfunction(function):
        return "async context", asynccontextmanager(yielding)
    if inspect.isgeneratorfunction(function):
        return "context", contextmanager(yielding)
    if inspect.iscoroutinefunction(function):
        return "coroutine", make
    # What @asynccontextmanager and @contextmanager leave behind.
    wrapped = inspect.unwrap(function)
    if inspect.isasyncgenfunction(wrapped):
        return "async context", make
    if inspect.isgeneratorfunction(wrapped):
        return "context", make
    return "plain", make
