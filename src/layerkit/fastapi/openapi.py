"""Error answers in the OpenAPI document."""

from typing import Any, Final

from layerkit.core.errors import AppException, UsageError

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
