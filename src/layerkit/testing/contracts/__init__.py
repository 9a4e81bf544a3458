"""Contracts: test classes that any backend passes by subclassing, also a user's own.

    class TestMine(RepositoryContract):
        @pytest.fixture
        def open_repository(self, tmp_path):
            return lambda entity: open_mine(tmp_path, entity)

``open_repository(entity)`` returns an async context manager that gives a repository of
the entity class, empty. Under pytest-asyncio's strict mode, or anyio, mark the
subclass.
"""

from layerkit.core.extras import require_extra

require_extra("pytest", package=__name__, extra="testing")

import pytest

for _module in (
    "base", "verbs", "bulk", "counters", "aggregates", "pages", "records", "scopes",
    "locks", "machine", "histories", "units", "blocks", "unit_of_work",
):  # fmt: skip
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from layerkit.testing.contracts.base import ReadRaw
from layerkit.testing.contracts.entities import (
    Capabilities,
    Item,
    OpenRepository,
    Reading,
    Record,
    Sale,
    Seat,
    Status,
)
from layerkit.testing.contracts.repository import RepositoryContract
from layerkit.testing.contracts.unit_of_work import UnitOfWorkContract

__all__ = [
    "Capabilities",
    "Item",
    "OpenRepository",
    "ReadRaw",
    "Reading",
    "Record",
    "RepositoryContract",
    "Sale",
    "Seat",
    "Status",
    "UnitOfWorkContract",
]
