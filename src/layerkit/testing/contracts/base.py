"""BaseContract: what all contracts have, and the one fixture that they need."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias

import pytest
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError
from layerkit.testing.contracts.entities import (
    Capabilities,
    Item,
    OpenRepository,
    Record,
    Sale,
    Seat,
)

ReadRaw: TypeAlias = Callable[[type], Awaitable[list[Mapping[str, Any]]]]
"""Given an entity class, returns its rows as they are stored, past the repository."""

Test = TypeVar("Test", bound=Callable[..., Any])
Error = TypeVar("Error", bound=Exception)

_OPENED: Final = {
    "items": "entity",
    "filled": "entity",
    "records": "record",
    "seats": "seat",
    "sales": "sale",
}
_QUANTITIES: Final = {"a": 1, "b": 2, "c": None, "d": 2, "e": 5}


def needs(*capabilities: str) -> Callable[[Test], Test]:
    """Leave a test out where the backend lacks one of *capabilities*."""
    return _only_where(dict.fromkeys(capabilities, True))


def lacks(capability: str) -> Callable[[Test], Test]:
    """Leave a test out where the backend has *capability*: it is about refusals."""
    return _only_where({capability: False})


def _only_where(claimed: Mapping[str, bool]) -> Callable[[Test], Test]:
    def mark(test: Test) -> Test:
        vars(test)["claimed"] = claimed
        return test

    return mark


def _opening(test: Callable[..., Any]) -> Callable[..., Any]:
    """Return *test* so that it asks for ``open_repository``, and opens one itself.

    A fixture that did so would be asynchronous, and need a plugin to run it.
    """
    signature = inspect.signature(test)
    asked = [name for name in signature.parameters if name in _OPENED]
    if not asked:
        return test
    (name,) = asked

    @functools.wraps(test)
    async def opened(
        self: "BaseContract", open_repository: OpenRepository, **given: Any
    ) -> None:
        __tracebackhide__ = True
        async with open_repository(getattr(self, _OPENED[name])) as repository:
            if name == "filled":
                await self.fill(repository)
            await test(self, **{name: repository}, **given)

    fixture = signature.parameters[name].replace(name="open_repository")
    parameters = {**signature.parameters, name: fixture}.values()
    vars(opened)["__signature__"] = signature.replace(parameters=list(parameters))
    return opened


async def refused(
    error: type[Error], *works: Awaitable[Any], match: str | None = None
) -> list[Error]:
    """Await *works* one by one, and return what each raises, which must be *error*."""
    raised: list[Error] = []
    outcomes = [await _outcome(work) for work in works]  # else some are never awaited
    for outcome in outcomes:
        with pytest.raises(error, match=match) as refusal:
            if outcome is not None:
                raise outcome
        raised.append(refusal.value)
    return raised


async def _outcome(work: Awaitable[Any]) -> Exception | None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - it is judged with the others
        return error
    return None


class BaseContract:
    """Hold what a backend says of itself.

    A test with a parameter ``items``, ``records``, ``seats`` or ``sales`` is given a
    repository of that class, opened and empty; ``filled`` is one of five items.

    Attributes:
        capabilities: What the backend can do.
        entity: What it stores; a class with the fields of ``Item``.
        record: A class with the fields of ``Record``.
        seat: A class with the fields of ``Seat``.
        sale: A class with the fields of ``Sale``.
        reading: A class with the fields of ``Reading``; None leaves its tests out.
        known_failures: Tests that are known to fail, by name, each with the reason; one
            that passes all the same is reported.
        examples: How many histories the machine plays, and how many random tables are
            added up.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    entity: ClassVar[type[Any]] = Item
    record: ClassVar[type[Any]] = Record
    seat: ClassVar[type[Any]] = Seat
    sale: ClassVar[type[Any]] = Sale
    reading: ClassVar[type[Any] | None] = None
    known_failures: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[int] = 20

    @override
    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, test in list(vars(cls).items()):
            if name.startswith("test_") and inspect.iscoroutinefunction(test):
                setattr(cls, name, _opening(test))

    @pytest.fixture
    def open_repository(self) -> OpenRepository:
        """Return what opens an empty repository for an entity class; override it.

        Raises:
            UsageError: It was not overridden.
        """
        raise UsageError(
            f"{type(self).__name__} needs a fixture open_repository that returns a "
            "function from an entity class to an async context manager of a repository"
        )

    @pytest.fixture
    def read_raw(self) -> ReadRaw | None:
        """Return what reads the rows of a class past the repository; None has no way.

        Override it where the storage can be looked at by other means: the contract
        then proves that what was committed has landed there, and nothing else.
        """
        return None

    @pytest.fixture(autouse=True)
    def _leave_out_what_is_not_claimed(self, request: pytest.FixtureRequest) -> None:
        claimed = getattr(request.function, "claimed", {})
        for capability, is_needed in claimed.items():
            if getattr(self.capabilities, capability) != is_needed:
                lack = "lacks" if is_needed else "has"
                pytest.skip(f"the backend {lack} the capability: {capability}")

    @pytest.fixture(autouse=True)
    def _expect_known_failure(self, request: pytest.FixtureRequest) -> None:
        unknown = [name for name in self.known_failures if not hasattr(self, name)]
        if unknown:
            raise UsageError(f"known_failures names no test: {', '.join(unknown)}")
        reason = self.known_failures.get(request.function.__name__)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    async def at_once(
        self, *works: Awaitable[Any], return_exceptions: bool = False
    ) -> list[Any]:
        """Do *works* side by side, as ``asyncio.gather`` does.

        Override it for a backend that blocks its thread, where tasks can't race.
        """
        return await asyncio.gather(*works, return_exceptions=return_exceptions)

    def make(self, name: str, **values: Any) -> Any:
        """Return a new entity of that name."""
        return self.entity(name=name, **values)

    async def fill(self, items: Any) -> dict[str, Any]:
        """Store five entities and return their ids by name."""
        made = {
            n: await items.create(self.make(n, qty=q)) for n, q in _QUANTITIES.items()
        }
        return {name: item.id for name, item in made.items()}

    async def held(self, items: Any) -> dict[str, int | None]:
        """Return the numbers of all entities by name."""
        found = await items.get_all()
        held = {item.name: item.qty for item in found}
        assert len(held) == len(found), "two entities have one name"
        return held

    async def names(self, items: Any) -> str:
        """Return the names of all entities, sorted and joined."""
        return "".join(sorted(item.name for item in await items.get_all()))
