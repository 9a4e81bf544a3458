"""Random histories, played on a backend and on the reference in memory alike."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from typing_extensions import override

from layerkit.core.errors import AppException
from layerkit.repository import MemoryDatabase, Page, Repository
from layerkit.testing.contracts.entities import Capabilities, OpenRepository

Step = Callable[[Any], Awaitable[Any]]

_DEEPEST = 3
_PATIENCE = 2


class Failed(tuple[object, ...]):
    """An error, as far as two backends must agree on it."""


class Machine(RuleBasedStateMachine):
    """Play the same steps on two repositories, and compare what each says.

    Results are compared by value, errors by class, kind and fields.

    Attributes:
        open_repository: Opens the backend.
        entity: What is stored.
        capabilities: What the backend can do.
    """

    open_repository: OpenRepository
    entity: type[Any]
    capabilities: Capabilities

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.blocks: list[dict[Any, Any]] = []
        self.failures = 0
        self.units: dict[Any, Any] = {}
        # A backend may forget what nobody holds, and what it was read through with it.
        self.kept: list[Any] = []
        opening = self.open_repository(self.entity)
        backend = self.runner.run(self._entered(opening))
        self.sides = (backend, Repository(MemoryDatabase(), self.entity))

    async def _entered(self, opening: Any) -> Any:
        return await self.stack.enter_async_context(opening)

    @override
    def teardown(self) -> None:
        """Leave open blocks, and close the backend."""
        while self.blocks:
            self.leave(fails=True)
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def check(self, what: str, step: Step) -> bool:
        """Play *step* on both sides, and tell whether it went well.

        Args:
            what: What it does, for who reads that the sides differ.
            step: Called with either repository.
        """
        said, meant = (self.runner.run(self._said(step, side)) for side in self.sides)
        assert said == meant, f"{what}: the backend says {said}, the reference {meant}"
        went_well = not isinstance(meant, Failed)
        if self.blocks and not went_well:
            self.failures += 1
            if (
                self.failures == _PATIENCE
            ):  # else a rollback-only unit would fill the history
                self.leave(fails=True)
        return went_well

    async def _said(self, step: Step, side: Any) -> object:
        try:
            result = await step(side)
            self.kept.append(result)
            return self.plain(result)
        except AppException as error:
            fields = error.detail.get("fields")
            return Failed((type(error).__name__, getattr(error, "kind", None), fields))

    def plain(self, said: Any) -> Any:
        """Return what can be compared between two sides."""
        if isinstance(said, Page):
            ends = (said.next_cursor is None, said.previous_cursor is None)
            return [self.plain(said.items), said.total, said.has_next, ends]
        if isinstance(said, list):
            return [self.plain(each) for each in said]
        return said

    # Units, the blocks inside them, and their savepoints

    @precondition(lambda self: self.capabilities.transactions and not self.blocks)
    @rule()
    def begin(self) -> None:
        """Open a unit on both sides."""
        self.kept.clear()
        self.units = {side: side.unit_of_work() for side in self.sides}
        self._enter("unit_of_work()", self.units)

    @precondition(lambda self: 0 < len(self.blocks) < _DEEPEST)
    @rule(what=st.sampled_from(["savepoint", "savepoint", "unit_of_work"]))
    def nest(self, what: Literal["savepoint", "unit_of_work"]) -> None:
        """Open a savepoint of the unit, or a unit that joins it."""
        holders = self.units if what == "savepoint" else {s: s for s in self.sides}
        self._enter(f"{what}()", {s: getattr(holders[s], what)() for s in self.sides})

    def _enter(self, what: str, blocks: dict[Any, Any]) -> None:
        async def step(side: Any) -> None:
            await blocks[side].__aenter__()

        if self.check(what, step):
            self.blocks.append(blocks)

    @precondition(lambda self: bool(self.blocks))
    @rule(fails=st.booleans())
    def leave(self, fails: bool) -> None:
        """Leave the innermost block on both sides; the outermost one commits."""
        blocks = self.blocks.pop()
        self.failures = 0
        error = RuntimeError("left") if fails else None
        kind = RuntimeError if fails else None
        self.check(
            f"leave({fails=})", lambda side: blocks[side].__aexit__(kind, error, None)
        )
