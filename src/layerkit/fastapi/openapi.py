"""Error answers in the OpenAPI document."""

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import fastapi
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from layerkit.core.errors import AppException, UsageError, ValidationError, phrase_of
from layerkit.fastapi.errors import PROBLEM, ProblemRenderer, code_of, problem_handler
from layerkit.fastapi.etag import answers_of
from layerkit.fastapi.handlers import Handler
from layerkit.fastapi.needs import Problem, dependencies_of, routes_of

_TEXT: Final = {"type": "string"}
_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "instance": {"type": "string", "format": "uri-reference"},
        "code": _TEXT,
        "retryable": {"type": "boolean"},
        "request_id": _TEXT,
        "context": {"type": "object"},
    },
}

_SEVERAL: Final = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
_NOT_MODIFIED: Final = 304

_OWN: Final = {
    "application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}
}


def problems(*errors: type[AppException]) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer, for FastAPI's ``responses=``.

    ``responses=problems(NotFoundError, ConflictError)`` documents a 404 and a 409 as
    ``application/problem+json`` with the codes of the classes. Classes of one status
    share an entry. A route with an entry from here is one of ours: ``install`` answers
    all its errors as problems.

    Raises:
        UsageError: A class can't be made, nor any that it derives from but the root, so
            its status is unknown; or its ``__init__`` does not call the one above.
    """
    by_status: dict[int | str, list[type[AppException]]] = {}
    for error in errors:
        by_status.setdefault(_status_of(error), []).append(error)
    return {status: _documented(classes) for status, classes in by_status.items()}


def _status_of(error: type[AppException]) -> int:
    """Return the status of *error*, made from blanks for what its constructor takes.

    One that minds blanks has the status of what it derives from.

    Raises:
        UsageError: Nor can that be made, or it is made without a status.
    """
    for cls in error.__mro__[: error.__mro__.index(AppException)] or (error,):
        try:
            given = inspect.signature(cls).bind_partial()
            for name, parameter in given.signature.parameters.items():
                is_one = parameter.kind not in _SEVERAL
                if is_one and parameter.default is parameter.empty:
                    given.arguments[name] = _blank(parameter)
            made = cls(*given.args, **given.kwargs)
        except Exception:  # noqa: BLE001, S112 - whatever a constructor raises
            continue
        if not hasattr(made, "status_code"):
            raise UsageError(
                f"{cls.__name__} has no status, since its __init__ does not call "
                "super().__init__(message, status_code), as every error must"
            )
        return int(made.status_code)
    raise UsageError(
        f"problems() makes {error.__name__} from blanks to learn its status, and "
        "can't: derive it from the class of layerkit whose status it has"
    )


def _blank(parameter: inspect.Parameter) -> Any:
    kind = parameter.annotation
    try:
        return kind() if isinstance(kind, type) and kind is not parameter.empty else ""
    except TypeError:
        return ""


def _documented(classes: list[type[AppException]]) -> Problem:
    titles = dict.fromkeys(error.title for error in classes)
    return _problem(" · ".join(titles), dict.fromkeys(error.code for error in classes))


def _problem(description: str, codes: Iterable[str]) -> Problem:
    code = {"type": "string", "enum": list(codes)}
    schema = _SCHEMA | {"properties": _SCHEMA["properties"] | {"code": code}}
    return Problem(description=description, content={PROBLEM: {"schema": schema}})


def document_errors(app: FastAPI, handler: Handler) -> None:
    """Put what our routes answer by themselves into the OpenAPI document.

    The 422 of invalid input takes the place of FastAPI's; 400 for bodies that can't be
    read, and what conditions answer, are added. The form of a renderer of the user's
    own is unknown, and is left out. What the application answers itself, and
    routes that use nothing of ours, keep their documentation.
    """
    make = app.openapi
    renderer = handler.renderer
    is_known = renderer is problem_handler or isinstance(renderer, ProblemRenderer)

    def openapi() -> dict[str, Any]:
        document = make()
        for route, responses in _operations(app, document):
            if handler.answers(route):
                _document(app, route, responses, is_known=is_known)
        _drop_unused(document)
        return document

    vars(app)["openapi"] = openapi


def _operations(
    app: FastAPI, document: Mapping[str, Any]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield each route that *document* has, with the responses of its operation."""
    for route in routes_of(app):
        path = document["paths"].get(getattr(route, "path_format", None), {})
        for method in getattr(route, "methods", None) or ():
            operation = path.get(method.lower(), {})
            if getattr(route, "include_in_schema", False) and "responses" in operation:
                yield route, operation["responses"]


def _document(
    app: FastAPI, route: Any, responses: dict[str, Any], *, is_known: bool
) -> None:
    handlers = app.exception_handlers
    is_fastapis = responses.get("422", {}).get("content") == _OWN
    if is_fastapis and isinstance(handlers.get(RequestValidationError), Handler):
        form = _documented([ValidationError]) if is_known else {}
        responses["422"] = {**form, "description": "Invalid input"}
    is_own = any(
        not isinstance(handlers.get(kind, handlers[HTTPException]), Handler)
        for kind in (fastapi.HTTPException, HTTPException)
    )
    if is_own:
        return
    found = {400} if route.body_field is not None else set()
    for dependency in dependencies_of(route):
        found.update(answers_of(dependency.call, route.methods))
    for status in sorted(found):
        phrase = phrase_of(status)
        has_form = is_known and status != _NOT_MODIFIED
        form = _problem(phrase, [code_of(phrase)]) if has_form else {}
        responses.setdefault(str(status), {**form, "description": phrase})


def _drop_unused(document: dict[str, Any]) -> None:
    """Take out FastAPI's models of invalid input where nothing refers to them."""
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        # The names may be those of models of the application, too.
        ref = f'"#/components/schemas/{name}"'
        if name in schemas and ref not in json.dumps(document):
            schemas.pop(name)
