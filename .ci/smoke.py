"""Tries an installed layerkit that has its core dependencies only.

Each function named `check_...` is one trial; it says what is wrong by an assertion.
A new part of the library adds one that uses its main class as a user would.
"""

import asyncio
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import metadata
from pkgutil import iter_modules

import layerkit

EXTRAS = set(metadata("layerkit").get_all("Provides-Extra") or ())
PACKAGES = [module.name for module in iter_modules(layerkit.__path__)]
# The package wraps no third party itself; layerkit.testing.contracts does.
NEEDS_NO_EXTRA = {"testing"}


@dataclass
class Book:
    """An entity of a user's own."""

    title: str
    id: int | None = None


def check_everyday_names() -> None:
    """Find every name that the packages promise."""
    for package in ["layerkit", *(f"layerkit.{name}" for name in PACKAGES)]:
        try:
            module = import_module(package)
        except layerkit.MissingExtraError:
            continue
        missing = [name for name in module.__all__ if not hasattr(module, name)]
        assert not missing, f"{package} promises {missing}"


def check_optional_packages() -> None:
    """Import what can be imported; learn the pip line of the rest."""
    for name in PACKAGES:
        try:
            import_module(f"layerkit.{name}")
        except layerkit.MissingExtraError as error:
            assert name in EXTRAS, f"layerkit.{name} fails without an extra: {error}"
            line = f"pip install 'layerkit[{name}]'"
            assert line in str(error), f"layerkit.{name} doesn't name {line}: {error}"
        else:
            assert name not in EXTRAS - NEEDS_NO_EXTRA, f"layerkit.{name} has no guard"


def check_schema() -> None:
    """Validate data by a schema of a user's own."""

    class BookCreate(layerkit.CreateSchema):
        title: str

    assert BookCreate.model_validate({"title": "Emma"}).title == "Emma"


async def check_service_in_memory() -> None:
    """Create, find and miss an entity through repository and service."""

    class BookRepository(layerkit.Repository[Book, int]):
        """Books in memory."""

    books = BookRepository(layerkit.MemoryDatabase())
    service = layerkit.BaseService(books)

    emma = await service.create_entity(Book(title="Emma"))
    found = await books.find_one(layerkit.field("title") == "Emma")
    assert found == emma, found

    try:
        await service.get_entity(404)
    except layerkit.NotFoundError as error:
        assert error.status_code == 404, error.status_code
    else:
        raise AssertionError("get_entity found what is not there")


async def check_event_in_memory() -> None:
    """Publish an event to a handler."""
    seen: list[object] = []
    bus = layerkit.InMemoryEventBus()
    bus.subscribe("book.sold", seen.append)

    await bus.publish(layerkit.Event(event_type="book.sold", data={}))

    assert len(seen) == 1, seen


async def main() -> int:
    """Run each trial; print the failures and return how many there are."""
    failures = 0
    trials = [value for name, value in globals().items() if name.startswith("check_")]
    for trial in trials:
        try:
            result = trial()
            if result is not None:
                await result
        except AssertionError as failure:
            failures += 1
            print(f"smoke: {trial.__name__}: {failure}", file=sys.stderr)
    return failures


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
