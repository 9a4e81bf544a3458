"""Inject: what a route gets from the factory, in a scope of its request."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

from anyio import CancelScope
from fastapi import BackgroundTasks, Response
from fastapi.params import Depends as DependsMarker
from starlette.requests import HTTPConnection
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError
from layerkit.factory import Key, Scope, ServiceFactory, describe

T = TypeVar("T")

FACTORY_KEY: Final = "layerkit.factory"
"""Where ``install`` leaves the factory in the ASGI scope."""

CANCEL_KEY: Final = "layerkit.cancelling"
"""Where ``install`` leaves what shields clean-ups from the end of a request's task."""

_SCOPE: Final = "layerkit.scope"
_EXITS: Final = "fastapi_function_astack"
"""Where FastAPI keeps what it leaves before it sends the response."""


async def scope_of(
    connection: HTTPConnection, response: Response, tasks: BackgroundTasks
) -> Scope:
    """Return the factory scope of a request, which is opened for who asks first.

    The request comes along, also as HTTPConnection, and so do the response's headers
    and background tasks, for ``factory.given(Request)`` and its like. FastAPI closes
    the scope once the route has returned, and before the response is sent.

    Raises:
        UsageError: ``install`` was given no factory.
    """
    state = connection.scope
    known: tuple[Response, Scope] | None = state.get(_SCOPE)
    if known is not None and known[0] is response:  # new for each run of the route
        return known[1]
    values: dict[type, object] = {Response: response, BackgroundTasks: tasks}
    values |= dict.fromkeys((type(connection), HTTPConnection), connection)
    scope = factory_of(connection).scope(values, in_threads=True)
    cancelling: CancelScope | None = state.get(CANCEL_KEY)

    async def leave(*raised: Any) -> None:
        state[_SCOPE] = None  # it holds the request, which would hold it in turn
        if cancelling is None:  # there is nothing to clean up
            await scope.__aexit__(*raised)
            return
        cancelling.shield = True
        try:
            await scope.__aexit__(*raised)
        finally:
            cancelling.shield = False

    state[_SCOPE] = response, await scope.__aenter__()
    # A generator dependency would come to the same, at three times the cost.
    state[_EXITS].push_async_exit(leave)
    return scope


def factory_of(connection: HTTPConnection) -> ServiceFactory:
    """Return the factory that ``install`` was given.

    Raises:
        UsageError: It was given none, or ``install`` was not called.
    """
    factory = connection.scope.get(FACTORY_KEY)
    if not isinstance(factory, ServiceFactory):
        raise UsageError(
            "Inject needs a factory, and this application has none: "
            "call install(app, factory)"
        )
    return factory


@dataclass(frozen=True)
class Resolver:
    """Resolve one key; a dependency that FastAPI calls."""

    key: Key

    async def __call__(
        self, connection: HTTPConnection, response: Response, tasks: BackgroundTasks
    ) -> Any:
        """Return the object of the key; for a websocket it must be a shared one."""
        key = cast("type[object]", self.key)
        if connection.scope["type"] == "websocket":  # it lives too long for a scope
            return await factory_of(connection).get(key)
        return await (await scope_of(connection, response, tasks)).get(key)

    @override
    def __repr__(self) -> str:
        return f"Inject[{describe(self.key)}]"


class _Inject(DependsMarker):
    """Become a Resolver once FastAPI fills in the annotated type as the dependency.

    A property, since older releases set the attribute of a copy, and newer ones make
    another object: of a frozen dataclass, which writes past ``__setattr__``.
    """

    @property  # type: ignore[explicit-override]  # not seen by a setter
    @override
    def dependency(self) -> Resolver | None:
        """The resolver of the annotated type, once it is known."""
        return cast("Resolver | None", vars(self)["dependency"])

    @dependency.setter
    def dependency(self, value: Key | Resolver | None) -> None:
        is_key = value is not None and not isinstance(value, Resolver)
        vars(self)["dependency"] = Resolver(value) if is_key else value


# No cache: two parameters may ask for one transient, and what is shared is the scope's
# to say. "function", so that FastAPI refuses a generator that would outlive what it is
# given.
Inject = Annotated[T, _Inject(use_cache=False, scope="function")]
"""Ask the factory for an object: ``users: Inject[UserService]``.

All parameters of one request share one scope. It is closed when the route has returned
and before the response is sent, so a commit that fails there is answered with an error.
Plain generators of the factory are entered and left in threads.
In a websocket only values and singletons can be had, ``ServiceFactory`` among them:
open a ``factory.scope()`` per message. What runs after the response, such as streams
and background tasks, opens one of its own likewise.

A generator dependency of yours that takes an ``Inject`` parameter needs
``Depends(..., scope="function")`` itself.
"""
