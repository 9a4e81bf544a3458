"""Redis and Valkey backends: a home and repositories; later the cache, bus and rooms.

Needs the extra ``redis``. ``RedisCache``, ``RedisEventBus`` and the backplane of
``ConnectionManager`` arrive here.
"""

from layerkit.core.extras import require_extra

require_extra("redis", package=__name__, extra="redis")

from layerkit.redis.database import RedisDatabase
from layerkit.redis.repository import RedisRepository

__all__ = ["RedisDatabase", "RedisRepository"]
