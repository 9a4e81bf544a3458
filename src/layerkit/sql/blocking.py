"""A synchronous session behind the methods of an asynchronous one.

What units of work and verbs do is written once, against AsyncSession. On a driver that
blocks nothing is ever waited for, so the same calls go straight to the session.
"""

from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from typing_extensions import override

from layerkit.core.errors import UsageError


class BlockingSession(AsyncSession):
    """The AsyncSession over a session whose driver blocks.

    ``sync_session`` is the caller's own. Methods that are not overridden here work as
    they do anywhere, by SQLAlchemy's greenlets; those of the verbs spare themselves it.

    Args:
        session: The caller's session; it is used and never replaced.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(sync_session_class=cast(Any, lambda **_: session))

    @override
    async def execute(self, *args: Any, **options: Any) -> Any:
        return self.sync_session.execute(*args, **options)

    @override
    async def scalar(self, *args: Any, **options: Any) -> Any:
        return self.sync_session.scalar(*args, **options)

    @override
    async def scalars(self, *args: Any, **options: Any) -> Any:
        return self.sync_session.scalars(*args, **options)

    @override
    async def get(self, *args: Any, **options: Any) -> Any:
        return self.sync_session.get(*args, **options)

    @override
    async def flush(self, objects: Any = None) -> None:
        self.sync_session.flush(objects)

    @override
    async def connection(self, *args: Any, **options: Any) -> AsyncConnection:
        raise UsageError(
            "the session is synchronous, so there is no AsyncConnection of it: call "
            "db_session.sync_session.connection()"
        )
