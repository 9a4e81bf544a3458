"""The few calls by which sync code uses what is ``async def`` everywhere else.

There is no second form of any verb: a synchronous session blocks where an asynchronous
one would wait, so the same coroutines run to their end in the calling thread.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from typing_extensions import TypeVar

from layerkit.repository import Home, Repository, SessionSource, home_of
from layerkit.service import BaseService
from layerkit.unit_of_work import EventSink, UnitOfWork
from layerkit.unit_of_work.driver import drive
from layerkit.unit_of_work.transaction import carry, forget_closed_blocks

R = TypeVar("R")


def run(work: Awaitable[R]) -> R:
    """Run what a repository or service returns, and give back its result.

    Everything happens in the calling thread: statements, hooks, handlers of events.
    Tasks that *work* leaves behind are cancelled, as by ``asyncio.run``::

        item = run(ItemService(ItemRepository(session)).get_entity(item_id))

    Args:
        work: A coroutine, or anything else that can be awaited.

    Raises:
        UsageError: An event loop runs in this thread, so *work* can be awaited; or
            *work* needs a driver that is asynchronous.
        AppException: What *work* raises, as it is.
    """
    return drive(work)


def iterate(items: AsyncIterator[R]) -> Iterator[R]:
    """Yield what an asynchronous iterator yields: ``iterate(items.stream())``.

    Raises:
        UsageError: As for ``run``.
    """
    try:
        while True:
            try:
                item = run(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        close: Callable[[], Awaitable[None]] | None = getattr(items, "aclose", None)
        if close is not None:
            run(close())


@contextmanager
def unit_of_work(
    source: Repository[Any, Any] | BaseService[Any, Any] | Home | SessionSource,
    *,
    events: EventSink | None = None,
    read_only: bool = False,
) -> Iterator[UnitOfWork]:
    """Make the writes of a ``with`` block one unit of work: all are stored, or none.

    It is the unit that ``async with repository.unit_of_work()`` opens, under the same
    rules: it commits on a clean exit and rolls back on any error::

        with unit_of_work(items) as uow:
            lamp = run(items.create({"name": "lamp"}))
            uow.after_commit(lambda: print("stored", lamp.id))

    Args:
        source: A repository, a service or a home; or a session or session factory.
        events: Where ``emit`` sends events.
        read_only: True refuses writing verbs.

    Raises:
        UsageError: As for ``run``.
        UnitOfWorkError: As for ``UnitOfWork``.
        AppException: The commit failed; nothing is stored.
    """
    maker: Repository[Any, Any] | BaseService[Any, Any] | Home
    maker = source if isinstance(source, Repository | BaseService) else home_of(source)
    given: dict[str, Any] = {"events": events, "read_only": read_only}
    unit = maker.unit_of_work(**{name: value for name, value in given.items() if value})
    try:
        with _driven(unit):
            carry(unit)
            yield unit
    finally:
        forget_closed_blocks()


@contextmanager
def savepoint(unit: UnitOfWork) -> Iterator[None]:
    """Undo what is done in a ``with`` block when an error leaves it.

    It is ``async with unit.savepoint()``: the way to catch an error and go on::

        with unit_of_work(items) as uow:
            with suppress(AlreadyExistsError), savepoint(uow):
                run(items.create({"name": "lamp"}))

    Raises:
        UnitOfWorkError: The unit is closed.
        NotSupportedError: The home has no savepoints.
    """
    with _driven(unit.savepoint()):
        yield


@contextmanager
def _driven(block: AbstractAsyncContextManager[R]) -> Iterator[R]:
    entered = run(block.__aenter__())
    try:
        yield entered
    except BaseException as error:
        run(block.__aexit__(type(error), error, error.__traceback__))
        raise
    else:
        run(block.__aexit__(None, None, None))
