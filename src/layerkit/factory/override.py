"""Override: other objects in the place of registered ones, for one block."""

from collections.abc import Callable, Mapping
from typing import Self

from layerkit.core.errors import UsageError
from layerkit.factory.keys import Key
from layerkit.factory.provider import Provider
from layerkit.factory.scope import Store
from layerkit.factory.wiring import Wiring, dependents


class Override:
    """Replace objects for the length of a block; ``factory.override({...})`` makes it.

    ``async with`` makes again whatever needs what is replaced, and closes it after the
    block. ``with`` refuses where that would await; before the factory is open, nothing
    has to be made again and it always works.

    Raises:
        WiringError: A key is not registered, or the wiring no longer holds.
        UsageError: ``with`` would have to await; or the factory was opened inside the
            block and is still open when it ends.
    """

    def __init__(
        self,
        replaced: list[Mapping[Key, object]],
        stores: list[Store],
        wire: Callable[[], Wiring],
        replacements: Mapping[Key, object],
    ) -> None:
        # Both lists are the factory's own. Replacements: the outermost first. Stores:
        # the last one is in use, and a closed factory has none.
        self._replaced = replaced
        self._stores = stores
        self._wire = wire
        self._replacements = dict(replacements)
        self._store: Store | None = None  # made where the factory is open

    def __enter__(self) -> Self:
        """Replace, making singletons again without awaiting.

        Raises:
            WiringError: A key is not registered.
            UsageError: A singleton that must be made again awaits, or cleans up.
        """
        store, remade = self._begin()
        try:
            _check_plain(remade)
            for provider in remade:
                store.make_now(provider)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Restore what was there."""
        self._end()

    async def __aenter__(self) -> Self:
        """Replace, making singletons again.

        Raises:
            WiringError: A key is not registered.
        """
        store, remade = self._begin()
        try:
            for provider in remade:
                await store.make(provider)
        except BaseException as error:
            self._end()
            await store.close(error)
            raise
        return self

    async def __aexit__(self, _: object, exc: BaseException | None, __: object) -> None:
        """Restore what was there, and close what was made for the block."""
        store = self._end()
        if store is not None:
            await store.close(exc)

    def _begin(self) -> tuple[Store, list[Provider]]:
        """Put the replacements in force; return the store and what to make again."""
        self._replaced.append(self._replacements)
        try:
            wiring = self._wire()
        except BaseException:
            self._replaced.pop()
            raise
        if not self._stores:
            return Store(wiring, {}), []  # the factory makes everything when it opens
        remade = dependents(wiring, self._replacements)
        remade_keys = {provider.key for provider in remade}
        shared = self._stores[-1].objects
        kept = {key: made for key, made in shared.items() if key not in remade_keys}
        self._store = Store(wiring, {**kept, **self._replacements})
        self._stores.append(self._store)
        return self._store, remade

    def _end(self) -> Store | None:
        """Take the replacements out of force; return the store made for them.

        Raises:
            UsageError: The factory was opened inside the block and is still open.
        """
        self._replaced[:] = [r for r in self._replaced if r is not self._replacements]
        if self._store in self._stores:
            self._stores.remove(self._store)
        if self._store is not None:
            self._store.is_closed = True
        elif self._stores:
            raise UsageError(
                "the factory was opened inside the override and is still open: "
                "close it before the override's block ends"
            )
        return self._store


def _check_plain(remade: list[Provider]) -> None:
    slow = [p.name for p in remade if p.kind != "plain" or not p.immediate]
    if slow:
        raise UsageError(
            f"{', '.join(slow)} must be made again, which takes an event loop: "
            "use `async with factory.override(...)`"
        )
