"""The home of docs/how-to/own-home.md, and an optimistic one, pass the contract."""

import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from layerkit import ConflictError
from layerkit.repository import (
    Documents,
    EntityAdapter,
    Home,
    KeyTuple,
    Order,
    OverlayBackend,
    OverlayTransaction,
    Repository,
    Row,
    Specification,
    Written,
)
from layerkit.testing.contracts import Capabilities, OpenRepository, UnitOfWorkContract
from layerkit.unit_of_work import EventSink, UnitOfWork
from tests.support.project import ROOT

PAGE = ROOT / "docs" / "how-to" / "own-home.md"
FILE = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)

made: dict[str, ModuleType] = {}
for name, source in FILE.findall(PAGE.read_text("utf-8")):
    made[name] = sys.modules[name] = ModuleType(name)
    exec(compile(source, str(PAGE), "exec"), vars(made[name]))  # noqa: S102 - our own page
for name in made:
    del sys.modules[name]  # the page's own run writes them as files

TestFileDatabase = vars(made["test_file_home"])["TestFileDatabase"]


class CountedDatabase(Home):
    """Keep documents, and count the commits that have written to each class."""

    optimistic: ClassVar[bool] = True

    def __init__(self) -> None:
        self.documents: dict[type, Documents] = {}
        self.stored: dict[type, dict[KeyTuple, bytes]] = {}
        self.versions, self.ids = Counter[type](), Counter[type]()

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return UnitOfWork(
            lambda: self.transaction() or CountedTransaction(self, read_only=read_only),
            events=events,
        )

    @override
    def backend(self, adapter: EntityAdapter[Any]) -> OverlayBackend[Any]:
        adapter.check_portable()
        self.documents.setdefault(adapter.entity, Documents(adapter))
        self.stored.setdefault(adapter.entity, {})
        return OverlayBackend(adapter)


class CountedTransaction(OverlayTransaction):
    """Refuse a commit where another one has written to a class that was read."""

    def __init__(self, home: CountedDatabase, *, read_only: bool) -> None:
        super().__init__(home, read_only=read_only)
        self.counted = home
        self.seen: dict[type, int] = {}

    @override
    async def stored(self, adapter: EntityAdapter[Any], key: KeyTuple) -> Row | None:
        document = self.read(adapter.entity).get(key)
        read = self.counted.documents[adapter.entity].read
        return None if document is None else read(document)

    @override
    async def stored_rows(
        self,
        adapter: EntityAdapter[Any],
        where: Specification,
        orders: Sequence[Order],
        limit: int | None,
    ) -> Iterable[tuple[KeyTuple, Row]]:
        read = self.counted.documents[adapter.entity].read
        return [(key, read(at)) for key, at in self.read(adapter.entity).items()]

    @override
    async def next_id(self, adapter: EntityAdapter[Any]) -> int:
        self.counted.ids[adapter.entity] += 1
        return self.counted.ids[adapter.entity]

    @override
    async def store(self, written: Written) -> None:
        # A row under a key of its own may be written without a look at the class.
        for entity, seen in self.seen.items():
            if written and self.counted.versions[entity] != seen:
                raise ConflictError("overtaken", kind="serialization")
        for entity, rows in written.items():
            self.counted.versions[entity] += 1
            for key, row in rows.items():
                self.counted.stored[entity].pop(key, None)
                if row is not None:
                    document = self.counted.documents[entity].write(row)
                    self.counted.stored[entity][key] = document

    def read(self, entity: type) -> dict[KeyTuple, bytes]:
        self.seen.setdefault(entity, self.counted.versions[entity])
        return self.counted.stored[entity]


class TestOptimisticDatabase(UnitOfWorkContract):
    capabilities: ClassVar[Capabilities] = Capabilities(locks=False, optimistic=True)

    @pytest.fixture
    @override
    def open_repository(self) -> OpenRepository:
        @asynccontextmanager
        async def open_one(entity: type) -> AsyncIterator[Any]:
            yield Repository(CountedDatabase(), entity)

        return open_one
