"""Redis and Valkey backends: a home, repositories, the cache, the event bus, rooms.

Needs the extra ``redis``. This release holds the import guard alone; ``RedisDatabase``,
``RedisRepository``, ``RedisCache``, ``RedisEventBus`` and the backplane of
``ConnectionManager`` arrive here.
"""

from layerkit.core.extras import require_extra

require_extra("redis", package=__name__, extra="redis")

__all__: list[str] = []
