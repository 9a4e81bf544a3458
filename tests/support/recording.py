"""A home whose transactions note their steps and can be told to fail or to wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from typing_extensions import override

from layerkit.unit_of_work import EventSink, Transaction, UnitOfWork, transaction_of


class RecordingTransaction(Transaction):
    """Note each step in the home's ``log``."""

    def __init__(self, home: "RecordingHome", *, read_only: bool = False) -> None:
        super().__init__(home, read_only=read_only)
        self.recording = home

    @override
    async def _begin(self) -> None:
        await self.recording.step("begin")

    @override
    async def _commit(self) -> None:
        await self.recording.step("commit")

    @override
    async def _rollback(self) -> None:
        await self.recording.step("rollback")

    @override
    async def _release(self) -> None:
        await self.recording.step("release")

    @override
    def _savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._nested()

    @asynccontextmanager
    async def _nested(self) -> AsyncIterator[None]:
        await self.recording.step("savepoint")
        try:
            yield
        except BaseException:
            await self.recording.step("rollback to savepoint")
            raise
        await self.recording.step("release savepoint")


class RecordingHome:
    """Make units, note what happens to them, fail or wait at a step when told to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failing: dict[str, BaseException] = {}
        self.stalled: dict[str, asyncio.Event] = {}
        self.reached = asyncio.Event()

    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        def choose() -> Transaction:
            return transaction_of(self) or RecordingTransaction(
                self, read_only=read_only
            )

        return UnitOfWork(choose, events=events)

    async def step(self, name: str) -> None:
        """Note *name*, then wait or fail where that was asked for."""
        self.log.append(name)
        if name in self.stalled:
            self.reached.set()
            await self.stalled[name].wait()
        await asyncio.sleep(0)
        if name in self.failing:
            raise self.failing[name]

    async def write(self, name: str = "write") -> None:
        """Do what a writing verb does."""
        await self.verb(name, writes=True)

    async def read(self, name: str = "read") -> None:
        """Do what a reading verb does."""
        await self.verb(name, writes=False)

    async def verb(self, name: str, *, writes: bool) -> None:
        """Run *name* in the open unit, or in one of its own."""
        transaction = transaction_of(self)
        if transaction is None:
            async with self.unit_of_work():
                await self.verb(name, writes=writes)
            return
        with transaction.verb(name, writes=writes):
            await self.step(name)
