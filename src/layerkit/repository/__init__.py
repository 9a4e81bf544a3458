"""The repository: entities behind verbs, filters as data, one class for any home."""

from layerkit.repository.aggregates import AggregateRow, Aggregation
from layerkit.repository.backend import Backend, Lock, Upsert
from layerkit.repository.base import BaseRepository
from layerkit.repository.bounds import OrderBy, Total
from layerkit.repository.entities import Data, EntityAdapter
from layerkit.repository.fields import (
    CascadeRule,
    FieldInfo,
    ForeignKeyRule,
    Indexed,
    Key,
    KeyTuple,
    Unique,
    UniqueRule,
)
from layerkit.repository.homes import (
    BlockingSessionLike,
    Home,
    SessionFactoryLike,
    SessionLike,
    SessionSource,
    home_of,
    register_home,
)
from layerkit.repository.limits import Limits
from layerkit.repository.memory import InMemoryRepository, MemoryDatabase
from layerkit.repository.objects import make_adapter
from layerkit.repository.page import Page
from layerkit.repository.query import (
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
)
from layerkit.repository.registry import (
    Fields,
    adapter_for,
    copy_of,
    fields,
    register_adapter,
)
from layerkit.repository.repository import Repository

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
    "Page",
    "Repository",
    "SessionFactoryLike",
    "SessionLike",
    "SessionSource",
    "Specification",
    "Total",
    "Unique",
    "UniqueRule",
    "Upsert",
    "adapter_for",
    "comparisons",
    "copy_of",
    "field",
    "fields",
    "home_of",
    "register_adapter",
    "register_home",
]
