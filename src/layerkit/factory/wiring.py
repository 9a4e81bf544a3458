"""Wiring: which provider fills which parameter, checked as a whole."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from layerkit.core.errors import WiringError
from layerkit.core.ports import PORTS
from layerkit.factory.keys import (
    Key,
    alternatives,
    class_of,
    describe,
    implements,
    is_hashable,
    is_of_request,
    is_per_request,
    is_union,
    unfit,
)
from layerkit.factory.provider import Lifetime, Provider, Registration, provider_of


@dataclass(frozen=True, slots=True)
class Need:
    """What someone outside the factory asks it for, to be checked with the rest.

    Attributes:
        by: Who asks, for the message, such as ``POST /users``.
        key: What is asked for.
        parameter: The name of the parameter that takes it.
        shared_only: True where only values and singletons will do.
    """

    by: str
    key: Key
    parameter: str = ""
    shared_only: bool = False


class Unresolved(Exception):  # noqa: N818 - never leaves this package
    """Say why no provider can be chosen."""


class Ambiguous(Unresolved):
    """Say which providers all fit."""


class Wiring:
    """Hold the providers by key, each with the providers of what it needs.

    Args:
        registrations: What the user registered, in order.
        replaced: Objects that stand in for what is registered under their keys.
        needs: What is asked for from outside.

    Attributes:
        cleans_up: True where a scope may open what it has to close.

    Raises:
        WiringError: Something is missing, cyclic, captive, registered twice or can't be
            read; the text lists all of it.
    """

    def __init__(
        self,
        registrations: Iterable[Registration],
        replaced: Mapping[Key, object],
        needs: Iterable[Need] = (),
    ) -> None:
        self.providers: dict[Key, Provider] = {}
        self._problems: list[str] = []
        self._read(registrations, replaced)
        for provider in self.providers.values():
            self._connect(provider)
        self.order: list[Provider] = []
        for provider in self.providers.values():
            self._put_in_order(provider, ())
        self.cleans_up = any(p.opens and not p.lifetime.is_shared for p in self.order)
        for provider in self.order:
            self._finish(provider)
        for need in needs:
            self._check(need)
        if self._problems:
            raise wiring_error(self._problems)

    @property
    def singletons(self) -> list[Provider]:
        """The providers of singletons, each after those that it needs."""
        return [p for p in self.order if p.lifetime is Lifetime.SINGLETON]

    def _check(self, need: Need) -> None:
        provider = self._found(need.by, need.key, need.parameter)
        if provider and need.shared_only and not provider.lifetime.is_shared:
            self._problems.append(
                f"{need.by} needs {provider.name}, which is {provider.lifetime.value}: "
                "only values and singletons can be had there; inject ServiceFactory "
                "and open a `factory.scope()`"
            )

    def _found(
        self, by: str, key: Key, parameter: str, *, has_default: bool = False
    ) -> Provider | None:
        """Return what *by* gets; None where nothing fits, which is a problem.

        A default is for what nobody provides: where several fit, it would hide which
        one the caller expects.
        """
        try:
            return self.find(key)
        except Unresolved as reason:
            if isinstance(reason, Ambiguous) or not has_default:
                where = f" (parameter {parameter})" if parameter else ""
                self._problems.append(f"{by} needs {describe(key)}{where}: {reason}")
            return None

    def find(self, wanted: object) -> Provider:
        """Return the one provider for *wanted*, a key or an annotation.

        Raises:
            Unresolved: Nothing provides it; the text says what to do.
            Ambiguous: There is more than one.
        """
        if is_hashable(wanted) and wanted in self.providers:
            return self.providers[wanted]
        options = tuple(filter(is_hashable, alternatives(wanted)))
        hits = [self.providers[o] for o in options if o in self.providers]
        port = next((port for port in PORTS if port in options), None)
        if not hits and port is not None:
            fits = PORTS[port].fits
            known = ((class_of(key), p) for key, p in self.providers.items())
            hits = [p for cls, p in known if cls is not None and fits(cls)]
            if not hits:
                raise Unresolved(PORTS[port].missing)
        if not hits:
            # An inherited constructor asks for ``BaseRepository[User, int]``; the one
            # repository that is registered for users fits it.
            hits = [
                self.providers[key]
                for option in options
                if hasattr(option, "__args__")
                for key in self._implementing(option)
            ]
        if len(hits) == 1:
            return hits[0]
        if not hits:
            raise Unresolved(self._advice(options))
        names = ", ".join(p.name for p in hits)
        if is_union(wanted) and port is None:
            raise Ambiguous(f"{names} all fit; annotate the one to take")
        key = describe(wanted if port is None else port)
        raise Ambiguous(f"{names} all fit; register the one to take with key={key}")

    def _implementing(self, option: object) -> Iterator[Key]:
        return (key for key in self.providers if implements(key, option))

    def _advice(self, options: tuple[object, ...]) -> str:
        for option in options:
            for key in self._implementing(option):
                return (
                    f"nothing provides it; {describe(key)} is one: register it "
                    f"with key={describe(option)}"
                )
        for option in filter(is_of_request, options):
            return f"it comes with each request; add factory.given({describe(option)})"
        add = "scoped" if any(map(is_per_request, options)) else "singleton"
        return f"nothing provides it; add factory.{add}(...)"

    def _read(
        self, registrations: Iterable[Registration], replaced: Mapping[Key, object]
    ) -> None:
        for registration in registrations:
            provider = provider_of(registration)
            self._problems += provider.problems
            if unfit(provider.key):
                continue
            if provider.key in self.providers:
                self._problems.append(
                    f"{provider.name} is registered twice: keep one, or give the other "
                    "a key= of its own"
                )
            else:
                self.providers[provider.key] = provider
        for key, value in replaced.items():
            if key in self.providers:
                stand_in = Registration(Lifetime.VALUE, key=key, value=value)
                self.providers[key] = provider_of(stand_in)
            else:
                self._problems.append(
                    f"{describe(key)} is overridden, and nothing provides it: "
                    "override what is registered"
                )

    def _connect(self, provider: Provider) -> None:
        chosen = []
        for parameter in provider.parameters:
            by, wanted, name = provider.name, parameter.annotation, parameter.name
            found = self._found(by, wanted, name, has_default=parameter.has_default)
            if found is not None:
                chosen.append((parameter, found))
        provider.connect(chosen)

    def _put_in_order(self, provider: Provider, path: tuple[Provider, ...]) -> None:
        """Put *provider* into ``order`` after what it needs; cycles are noted and cut.

        Args:
            provider: Which.
            path: Who needs it, from the one that was asked for.
        """
        if provider in path:
            circle = (*path[path.index(provider) :], provider)
            self._problems.append(
                f"{' needs '.join(p.name for p in circle)}: a circle; let one of "
                "them take what it needs when it is called"
            )
        elif provider not in self.order:
            for needed in provider.needed:
                self._put_in_order(needed, (*path, provider))
            self.order.append(provider)

    def _finish(self, provider: Provider) -> None:
        provider.immediate = provider.kind in {"plain", "context"} and all(
            p.immediate or p.lifetime.is_shared for p in provider.needed
        )
        provider.enters = provider.kind == "context" or any(
            p.enters and not p.lifetime.is_shared for p in provider.needed
        )
        if provider.lifetime is Lifetime.SINGLETON:
            for chain in _captives((provider,)):
                names = " needs ".join(f"{p.name} ({p.lifetime.value})" for p in chain)
                self._problems.append(
                    f"{names}: a singleton would keep one scope's object for ever; "
                    f"make {provider.name} scoped, or let it open a scope when it is "
                    "called"
                )


def wiring_error(problems: Iterable[str]) -> WiringError:
    """Return one error that lists all *problems*."""
    lines = tuple(dict.fromkeys(problems))
    if len(lines) == 1:
        return WiringError(lines[0], problems=lines)
    listed = "".join(f"\n  - {line}" for line in lines)
    return WiringError(f"the wiring has {len(lines)} problems:{listed}", problems=lines)


def dependents(wiring: Wiring, keys: Iterable[Key]) -> list[Provider]:
    """Return the singletons that need one of *keys*, in the order of making."""
    touched = {wiring.providers[key] for key in keys}
    found = []
    for provider in wiring.order:
        if any(needed in touched for needed in provider.needed):
            touched.add(provider)
            if provider.lifetime is Lifetime.SINGLETON:
                found.append(provider)
    return found


def _captives(path: tuple[Provider, ...]) -> Iterator[tuple[Provider, ...]]:
    """Yield the ways on from *path*, which begins with a singleton, into a scope."""
    for needed in path[-1].needed:
        if needed.lifetime in {Lifetime.SCOPED, Lifetime.GIVEN}:
            yield (*path, needed)
        elif needed.lifetime is Lifetime.TRANSIENT and needed not in path:
            yield from _captives((*path, needed))
