"""The same as bench_factory, where the scope has an async generator to close."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.bench_factory import (
    Repository,
    Service,
    Settings,
    scope_of,
    seconds_per_scope,
)


async def open_repository(settings: Settings) -> AsyncIterator[Repository]:
    """Make a repository as a session is made: opened, and closed after use."""
    yield Repository(settings)


async def by_hand() -> float:
    """Measure what the others do, without them."""
    settings = Settings()
    opened = asynccontextmanager(open_repository)

    async def one() -> None:
        async with AsyncExitStack() as stack:
            Service(await stack.enter_async_context(opened(settings)))

    return await seconds_per_scope(one)


BENCHMARK = scope_of(
    "A scope, with a chain of three of which one is closed", by_hand, open_repository
)
