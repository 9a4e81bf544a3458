"""What a client has sent, to tell its own mistakes from those of the code.

A UsageError that is about a value says which one. Where the request has it, as a
parameter or in its body, it is the client's, and answered 422. What the code works out
from several parameters is the code's to check.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import pydantic
from fastapi import Request, params
from starlette.requests import HTTPConnection

from layerkit.core.errors import UsageError, ValidationError
from layerkit.fastapi.needs import dependencies_of, route_of
from layerkit.fastapi.validation import leaves, pointer_to, steps_of

_Place: TypeAlias = dict[str, str]


async def unfit(
    connection: HTTPConnection, error: UsageError
) -> ValidationError | None:
    """Return *error* as the client's, where it has sent the value; else None.

    Sent means that what is written in the request reads as that value: ``"0"`` as 0.
    """
    if error.expected is None or error.value is None:
        return None
    read = _reader(error.value)
    async for place, written in _sent(connection):
        if read(written):
            sentence = f"Input should be {error.expected}"
            entry = place | {"code": "unfit_value", "detail": sentence}
            known = ValidationError("The request is not valid", {"errors": [entry]})
            named = "body" if "pointer" in place else " ".join(place.values())
            known.logged = f"{known.message}: {named}: {sentence}"
            known.__cause__ = error
            return known
    return None


def _reader(value: object) -> Callable[[object], bool]:
    """Return what tells whether something written reads as *value*."""
    try:
        adapter = pydantic.TypeAdapter[object](type(value))
    except pydantic.PydanticUserError:  # of a class that no request is read as
        return lambda written: written is value

    def reads(written: object) -> bool:
        try:
            read = adapter.validate_python(written)
        except pydantic.ValidationError:
            return False
        return bool(read == value) or (read != read and value != value)  # noqa: PLR0124 - NaN

    return reads


async def _sent(connection: HTTPConnection) -> AsyncIterator[tuple[_Place, object]]:
    """Yield what a request holds, and where: path, query, declared headers, body."""
    route = route_of(connection)
    for part, name, text in _texts(connection, route):
        yield {"in": part, "name": name}, text
    if isinstance(connection, Request):
        for trail, leaf in leaves(await _body(connection, route)):
            yield {"pointer": pointer_to(steps_of(trail))}, leaf


def _texts(connection: HTTPConnection, route: Any) -> Iterator[tuple[str, str, object]]:
    for name, value in connection.path_params.items():
        yield "path", name, value
    for name, text in connection.query_params.multi_items():
        yield "query", name, text
    for found in dependencies_of(route):
        for header in found.header_params:
            for text in connection.headers.getlist(header.alias):
                yield "header", header.alias, text
        for cookie in found.cookie_params:
            yield "cookie", cookie.alias, connection.cookies.get(cookie.alias)


async def _body(request: Request, route: Any) -> object:
    """Return the body, which FastAPI has read for *route*; None where it has not."""
    body_field = getattr(route, "body_field", None)
    if body_field is None:
        return None
    if isinstance(body_field.field_info, params.Form):
        form = await request.form()
        return {name: form.getlist(name) for name in form}
    try:
        return await request.json()
    except ValueError:  # plain bytes, which no value is read from
        return None
