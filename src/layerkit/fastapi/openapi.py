"""Error answers in the OpenAPI document."""

import json
from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from layerkit.core.errors import AppException, UsageError, ValidationError
from layerkit.fastapi.errors import ProblemRenderer, Renderer, problem_handler
from layerkit.fastapi.handlers import Handler

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

_OWN: Final = {
    "application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}
}


def problems(*errors: type[AppException]) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer, for FastAPI's ``responses=``.

    ``responses=problems(NotFoundError, ConflictError)`` documents a 404 and a 409 as
    ``application/problem+json`` with the codes of the classes. Classes of one status
    share an entry.

    Raises:
        UsageError: A class can't be made from a message, so its status is unknown.
    """
    by_status: dict[int | str, list[type[AppException]]] = {}
    for error in errors:
        by_status.setdefault(_status_of(error), []).append(error)
    return {status: _response(classes) for status, classes in by_status.items()}


def _status_of(error: type[AppException]) -> int:
    try:
        return error("").status_code
    except TypeError as cause:
        raise UsageError(
            f"problems() makes {error.__name__} from a message to learn its status, "
            "and can't: name the class of layerkit that it derives from"
        ) from cause


def _response(classes: list[type[AppException]]) -> dict[str, Any]:
    titles = dict.fromkeys(error.title for error in classes)
    codes = list(dict.fromkeys(error.code for error in classes))
    properties = _SCHEMA["properties"] | {"code": {"type": "string", "enum": codes}}
    return {
        "description": " · ".join(titles),
        "content": {
            "application/problem+json": {"schema": _SCHEMA | {"properties": properties}}
        },
    }


def document_validation(app: FastAPI, renderer: Renderer) -> None:
    """Put what is answered to invalid input in the place of FastAPI's own 422.

    The form of a renderer of the user's own is unknown: the 422 stands without one. An
    application that answers invalid input itself keeps its document.
    """
    make = app.openapi
    plain = renderer is problem_handler or isinstance(renderer, ProblemRenderer)
    known = problems(ValidationError)[422] if plain else {}

    def openapi() -> dict[str, Any]:
        document = make()
        if isinstance(app.exception_handlers.get(RequestValidationError), Handler):
            _replace_validation(document, known)
        return document

    vars(app)["openapi"] = openapi


def _replace_validation(document: dict[str, Any], known: dict[str, Any]) -> None:
    found = [found for found in _responses(document) if _is_own(found.get("422"))]
    for responses in found:
        responses["422"] = {"description": "Invalid input"} | known
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError") if found else ():
        # The names may be those of models of the application, too.
        if f'"#/components/schemas/{name}"' not in json.dumps(document):
            schemas.pop(name, None)


def _is_own(response: object) -> bool:
    return isinstance(response, dict) and response.get("content") == _OWN


def _responses(node: object) -> Iterator[dict[str, Any]]:
    """Yield what is under "responses" anywhere, callbacks and webhooks included."""
    if isinstance(node, list):
        for item in node:
            yield from _responses(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "responses" and isinstance(value, dict):
                yield value
            yield from _responses(value)
