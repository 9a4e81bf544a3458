"""What a factory's scope costs a request, beside an AsyncExitStack written by hand."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from time import perf_counter

from benchmarks.run import Benchmark, Case
from layerkit.factory import ServiceFactory

BATCHES = 100
SCOPES = 500
AIM_RATIO = 2.0
AIM_MICROSECONDS = 10


class Settings:
    """What all scopes share."""


class Repository:
    """What the service needs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Service:
    """What a request asks for."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository


OneScope = Callable[[], Awaitable[None]]


async def seconds_per_scope(one: OneScope) -> float:
    """Return the mean time of *one* in the best batch: others use the machine too."""
    batches = []
    for _ in range(BATCHES):
        start = perf_counter()
        for _ in range(SCOPES):
            await one()
        batches.append((perf_counter() - start) / SCOPES)
    return min(batches)


async def by_hand() -> float:
    """Measure what the others do, without them."""
    settings = Settings()

    async def one() -> None:
        async with AsyncExitStack():
            Service(Repository(settings))

    return await seconds_per_scope(one)


async def by_layerkit(make_repository: Callable[..., object]) -> float:
    """Measure a chain of three: settings for all, the others for one scope."""
    factory = ServiceFactory().singleton(Settings)
    factory.scoped(make_repository).scoped(Service)

    async def one() -> None:
        async with factory.scope() as scope:
            await scope.get(Service)

    async with factory:
        return await seconds_per_scope(one)


async def by_wireup(make_repository: Callable[..., object]) -> float:
    """Measure the same chain by wireup."""
    import wireup

    container = wireup.create_async_container(
        injectables=[
            wireup.injectable(Settings),
            wireup.injectable(make_repository, lifetime="scoped"),
            wireup.injectable(Service, lifetime="scoped"),
        ]
    )

    async def one() -> None:
        async with container.enter_scope() as scope:
            await scope.get(Service)

    return await seconds_per_scope(one)


async def by_dishka(make_repository: Callable[..., object]) -> float:
    """Measure the same chain by dishka."""
    from dishka import Provider, Scope, make_async_container

    provider = Provider()
    provider.provide(Settings, scope=Scope.APP)
    provider.provide(make_repository, scope=Scope.REQUEST)
    provider.provide(Service, scope=Scope.REQUEST)
    container = make_async_container(provider)

    async def one() -> None:
        async with container() as scope:
            await scope.get(Service)

    seconds = await seconds_per_scope(one)
    await container.close()
    return seconds


def within_aim(medians: Mapping[str, float]) -> str:
    """Say how far the scope is from its aim."""
    ours = medians["layerkit"]
    return (
        f"layerkit: {ours / medians['AsyncExitStack']:.2f} x AsyncExitStack and "
        f"{ours * 1e6:.1f} µs (aim: {AIM_RATIO} x and {AIM_MICROSECONDS} µs at most)"
    )


def scope_of(
    title: str, by_hand: Case, make_repository: Callable[..., object]
) -> Benchmark:
    """Return the comparison for one way of making the repository."""
    return Benchmark(
        title=title,
        baseline="AsyncExitStack",
        cases={
            "AsyncExitStack": by_hand,
            "layerkit": partial(by_layerkit, make_repository),
            "wireup": partial(by_wireup, make_repository),
            "dishka": partial(by_dishka, make_repository),
        },
        conclude=within_aim,
    )


BENCHMARK = scope_of("A scope, with a chain of three", by_hand, Repository)
