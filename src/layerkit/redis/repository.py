"""RedisRepository: a Repository that stores in Redis."""

from typing import Generic

from layerkit.core.errors import UsageError
from layerkit.redis.database import RedisDatabase
from layerkit.repository import Repository
from layerkit.repository.base import ID, T


class RedisRepository(Repository[T, ID], Generic[T, ID]):
    """Store entities in Redis: ``Repository`` that insists on a ``RedisDatabase``.

    Args:
        home: The database.
        model_class: The entity class, where the class itself does not say it.

    Raises:
        UsageError: *home* is another one, or there is no entity class.
    """

    def __init__(self, home: RedisDatabase, model_class: type[T] | None = None) -> None:
        given: object = home
        if not isinstance(given, RedisDatabase):
            raise UsageError(
                f"a {type(self).__name__} needs a RedisDatabase, got a "
                f"{type(given).__name__}"
            )
        super().__init__(home, model_class)
