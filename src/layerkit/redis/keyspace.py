"""The keys of one home: where they are, and which classes they keep."""

from dataclasses import dataclass, field
from typing import Any

from layerkit.core.errors import UsageError
from layerkit.redis.layout import Layout
from layerkit.redis.server import Server
from layerkit.redis.steps import Kind
from layerkit.repository import EntityAdapter
from layerkit.repository.stores.documents import Documents


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Know what all units of one home have in common.

    Attributes:
        server: Where the keys are.
        prefix: What every key begins with.
        allow_scan: True where a filter that no index serves may read everything.
        kinds: The entity classes of the home.
        planned: Those whose plan is known to be the stored one.
    """

    server: Server
    prefix: str
    allow_scan: bool
    kinds: dict[type, Kind] = field(default_factory=dict)
    planned: set[type] = field(default_factory=set)

    def kind(self, adapter: EntityAdapter[Any]) -> Kind:
        """Return how a class is kept.

        Raises:
            UsageError: Another class has its name, and would share its keys.
            NotSupportedError: Only a database can keep the class.
        """
        found = self.kinds.get(adapter.entity)
        if found is not None:
            return found
        adapter.check_portable()
        for other in self.kinds:
            if other.__name__ == adapter.name:
                raise UsageError(
                    f"{other.__module__}.{adapter.name} and "
                    f"{adapter.entity.__module__}.{adapter.name} would share the keys "
                    f"of prefix {self.prefix!r}: rename one, or give it a "
                    "RedisDatabase with another prefix"
                )
        made = Kind(adapter, Layout(self.prefix, adapter), Documents(adapter))
        self.kinds[adapter.entity] = made
        return made
