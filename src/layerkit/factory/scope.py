"""Scope: the objects of one request, message or job, and how they are made."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Self, TypeAlias, overload

from typing_extensions import TypeVar

from layerkit.core.errors import TimeoutExceededError, UsageError, WiringError
from layerkit.factory.keys import Key, describe
from layerkit.factory.provider import Provider
from layerkit.factory.threads import InThread
from layerkit.factory.wiring import Unresolved, Wiring

T = TypeVar("T")

Exit: TypeAlias = Callable[..., object]
"""``__exit__`` or ``__aexit__`` of what was opened."""

_ABSENT: Final = object()
_CLOSED: Final = (
    "{} was asked for outside an open scope: call get() inside "
    "`async with factory.scope() as scope:`, while its factory is open"
)


class Store:
    """Keep the objects that were made, one a key, and close them in reverse.

    Args:
        wiring: Who needs what.
        objects: What is there already; the store takes it over.
        in_threads: True where plain generators run in threads, since they may block.

    Attributes:
        exits: How to close what was opened, the last one first to go.
    """

    __slots__ = ("_making", "exits", "in_threads", "is_closed", "objects", "wiring")

    def __init__(
        self, wiring: Wiring, objects: dict[Key, Any], *, in_threads: bool = False
    ) -> None:
        self.wiring = wiring
        self.objects = objects
        self.in_threads = in_threads
        self.is_closed = False
        self._making: dict[Key, asyncio.Event | None] = {}
        self.exits: list[Exit] = []

    def shared(self) -> dict[Key, Any]:
        """Return the objects in the order in which their keys were registered."""
        objects = self.objects
        return {key: objects[key] for key in self.wiring.providers if key in objects}

    async def start(self, timeout_seconds: float | None) -> None:
        """Make all singletons.

        Raises:
            TimeoutExceededError: They were not all made in time.
            TimeoutError: One of them raised it.
        """
        name = ""
        limit = asyncio.timeout(timeout_seconds)
        try:
            async with limit:
                for provider in self.wiring.singletons:
                    name = provider.name
                    await self.make(provider)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutExceededError(
                f"the factory was to open in {timeout_seconds} s, and {name} was still "
                "being made: see why it hangs, or allow more by start_timeout_seconds="
            ) from error

    def make_now(self, provider: Provider) -> Any:
        """Make the object of an immediate *provider*, without a single await."""
        objects = self.objects
        arguments = []
        try:
            for needed in provider.needed:
                value = objects.get(needed.key, _ABSENT)
                arguments.append(self.make_now(needed) if value is _ABSENT else value)
            made = provider.call(*arguments)
            if provider.kind == "context":
                manager, made = made, made.__enter__()
                self.exits.append(manager.__exit__)
        except BaseException as error:
            _note(error, provider)
            raise
        if provider.is_kept:
            objects[provider.key] = made
        return made

    async def make(self, provider: Provider) -> Any:
        """Return the object of *provider*; who asks meanwhile waits for the same one.

        A caller that fails or is cancelled while it makes the object leaves the making
        to the next one that waits.
        """
        if provider.immediate and not (self.in_threads and provider.enters):
            return self.make_now(provider)
        if not provider.is_kept:
            return await self._make(provider)
        key, making = provider.key, self._making
        # Waiting goes along the needs, which have no circle: no deadlock.
        while key in making:
            done = making[key] = making[key] or asyncio.Event()
            await done.wait()
        made = self.objects.get(key, _ABSENT)
        if made is not _ABSENT:
            return made
        making[key] = None
        try:
            made = self.objects[key] = await self._make(provider)
        finally:
            waited_for = making.pop(key)
            if waited_for is not None:
                waited_for.set()
        return made

    async def _make(self, provider: Provider) -> Any:
        arguments = []
        try:
            for needed in provider.needed:
                value = self.objects.get(needed.key, _ABSENT)
                arguments.append(await self.make(needed) if value is _ABSENT else value)
            made, is_async = provider.call(*arguments), provider.kind == "async context"
            if provider.kind == "context" and self.in_threads:
                made, is_async = InThread(made), True
            if is_async:
                manager, made = made, await made.__aenter__()
                if self.is_closed:  # meanwhile, by another task
                    await _close_and_refuse(manager, provider)
                self.exits.append(manager.__aexit__)
            elif provider.kind == "context":
                manager, made = made, made.__enter__()
                self.exits.append(manager.__exit__)
            elif provider.kind == "coroutine":
                made = await made
        except BaseException as error:
            _note(error, provider)
            raise
        return made

    async def close(self, error: BaseException | None = None) -> None:
        """Close what was opened, in reverse; every clean-up runs.

        *error*, which ends the block, is raised into each generator, also where one of
        them catches it: what a provider makes of an error is its own affair. An error
        in a clean-up is raised once all have run, chained to the one before it; a
        cancellation meanwhile too.
        """
        self.is_closed = True
        last = error
        while self.exits:
            leave = self.exits.pop()
            try:
                left = leave(*_raised(last))
                if inspect.isawaitable(left):
                    await left
            except BaseException as failure:  # noqa: BLE001 - raised below
                last = _chained(failure, last)
        if last is not None and last is not error:
            context = last.__context__
            try:
                raise last
            finally:
                last.__context__ = context  # which `raise` has set to *error*


async def _close_and_refuse(manager: Any, provider: Provider) -> NoReturn:
    await manager.__aexit__(None, None, None)
    raise UsageError(_CLOSED.format(provider.name))


def _note(error: BaseException, provider: Provider) -> None:
    """Say in the traceback what was being made; who needs it adds its own line."""
    error.add_note(f"while {provider.name} was made by {describe(provider.make)}")


def _raised(error: BaseException | None) -> tuple[object, object, object]:
    """Return *error* as ``__exit__`` takes it."""
    return (None,) * 3 if error is None else (type(error), error, error.__traceback__)


def _chained(failure: BaseException, last: BaseException | None) -> BaseException:
    """Return *failure* with *last* in its chain of contexts."""
    link = failure
    while link is not last:
        if link.__context__ is None:
            link.__context__ = last
            break
        link = link.__context__
    return failure


class Scope:
    """Give the objects of one request, message or job; ``factory.scope()`` makes it.

    One object a key: who asks twice, or from two tasks at once, gets the same. What a
    generator opened is closed when the block ends, the last first, and an error that
    leaves the block is raised at its ``yield``.

    A scope is entered once, and gives nothing before its block or after it. Tasks may
    share one; those that must not share a unit of work open one each.
    """

    __slots__ = ("_current", "_in_threads", "_shared", "_store", "_values")

    def __init__(
        self,
        current: Callable[[], Store],
        values: Mapping[Key, object] | None,
        *,
        in_threads: bool,
    ) -> None:
        # `current` returns the store of what is shared, and raises where none is open.
        self._current = current
        self._values = values
        self._in_threads = in_threads
        self._shared: Store | None = None
        self._store: Store | None = None

    async def __aenter__(self) -> Self:
        """Open the scope.

        Raises:
            UsageError: The factory is not open, or the scope was entered before.
        """
        if self._store is not None:
            raise UsageError("a scope is entered once: call factory.scope() again")
        self._shared = shared = self._current()
        objects = shared.objects.copy()
        if self._values:
            objects.update(self._values)
        self._store = Store(shared.wiring, objects, in_threads=self._in_threads)
        return self

    async def __aexit__(
        self, _: object, error: BaseException | None, __: object
    ) -> None:
        """Close what was opened in the scope."""
        store = self._store
        if store is not None:
            store.is_closed = True
            if store.exits:
                await store.close(error)

    @overload
    async def get(self, key: type[T]) -> T: ...

    # A Protocol or an ABC is no `type[T]` to a type checker, but it is callable.
    @overload
    async def get(self, key: Callable[..., T]) -> T: ...

    async def get(self, key: Any) -> Any:
        """Return the object of *key*, made with all it needs on first use.

        Raises:
            UsageError: The scope is closed or not entered, its factory is closed, or
                the key is given to each scope and this one got none.
            WiringError: Nothing provides the key, or more than one thing does.
        """
        store, shared = self._store, self._shared
        if store is None or shared is None or store.is_closed or shared.is_closed:
            raise UsageError(_CLOSED.format(describe(key)))
        made = store.objects.get(key, _ABSENT)
        if made is not _ABSENT:
            return made
        provider = store.wiring.providers.get(key)
        if provider is None:
            provider = find(store.wiring, key)
            made = store.objects.get(provider.key, _ABSENT)
            if made is not _ABSENT:
                return made
        if provider.immediate and not provider.enters:
            return store.make_now(provider)
        return await store.make(provider)


def find(wiring: Wiring, key: Key) -> Provider:
    """Return the provider of *key*.

    Raises:
        WiringError: There is none, or more than one.
    """
    try:
        return wiring.find(key)
    except Unresolved as reason:
        text = f"{describe(key)} was asked for: {reason}"
        raise WiringError(text, problems=(text,)) from None
