"""The repository: entities behind verbs, filters as data, one class for any home."""

from layerkit.repository.base import BaseRepository
from layerkit.repository.entities.adapter import Data, EntityAdapter
from layerkit.repository.entities.fields import (
    CascadeRule,
    FieldInfo,
    ForeignKeyRule,
    Indexed,
    Key,
    KeyTuple,
    Unique,
    UniqueRule,
)
from layerkit.repository.entities.limits import Limits
from layerkit.repository.entities.objects import make_adapter
from layerkit.repository.entities.registry import (
    Fields,
    adapter_for,
    copy_of,
    fields,
    register_adapter,
)
from layerkit.repository.filters.aggregates import AggregateRow, Aggregation
from layerkit.repository.filters.bounds import OrderBy, Total
from layerkit.repository.filters.specification import (
    ALL,
    And,
    Comparison,
    Everything,
    Field,
    Inc,
    Not,
    Operator,
    Or,
    Order,
    Specification,
    comparisons,
    field,
    key_in,
)
from layerkit.repository.pages import Page
from layerkit.repository.repository import InMemoryRepository, Repository
from layerkit.repository.stores.backend import Backend, Lock, Upsert
from layerkit.repository.stores.documents import Documents
from layerkit.repository.stores.homes import (
    BlockingSessionLike,
    Home,
    SessionFactoryLike,
    SessionLike,
    SessionSource,
    home_of,
    register_home,
)
from layerkit.repository.stores.memory import MemoryDatabase
from layerkit.repository.stores.overlay import OverlayTransaction
from layerkit.repository.stores.tables import Row, Written
from layerkit.repository.stores.verbs import OverlayBackend

register_adapter(make_adapter)

__all__ = [
    "ALL",
    "AggregateRow",
    "Aggregation",
    "And",
    "Backend",
    "BaseRepository",
    "BlockingSessionLike",
    "CascadeRule",
    "Comparison",
    "Data",
    "Documents",
    "EntityAdapter",
    "Everything",
    "Field",
    "FieldInfo",
    "Fields",
    "ForeignKeyRule",
    "Home",
    "InMemoryRepository",
    "Inc",
    "Indexed",
    "Key",
    "KeyTuple",
    "Limits",
    "Lock",
    "MemoryDatabase",
    "Not",
    "Operator",
    "Or",
    "Order",
    "OrderBy",
    "OverlayBackend",
    "OverlayTransaction",
    "Page",
    "Repository",
    "Row",
    "SessionFactoryLike",
    "SessionLike",
    "SessionSource",
    "Specification",
    "Total",
    "Unique",
    "UniqueRule",
    "Upsert",
    "Written",
    "adapter_for",
    "comparisons",
    "copy_of",
    "field",
    "fields",
    "home_of",
    "key_in",
    "register_adapter",
    "register_home",
]
