"""Inject: what a route gets from the factory, in a scope of its request."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, cast

from fastapi import BackgroundTasks, Depends, Response
from fastapi.params import Depends as DependsMarker
from starlette.requests import HTTPConnection
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError
from layerkit.factory import Key, Scope, ServiceFactory, describe

T = TypeVar("T")

FACTORY_KEY: Final = "layerkit.factory"
"""Where ``install`` leaves the factory in the ASGI scope."""


async def open_scope(
    connection: HTTPConnection, response: Response, tasks: BackgroundTasks
) -> AsyncIterator[Scope | None]:
    """Open one factory scope per request; a websocket gets none.

    The request comes along, also as HTTPConnection, and so do the response's headers
    and background tasks, for ``factory.given(Request)`` and its like.

    Yields:
        The scope; None for a websocket, whose life is too long for one.

    Raises:
        UsageError: ``install`` was given no factory.
    """
    if connection.scope["type"] == "websocket":
        yield None
        return
    factory = factory_of(connection)
    values: dict[type, object] = {Response: response, BackgroundTasks: tasks}
    values |= dict.fromkeys((type(connection), HTTPConnection), connection)
    async with factory.scope(values, in_threads=True) as scope:
        yield scope


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


# "function": closed, so committed, before the response is sent. A scope of FastAPI's
# default kind would be closed after it, and a failing commit would answer 2xx.
_Scope: TypeAlias = Annotated[Scope | None, Depends(open_scope, scope="function")]


@dataclass(frozen=True)
class Resolver:
    """Resolve one key; a dependency that FastAPI calls."""

    key: Key

    async def __call__(self, connection: HTTPConnection, scope: _Scope) -> Any:
        """Return the object of the key; for a websocket it must be a shared one."""
        key = cast("type[object]", self.key)
        if scope is None:
            return await factory_of(connection).get(key)
        return await scope.get(key)

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
