"""The home of docs/how-to/own-home.md, and an optimistic one, pass the contract."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from types import ModuleType
from typing import Annotated, Any, ClassVar, TypeAlias

import pytest
from pydantic import BaseModel
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
    Unique,
    Written,
)
from layerkit.testing.contracts import Capabilities, OpenRepository, UnitOfWorkContract
from layerkit.testing.contracts.units import outside
from layerkit.unit_of_work import EventSink, UnitOfWork
from tests.support.entities import MappedRecord
from tests.support.project import ROOT

PAGE = ROOT / "docs" / "how-to" / "own-home.md"
FILE = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)

made: dict[str, ModuleType] = {}
for name, source in FILE.findall(PAGE.read_text("utf-8")):
    made[name] = sys.modules[name] = ModuleType(name)
    exec(compile(source, str(PAGE), "exec"), vars(made[name]))  # noqa: S102 - our own page
for name in made:
    del sys.modules[name]  # the page's own run writes them as files

TestFileDatabase = pytest.mark.unmeasured(
    vars(made["test_file_home"])["TestFileDatabase"]
)


class CountedDatabase(Home):
    """Keep documents, and count the commits that have written to each class."""

    optimistic: ClassVar[bool] = True

    def __init__(self, kind: "type[CountedTransaction] | None" = None) -> None:
        self.kind = kind or CountedTransaction
        self.overtaken = 0
        self.documents: dict[type, Documents] = {}
        self.stored: dict[type, dict[KeyTuple, bytes]] = {}
        self.versions, self.ids = Counter[type](), Counter[type]()

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return UnitOfWork(
            lambda: self.transaction() or self.kind(self, read_only=read_only),
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
                self.counted.overtaken += 1
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


class LookingTransaction(CountedTransaction):
    """Make a key by what is stored, so that another unit may have the same one."""

    next_id = override(OverlayTransaction.next_id)


class TestOptimisticDatabase(UnitOfWorkContract):
    capabilities: ClassVar[Capabilities] = Capabilities(locks=False, optimistic=True)

    @pytest.fixture
    @override
    def open_repository(self) -> OpenRepository:
        @asynccontextmanager
        async def open_one(entity: type) -> AsyncIterator[Any]:
            yield Repository(CountedDatabase(), entity)

        return open_one


@dataclass
class Visit:
    code: Annotated[str, Unique()]
    tags: list[str] = dataclass_field(default_factory=list)
    version: int | None = None
    created_at: datetime | None = None
    id: int = dataclass_field(init=False)


class Guest(BaseModel):
    code: Annotated[str, Unique()]
    version: int = 0
    created_at: datetime | None = None
    id: int | None = None


Items: TypeAlias = Repository[Any, int]
Verb: TypeAlias = Callable[[Items, Any], Awaitable[Any]]


async def create(items: Items, item: Any) -> Any:
    return await items.create(item)


async def create_many(items: Items, item: Any) -> Any:
    [made] = await items.create_many([item], returning=True)
    return made


async def upsert(items: Items, item: Any) -> Any:
    return await items.upsert(item, key="code")


@pytest.mark.parametrize("kind", [CountedTransaction, LookingTransaction])
@pytest.mark.parametrize("entity", [Visit, Guest, MappedRecord])
@pytest.mark.parametrize("verb", [create, create_many, upsert])
async def test_a_repeated_verb_starts_from_the_entity_as_it_was_given(
    kind: type[CountedTransaction], entity: Any, verb: Verb
) -> None:
    home = CountedDatabase(kind)
    items: Items = Repository(home, entity)
    given = [entity(code=code) for code in "abcd"]

    stored = await asyncio.gather(*(verb(items, item) for item in given))

    assert home.overtaken
    assert all(one is other for one, other in zip(stored, given, strict=True))
    assert len({item.id for item in given}) == len(given)
    assert {item.version for item in given} == {1}


@pytest.mark.parametrize("entity", [Visit, Guest, MappedRecord])
async def test_an_entity_that_was_not_stored_is_as_it_was_given(entity: Any) -> None:
    items: Items = Repository(CountedDatabase(LookingTransaction), entity)
    given = entity(code="a")
    before = {**vars(given)}

    with pytest.raises(ConflictError):
        async with items.unit_of_work():
            await items.create(given)
            await items.update(given.id, {"code": "b"})
            given.code = "c"
            await outside(items.create(entity(code="other")))

    assert {**vars(given)} == before
