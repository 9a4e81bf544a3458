"""ServiceFactory: what an application is put together from, in one place."""

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self, overload

from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.factory.graph import draw
from layerkit.factory.handler import Call, ScopedHandler, run_handler
from layerkit.factory.health import HealthReport, Pulse
from layerkit.factory.keys import Key, describe
from layerkit.factory.override import Override
from layerkit.factory.parameters import Make
from layerkit.factory.provider import Lifetime, Registration
from layerkit.factory.scope import Scope, Store, find
from layerkit.factory.wiring import Need, Wiring

T = TypeVar("T")
R = TypeVar("R")


class ServiceFactory:
    """Put services together by the types of their parameters.

    Register first, then open: ``async with factory:`` checks the whole wiring, makes
    the singletons and closes them in reverse at the end. ``factory.scope()`` gives one
    request, message or job objects of its own. A factory may be opened again after it
    was closed. It can be asked for itself, to open scopes.

    Args:
        start_timeout_seconds: How long all singletons together may take to be made;
            None waits for ever.
    """

    def __init__(self, *, start_timeout_seconds: float | None = None) -> None:
        self._start_timeout_seconds = start_timeout_seconds
        self._pulse = Pulse()
        self._registrations: list[Registration] = []
        self._calls: list[Call] = []
        self._replaced: list[Mapping[Key, object]] = []
        self._stores: list[Store] = []
        self._is_opening = False
        self.value(self, key=ServiceFactory)

    # Registering

    def singleton(self, make: Make, *, key: Key = None) -> Self:
        """Share one object, made when the factory opens and closed when it closes.

        Args:
            make: A class, a function, a coroutine function, or a generator function
                that yields the object once and cleans up after it.
            key: The type to find it by; left out, the class or the return annotation.

        Raises:
            UsageError: The factory is open, or *make* can't be called.
        """
        return self._add(Registration(Lifetime.SINGLETON, _callable(make), key))

    def scoped(self, make: Make, *, key: Key = None) -> Self:
        """Make one object a scope, on first use; arguments as of ``singleton``.

        Raises:
            UsageError: The factory is open, or *make* can't be called.
        """
        return self._add(Registration(Lifetime.SCOPED, _callable(make), key))

    def transient(self, make: Make, *, key: Key = None) -> Self:
        """Make a new object for each who asks; arguments as of ``singleton``.

        What a generator opened is closed with the scope, or the singleton, it is for.

        Raises:
            UsageError: The factory is open, or *make* can't be called.
        """
        return self._add(Registration(Lifetime.TRANSIENT, _callable(make), key))

    def value(self, obj: object, *, key: Key = None) -> Self:
        """Share *obj*, which stays the caller's to close; keyed by its class or *key*.

        Raises:
            UsageError: The factory is open.
        """
        return self._add(Registration(Lifetime.VALUE, key=key, value=obj))

    def given(self, key: Key) -> Self:
        """Announce that each scope brings an object of *key* along, as ``values``.

        Raises:
            UsageError: The factory is open.
        """
        return self._add(Registration(Lifetime.GIVEN, key=key))

    def _add(self, registration: Registration) -> Self:
        if self._stores or self._is_opening:
            raise UsageError(
                "the factory is open: register everything before `async with factory`, "
                "or use factory.override({...}) in a test"
            )
        self._registrations.append(registration)
        return self

    # Opening and closing

    def check(self, needs: Iterable[Need] = ()) -> None:
        """Check the whole wiring, and what is asked for from outside.

        Raises:
            WiringError: One error that lists all that is missing, cyclic, captive,
                registered twice or can't be read.
        """
        self._wire(needs)

    async def __aenter__(self) -> Self:
        """Check the wiring and make the singletons.

        Where one of them fails, or the start is cancelled, those that were made are
        closed again, and a note of the error names the one that was being made.

        Raises:
            WiringError: As of ``check``; nothing was made.
            UsageError: The factory is open already.
            TimeoutExceededError: The start took too long; those that were made are
                closed again.
        """
        if self._stores or self._is_opening:
            raise UsageError("the factory is open already: open it in one place")
        wiring = self._wire()
        values = [p for p in wiring.order if p.lifetime is Lifetime.VALUE]
        store = Store(wiring, {provider.key: provider.value for provider in values})
        self._is_opening = True
        try:
            await store.start(self._start_timeout_seconds)
        except BaseException as error:
            await store.close(error)
            raise
        finally:
            self._is_opening = False
        self._stores.append(store)
        return self

    async def __aexit__(self, _: object, exc: BaseException | None, __: object) -> None:
        """Close the singletons in reverse; every clean-up runs."""
        # Those of overrides are closed by their blocks; all refuse from now on.
        stores = self._stores.copy()
        self._stores.clear()
        for store in stores:
            store.is_closed = True
        await stores[0].close(exc)

    def _wire(self, needs: Iterable[Need] = ()) -> Wiring:
        replaced = {k: v for layer in self._replaced for k, v in layer.items()}
        asked = [need for call in self._calls for need in call.needs]
        return Wiring(self._registrations, replaced, (*asked, *needs))

    @property
    def is_open(self) -> bool:
        """True while the singletons are there to be had."""
        return bool(self._stores)

    @property
    def cleans_up(self) -> bool:
        """True while open, where a scope may have to close something at its end."""
        return bool(self._stores) and self._stores[-1].wiring.cleans_up

    def _current(self) -> Store:
        if not self._stores:
            raise UsageError(
                "the factory is not open: use it inside `async with factory:`; with "
                "layerkit.fastapi, run the application's lifespan"
            )
        return self._stores[-1]

    # Using

    def scope(
        self, values: Mapping[Any, object] | None = None, *, in_threads: bool = False
    ) -> Scope:
        """Return a scope, to be used as ``async with factory.scope() as scope:``.

        Args:
            values: Objects of this scope alone by key, such as the caller's identity;
                they come before what is registered.
            in_threads: True enters and leaves plain generators in threads, for those
                that wait, such as for a database; False does it in the event loop.
        """
        return Scope(self._current, values, in_threads=in_threads)

    @overload
    async def get(self, key: type[T]) -> T: ...

    # A Protocol or an ABC is no `type[T]` to a type checker, but it is callable.
    @overload
    async def get(self, key: Callable[..., T]) -> T: ...

    async def get(self, key: Any) -> Any:
        """Return a shared object: a value or a singleton.

        Raises:
            UsageError: The factory is not open, or the key needs a scope.
            WiringError: Nothing provides the key, or more than one thing does.
        """
        store = self._current()
        provider = find(store.wiring, key)
        if not provider.lifetime.is_shared:
            raise UsageError(
                f"{describe(key)} is {provider.lifetime.value}: ask for it inside "
                "`async with factory.scope() as scope:`"
            )
        return store.objects[provider.key]

    async def health(self, *, timeout_seconds: float = 5.0) -> HealthReport:
        """Ping what is shared, all at once: values and singletons with a ``ping()``.

        It raises nothing: what a ping raises becomes the code of its check, and goes to
        the log. A factory that is not open is not ok, and pings nothing.

        Args:
            timeout_seconds: How long a ping may take; who takes longer is not ok.
        """
        if not self._stores:
            return HealthReport(ok=False)
        return await self._pulse.take(self._current().shared(), timeout_seconds)

    def graph(self) -> str:
        """Return the wiring as a Mermaid flowchart, in the order of registration.

        Who needs something points at it. Shape and colour tell values, singletons,
        scoped and transient objects, those given to each scope, and handlers apart.

        Raises:
            WiringError: As of ``check``.
        """
        wiring = self._wire()
        handlers = [(call.name, call.providers(wiring)) for call in self._calls]
        return draw(wiring, handlers, itself=ServiceFactory)

    @overload
    def handler(self, function: Callable[..., Awaitable[R]]) -> ScopedHandler[R]: ...

    @overload
    def handler(self, function: Callable[..., R]) -> ScopedHandler[R]: ...

    def handler(self, function: Callable[..., object]) -> ScopedHandler[object]:
        """Return *function* as a coroutine function with a scope of its own per call.

        What the caller passes goes to the first parameters; the rest are injected. So
        it serves as an event handler, a worker or a command. An error closes the scope
        and goes on to the caller. A plain function runs in a thread, and so do the
        plain generators of its scope.

        Args:
            function: Its first parameter may be the caller's, such as the event; all
                others without a default must be provided, which is checked at start.

        Raises:
            UsageError: An annotation can't be read.
            WiringError: The factory is open, and a parameter has no provider.
        """
        call = Call(function)
        if self._stores:
            self.check(call.needs)
        self._calls.append(call)

        async def handle(*args: Any, **kwargs: Any) -> object:
            async with self.scope(in_threads=not call.is_async) as scope:
                return await run_handler(call, scope, args, kwargs)

        # Without __wrapped__: whoever reads the signature must see (*args, **kwargs).
        functools.update_wrapper(handle, function, updated=())
        del handle.__wrapped__  # type: ignore[attr-defined] # set by update_wrapper
        return handle

    def override(self, replacements: Mapping[Any, object]) -> Override:
        """Put objects in the place of what is registered, for the length of a block.

        Singletons that need a replaced one are made again for the block, and restored
        after it. Blocks nest, the inner one wins. Scopes opened before the block keep
        what they have. ``with`` is enough where nothing that is made again awaits, or
        the factory is not open yet; else ``async with``.

        Args:
            replacements: Objects by the keys they stand in for.
        """
        return Override(self._replaced, self._stores, self._wire, replacements)


def _callable(make: Make) -> Make:
    if not callable(make):
        raise UsageError(
            f"{make!r} can't be called: register a class or a function, "
            "or an object that exists by factory.value(...)"
        )
    return make
