"""SQLRepository: a repository with SQL of its own."""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.interfaces import ORMOption
from typing_extensions import TypeVar

from layerkit.core.errors import UsageError
from layerkit.repository import Repository
from layerkit.sql.backend import SQLBackend
from layerkit.sql.database import SQLHome
from layerkit.sql.transaction import SQLTransaction

T = TypeVar("T")
ID = TypeVar("ID", default=Any)


class SQLRepository(Repository[T, ID], Generic[T, ID]):
    """Store mapped entities, with statements of one's own beside the verbs.

    A finder is a SELECT that goes through ``all``::

        class OrderRepository(SQLRepository[Order, UUID]):
            load = (selectinload(Order.lines),)

            async def recent(self) -> list[Order]:
                return await self.all(self.select().order_by(Order.placed_at.desc()))

    Args:
        db_session: A ``Database``, or a session or session factory of SQLAlchemy; a
            synchronous one is driven by ``layerkit.sync``.
        model_class: The mapped class, where the class itself does not say it.

    Raises:
        UsageError: *db_session* is not one of these, or the class is not mapped.
    """

    load: ClassVar[Sequence[ORMOption]] = ()
    """Loader options that every reading statement of the repository has."""

    def __init__(
        self,
        db_session: AsyncSession
        | async_sessionmaker[Any]
        | Session
        | sessionmaker[Any]
        | SQLHome,
        model_class: type[T] | None = None,
    ) -> None:
        super().__init__(db_session, model_class)
        backend = self._home.backend(self._adapter)
        if not isinstance(self._home, SQLHome) or not isinstance(backend, SQLBackend):
            raise UsageError(
                f"{type(self).__name__} needs an SQL database, got a "
                f"{type(self._home).__name__}: subclass Repository for any home"
            )
        self._sql_home = self._home
        self._sql = backend.with_options(self.load)
        self._backend = self._sql

    @property
    def db_session(self) -> AsyncSession:
        """The session that was passed in, or the one of the open unit of work.

        A synchronous one is behind the same methods: ``await db_session.execute()``
        runs at once, and ``db_session.sync_session`` is the session itself.

        Raises:
            UnitOfWorkError: The repository is made from a Database or a session
                factory, and no unit of work is open.
        """
        return self._sql_home.session()

    def select(self) -> Select[T]:
        """Return a SELECT of what the repository sees, with its loader options."""
        self._check_scoped()
        return self._sql.select(self._scope.seen)

    async def all(self, statement: Select[T]) -> list[T]:
        """Run *statement* and return its entities, each once.

        Raises:
            UsageError: The database refuses the statement.
        """

        async def work(unit: SQLTransaction) -> list[T]:
            found = await unit.session.scalars(statement)
            return list(found.unique().all())

        return await self._verb("all", work)
