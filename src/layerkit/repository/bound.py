"""A repository bound to a home: the unit that a verb works in, and what it sees."""

import copy
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Generic, Self, get_args, get_origin

from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError
from layerkit.repository.base import ID, BaseRepository, T
from layerkit.repository.entities.adapter import EntityAdapter
from layerkit.repository.entities.checks import keyed
from layerkit.repository.entities.registry import adapter_for
from layerkit.repository.filters.bounds import check_expected, check_number
from layerkit.repository.filters.specification import ALL, Specification
from layerkit.repository.guards import check_lock
from layerkit.repository.pages import Page
from layerkit.repository.scope import Scope, pinned
from layerkit.repository.stores.backend import Backend, Lock, Verb
from layerkit.repository.stores.homes import Home, SessionSource, home_of
from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork

R = TypeVar("R")


class BoundRepository(BaseRepository[T, ID], Generic[T, ID]):
    """Know the home, the entity class and the scope, and run verbs in the one unit.

    Args:
        home: Where the entities live.
        model_class: The entity class, where the class itself does not say it.

    Raises:
        UsageError: No entity class, or *home* is not a home.
    """

    model_class: type[T]
    _declared: ClassVar[type | None] = None

    scoped_by: ClassVar[tuple[str, ...]] = ()
    """Fields, such as the tenant's, that ``scoped`` must have set before any verb."""

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared = _generic_argument(cls) or cls._declared

    def __init__(
        self, home: Home | SessionSource, model_class: type[T] | None = None
    ) -> None:
        chosen = model_class or getattr(self, "model_class", None) or self._declared
        if chosen is None:
            name = type(self).__name__
            raise UsageError(
                f"{name} does not know its entity: subclass {name}[User, int], set "
                f"model_class, or pass it: {name}(home, User)"
            )
        self.model_class = chosen
        self._home = home_of(home)
        self._backend: Backend[T] = self._home.backend(adapter_for(chosen))
        self._adapter: EntityAdapter[T] = self._backend.adapter
        self._scope: Scope[T] = Scope(self._adapter)

    @property
    def home(self) -> Home:
        """Where the entities live; what shares a home shares its units of work."""
        return self._home

    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        """Return a unit of work of this repository's home.

        Args:
            events: Where ``emit`` sends events: a bus, or an outbox.
            read_only: True refuses writing verbs; on SQLite it takes no write lock.
        """
        return self._home.unit_of_work(events=events, read_only=read_only)

    @override
    def id_of(self, entity: T) -> Any:
        """Return the id of *entity*; a tuple where the key is composite."""
        return self._adapter.id_of(entity)

    # Views

    def scoped(
        self, where: Specification = ALL, defaults: Mapping[str, object] | None = None
    ) -> Self:
        """Return a view that every verb obeys: it has only what matches *where*.

        New entities get *defaults*, and what *where* demands to be equal to a value;
        one that lies outside of the view is refused. No update through it, nor of a
        tracked entity from it, writes the fields that the view names::

            orders = OrderRepository(database).scoped(field("tenant_id") == tenant_id)

        Args:
            where: What can be seen.
            defaults: Values for fields that new entities leave out.

        Raises:
            UsageError: An unknown field, a value of None, or one that contradicts the
                view that this one is made from.
        """
        return self._view(self._scope.narrowed(where, defaults))

    def with_deleted(self) -> Self:
        """Return a view in which soft-deleted entities are like all others.

        ``delete`` removes for good there.

        Raises:
            UsageError: The entity has no ``deleted_at``.
        """
        return self._view(self._scope.with_deleted("with_deleted"))

    # Running a verb

    async def _verb(
        self,
        name: str,
        work: Callable[[Any], Awaitable[R]],
        *,
        writes: bool = False,
        single: Verb | None = None,
        given: Any = None,
        whole: bool = False,
        lock: Lock | None = None,
    ) -> R:
        """Run *work* in the open unit, or in one of its own.

        Args:
            name: The verb's.
            work: What is done; it is given the unit.
            writes: True where it may write.
            single: The one verb of the backend that it is, if it is one.
            given: What that is given.
            whole: True where its error is to undo just what it has done.
            lock: What it locks.
        """
        if self.scoped_by:
            self._check_scoped()
        backend, unit = self._backend, self._home.transaction()
        if lock is not None:
            check_lock(lock, unit)
        label = f"{type(self).__name__}.{name}"
        if unit is None:
            at_once = single is not None and backend.at_once(single, given)
            run = partial(backend.run, verb=label, work=work, writes=writes)
            return await self._home.alone(run, writes=writes, single=at_once)
        if whole:
            async with unit.savepoint():
                return await backend.run(unit, label, work, writes=writes)
        result = await backend.run(unit, label, work, writes=writes)
        if self._scope.fields:
            self._confine(unit, result)
        return result

    def _confine(self, unit: Transaction, result: object) -> None:
        """Let entities in *result*, where tracked, keep what the scope has set."""
        found: Any = result.items if isinstance(result, Page) else result
        for entity in found if isinstance(found, list) else [found]:
            if isinstance(entity, self._adapter.entity):
                self._backend.confine(unit, entity, self._scope.fields)

    async def _expecting(
        self,
        name: str,
        work: Callable[[Transaction], Awaitable[int]],
        expect: int | None,
        *,
        single: Verb,
        given: Any = None,
    ) -> int:
        """Run *work*, and undo it where it has met another number than *expect*."""
        if expect is None:
            return await self._verb(name, work, writes=True, single=single, given=given)
        check_number("expect", expect, 0)

        async def checked(unit: Transaction) -> int:
            found = await work(unit)
            check_expected(found, expect)
            return found

        return await self._verb(name, checked, writes=True, whole=True)

    def _one(self, entity_id: object) -> Specification:
        """Return the filter for the entity with this id, where it can be seen."""
        return keyed(self._adapter, self._adapter.key_of(entity_id)) & self._scope.seen

    def _view(self, scope: Scope[T]) -> Self:
        view = copy.copy(self)
        view._scope = scope  # noqa: SLF001 - a copy of this very repository
        return view

    def _check_scoped(self) -> None:
        missing = set(self.scoped_by) - pinned(self._scope.where).keys()
        if missing:
            name = type(self).__name__
            raise UsageError(
                f"{name} is scoped by {', '.join(sorted(missing))}, which nothing has "
                f'set: {name}(...).scoped(field("...") == ...)'
            )


def _generic_argument(cls: type) -> type | None:
    """Return the entity class that *cls* gives to its generic base, or None."""
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, BaseRepository):
            argument = get_args(base)[0]
            if isinstance(argument, type) and argument is not Any:
                return argument
    return None
