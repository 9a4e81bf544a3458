"""Repository: one repository class for any home."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, get_args, get_origin

from typing_extensions import TypeVar, override

from layerkit.core.errors import ConflictError, UsageError
from layerkit.repository.backend import Backend
from layerkit.repository.base import (
    ID,
    BaseRepository,
    OrderBy,
    T,
    Total,
    check_bounds,
    check_cap,
    check_page,
    check_total,
    only_one,
    orders_of,
)
from layerkit.repository.entities import Data, EntityAdapter
from layerkit.repository.homes import Home, SessionSource, home_of
from layerkit.repository.page import Page
from layerkit.repository.query import ALL, Order, Specification, comparisons
from layerkit.repository.registry import adapter_for
from layerkit.unit_of_work import EventSink, UnitOfWork

R = TypeVar("R")


class Repository(BaseRepository[T, ID], Generic[T, ID]):
    """Store entities of one class in whatever home it is given.

    Subclass it with finders written in specifications; the same class serves a
    ``Database`` in production and a ``MemoryDatabase`` in a test::

        class UserRepository(Repository[User, int]):
            async def get_by_email(self, email: str) -> User | None:
                return await self.find_one(field("email") == email)

    Inside a unit of work of its home each verb joins it; outside, each verb is a unit
    of its own. For SQL of one's own, subclass ``layerkit.sql.SQLRepository``.

    Args:
        home: Where the entities live: a ``Database``, a ``MemoryDatabase``, an
            AsyncSession or an async_sessionmaker.
        model_class: The entity class, where neither the generic argument nor a class
            attribute ``model_class`` says it.

    Raises:
        UsageError: No entity class, or *home* is none.
    """

    model_class: type[T]
    _declared: ClassVar[type | None] = None

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared = _generic_argument(cls) or cls._declared

    def __init__(
        self, home: Home | SessionSource, model_class: type[T] | None = None
    ) -> None:
        declared = getattr(self, "model_class", None) or self._declared
        chosen = model_class or declared
        if chosen is None:
            name = type(self).__name__
            raise UsageError(
                f"{name} does not know its entity: subclass {name}[User, int], set "
                f"model_class, or pass it: {name}(home, User)"
            )
        self.model_class = chosen
        self._home = home_of(home)
        self._adapter: EntityAdapter[T] = adapter_for(chosen)
        self._backend: Backend[T] = self._home.backend(self._adapter)

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

    # The verbs

    @override
    async def create(self, entity: T | Data) -> T:
        """Store a new entity and return it with what the backend has generated.

        Args:
            entity: An entity, or a schema or mapping to make one from.

        Raises:
            ValidationError: Unknown field, wrong type, or a null where none may be.
            AlreadyExistsError: The key or a unique rule is taken.
            ConflictError: It refers to something that is not there.
        """
        new = self._adapter.new(entity)
        return await self._verb(
            "create", lambda: self._backend.create(new), writes=True
        )

    @override
    async def get_by_id(self, entity_id: ID) -> T | None:
        """Return the entity with this id, or None.

        Raises:
            UsageError: *entity_id* can't be an id of this entity.
        """
        key = self._adapter.key_of(entity_id)
        return await self._verb("get_by_id", lambda: self._backend.get(key))

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[T]:
        """Return entities in the order of their keys, *skip* passed over.

        Raises:
            UsageError: *skip* is negative, or *limit* is not 1 to 10,000.
        """
        check_bounds(skip, limit)
        orders = self._orders(())
        return await self._verb(
            "get_all", lambda: self._backend.find(ALL, orders, skip, limit)
        )

    @override
    async def update(
        self,
        entity_id: ID,
        update_data: Data,
        *,
        when: Specification | None = None,
    ) -> T | None:
        """Change fields of the entity with this id and return it, or None.

        Args:
            entity_id: Which entity.
            update_data: A mapping, or a schema of which the set fields count. A value
                may be ``Inc(n)``.
            when: A guard: the entity is changed only where it holds, in one atomic
                step.

        Raises:
            ValidationError: Unknown or key field, wrong type, or a null where none may
                be.
            ConflictError: The entity is there and *when* does not hold.
            AlreadyExistsError: A unique rule is taken.
        """
        key = self._adapter.key_of(entity_id)
        changes = self._adapter.changes(update_data)
        guard = self._checked(ALL if when is None else when)

        async def work() -> T | None:
            entity = await self._backend.update(key, changes, guard)
            if entity is None and guard != ALL and await self._backend.exists(key):
                raise ConflictError(
                    f"{self._adapter.name} does not meet the condition of the update",
                    kind="guard",
                )
            return entity

        return await self._verb("update", work, writes=True)

    @override
    async def delete(self, entity_id: ID) -> bool:
        """Remove the entity with this id and tell whether there was one.

        Raises:
            ConflictError: Something else refers to it.
        """
        key = self._adapter.key_of(entity_id)
        return await self._verb(
            "delete", lambda: self._backend.delete(key), writes=True
        )

    @override
    async def exists(self, entity_id: ID) -> bool:
        """Tell whether there is an entity with this id."""
        key = self._adapter.key_of(entity_id)
        return await self._verb("exists", lambda: self._backend.exists(key))

    @override
    async def find(
        self,
        where: Specification,
        order_by: OrderBy = (),
        skip: int = 0,
        limit: int = 100,
    ) -> list[T]:
        check_bounds(skip, limit)
        wanted, orders = self._checked(where), self._orders(order_by)
        return await self._verb(
            "find", lambda: self._backend.find(wanted, orders, skip, limit)
        )

    @override
    async def find_one(self, where: Specification) -> T | None:
        wanted, orders = self._checked(where), self._orders(())
        found = await self._verb(
            "find_one", lambda: self._backend.find(wanted, orders, 0, 2)
        )
        return only_one(found, type(self).__name__)

    @override
    async def count(self, where: Specification = ALL, *, cap: int | None = None) -> int:
        check_cap(cap)
        wanted = self._checked(where)
        return await self._verb("count", lambda: self._backend.count(wanted, cap))

    @override
    async def paginate(
        self,
        where: Specification = ALL,
        *,
        order_by: OrderBy = (),
        size: int = 50,
        offset: int = 0,
        total: Total = "none",
    ) -> Page[T]:
        check_page(offset, size)
        cap = check_total(total)
        wanted, orders = self._checked(where), self._orders(order_by)

        async def work() -> Page[T]:
            items = await self._backend.find(wanted, orders, offset, size + 1)
            counted = (
                None if total == "none" else await self._backend.count(wanted, cap)
            )
            return Page(items[:size], total=counted, has_next=len(items) > size)

        return await self._verb("paginate", work)

    # What the verbs stand on

    async def _verb(
        self, name: str, work: Callable[[], Awaitable[R]], *, writes: bool = False
    ) -> R:
        """Run *work* in the open unit, or in one of its own."""
        label = f"{type(self).__name__}.{name}"
        transaction = self._home.transaction()
        if transaction is not None:
            return await self._backend.run(transaction, label, work, writes=writes)
        async with self._home.unit_of_work(read_only=not writes):
            return await self._verb(name, work, writes=writes)

    def _checked(self, where: Specification) -> Specification:
        """Return *where* after a look at every field and value in it.

        Raises:
            UsageError: It is no specification, or names an unknown field, a value of
                another type, or an order where the field has none.
        """
        if not isinstance(where, Specification):
            raise UsageError(
                f"a filter is a Specification such as field(...) == ..., or ALL; "
                f"got {where!r}"
            )
        for test in comparisons(where):
            self._adapter.check_operator(test.field, test.operator)
            values = test.value if isinstance(test.value, tuple) else (test.value,)
            for value in values:
                self._adapter.check_value(test.field, value)
        return where

    def _orders(self, order_by: OrderBy) -> tuple[Order, ...]:
        """Return the orders, completed by the key so that no two entities tie."""
        orders = orders_of(order_by)
        for order in orders:
            self._adapter.check_order(order.field)
        named = {order.field for order in orders}
        return (*orders, *(Order(n) for n in self._adapter.key if n not in named))


def _generic_argument(cls: type) -> type | None:
    """Return the entity class that *cls* gives to its generic base, or None."""
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, BaseRepository):
            argument = get_args(base)[0]
            if isinstance(argument, type) and argument is not Any:
                return argument
    return None
