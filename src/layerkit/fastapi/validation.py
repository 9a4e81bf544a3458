"""Where in a request an error is, and what it is, without a word of what was sent."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

_NAMED_PARTS: Final = {"query", "path", "header", "cookie"}
_WORDED: Final = {"value_error", "assertion_error"}  # in a validator's own words
_HARMLESS_DIGITS: Final = 3  # "at most 3 items" quotes nothing


def input_errors(errors: Iterable[Any], body: object) -> list[dict[str, str]]:
    """Return pydantic's errors of a request as clients may see them.

    Args:
        errors: What ``RequestValidationError.errors()`` returns.
        body: The parsed body, to tell the path of the input from that of the types.

    Returns:
        One entry an error: ``pointer`` into the body (RFC 6901, as a URI fragment), or
        ``in`` and ``name`` for parameters; ``code``, stable; ``detail``, a sentence.
        Input is never echoed.
    """
    return [
        _place(error["loc"], error["type"], body)
        | {"code": str(error["type"]), "detail": _sentence(error)}
        for error in errors
    ]


def _place(loc: Sequence[str | int], kind: str, body: object) -> dict[str, str]:
    part, *rest = loc or ("body",)
    if part in _NAMED_PARTS:
        return {"in": str(part), "name": str(rest[0]) if rest else ""}
    if kind == "json_invalid":
        rest = []  # there is no document to point into
    return {"pointer": _pointer(rest, body, is_missing=kind == "missing")}


def _pointer(rest: Sequence[str | int], body: object, *, is_missing: bool) -> str:
    """Return a JSON pointer to what *rest* means in *body*.

    pydantic mixes the names of union members, tags and markers such as ``[key]`` into
    its paths: what the input does not have at that place is left out, but for the last
    name of what is missing.
    """
    steps: list[str] = []
    here = body
    for index, step in enumerate(rest):
        is_last = index == len(rest) - 1
        found = _step(here, step)
        if found is not None:
            here = found[0]
        elif not (is_missing and is_last):
            continue
        text = str(step).replace("~", "~0").replace("/", "~1")
        steps.append(quote(text, safe="~"))
    return "#" + "".join(f"/{step}" for step in steps)


def _step(here: object, step: str | int) -> tuple[object] | None:
    """Return what is at *step* of *here* in a tuple, or None where nothing is."""
    if isinstance(here, Mapping):
        return (here[step],) if step in here else None
    if isinstance(here, list) and isinstance(step, int) and -1 < step < len(here):
        return (here[step],)
    return None


def _sentence(error: Mapping[str, Any]) -> str:
    """Return pydantic's message without what it quotes of the input."""
    message, context = str(error["msg"]), error.get("ctx") or {}
    if "tag" in context:
        return "Input tag is none of the expected ones"
    cause = context.get("error")
    if isinstance(cause, str):  # what a parser says of the input; a ValueError is kept
        message = message.replace(cause, "").rstrip(" ,:")
    given = error.get("input")
    if error["type"] not in _WORDED and not isinstance(given, str):
        return message  # pydantic's own words, of a whole object
    if any(_quotes(message, form) for form in _forms(given)):
        return "Input is not valid"
    return message or "Input is not valid"


def _quotes(message: str, form: str) -> bool:
    whole = rf"(?<!\w){re.escape(form)}(?!\w)"
    return re.search(whole, message, re.IGNORECASE) is not None


def _forms(given: object) -> Iterator[str]:
    """Yield what a message may have quoted of *given*: its texts and long numbers."""
    if isinstance(given, Mapping):
        for item in given.values():
            yield from _forms(item)
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _forms(item)
    elif isinstance(given, str) and (text := given.strip()):
        yield from (text, repr(text)[1:-1])
    elif type(given) in {int, float} and len(str(given)) > _HARMLESS_DIGITS:
        yield str(given)
