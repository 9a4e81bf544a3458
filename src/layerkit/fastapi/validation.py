"""Where in a request an error is, and what it is, without a word of what was sent.

What is done with a client's text takes time in proportion to it, and what is shown of
it is bounded: names are cut, and of many errors the first ones are reported.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from layerkit.core.errors import ValidationError

Trail: TypeAlias = tuple["Trail", str | int] | None
"""The way to a value inside of another: the one before, and the last step."""

MOST_ERRORS: Final = 100
_LONGEST_NAME: Final = 64
_LONGEST_SENTENCE: Final = 500
_LONGEST_WORD: Final = 32
_MOST_QUOTED: Final = 1_000  # texts of one input that are looked for in a sentence
_DEEPEST: Final = 32

_NAMED_PARTS: Final = {"query", "path", "header", "cookie"}
_WORDED: Final = {"value_error", "assertion_error"}  # in a validator's own words
_UNKNOWN: Final = {"extra_forbidden", "unexpected_keyword_argument"}
_HARMLESS_DIGITS: Final = 3  # "at most 3 items" quotes nothing
_UNFIT: Final = "Input is not valid"


def invalid_request(errors: Sequence[Any], body: object) -> ValidationError:
    """Return what is answered to a request that FastAPI has found invalid.

    Args:
        errors: What ``RequestValidationError.errors()`` returns.
        body: The parsed body, to tell the path of the input from that of the types.

    Returns:
        Its ``errors`` are the first hundred as ``input_errors`` has them, and
        ``omitted`` says how many more there are. Logs get codes, and the names of
        parameters that the application has declared.
    """
    told = errors[:MOST_ERRORS]
    detail: dict[str, object] = {"errors": input_errors(told, body)}
    if len(errors) > len(told):
        detail["omitted"] = len(errors) - len(told)
    known = ValidationError("The request is not valid", detail)
    known.logged = f"{known.message}: {', '.join(dict.fromkeys(map(_logged, told)))}"
    return known


def _logged(error: Mapping[str, Any]) -> str:
    """Return where and what *error* is, without a name that a client has made up."""
    part, kind = (error["loc"] or ("body",))[0], error["type"]
    if part in _NAMED_PARTS and kind not in _UNKNOWN:
        return f"{part} {_name(error['loc'])} {kind}"
    return f"{part} {kind}"


def input_errors(errors: Sequence[Any], body: object) -> list[dict[str, str]]:
    """Return pydantic's errors of a request as clients may see them.

    Returns:
        One entry an error: ``pointer`` into the body (RFC 6901, as a URI fragment), or
        ``in`` and ``name`` for parameters; ``code``, stable; ``detail``, a sentence.
        Input is never echoed, but for names, of which the first 64 characters are.
    """
    return [
        _place(error["loc"], error["type"], body)
        | {"code": str(error["type"]), "detail": _sentence(error)}
        for error in errors
    ]


def _place(loc: Sequence[str | int], kind: str, body: object) -> dict[str, str]:
    part, *rest = loc or ("body",)
    if part in _NAMED_PARTS:
        return {"in": str(part), "name": _name(loc)}
    if kind == "json_invalid":
        rest = []  # there is no document to point into
    return {"pointer": _pointer(rest, body, is_missing=kind == "missing")}


def _name(loc: Sequence[str | int]) -> str:
    return _cut(loc[1]) if len(loc) > 1 else ""


def _cut(name: str | int) -> str:
    text = str(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def _pointer(rest: Sequence[str | int], body: object, *, is_missing: bool) -> str:
    """Return a JSON pointer to what *rest* means in *body*.

    pydantic mixes the names of union members, tags and markers such as ``[key]`` into
    its paths: what the input does not have at that place is left out, but for the last
    name of what is missing.
    """
    steps: list[str | int] = []
    here: Any = body
    for step in rest[:-1] if is_missing else rest:
        if step in _steps_from(here):
            here = here[step]
            steps.append(step)
    return pointer_to([*steps, *rest[-1:]] if is_missing else steps)


def pointer_to(steps: Sequence[str | int]) -> str:
    """Return *steps* as a JSON pointer, in the form of a URI fragment (RFC 6901, 6).

    Long names end in an ellipsis, and so does a way that is longer than 32 steps.
    """
    shown = [*steps[:_DEEPEST], "…"] if len(steps) > _DEEPEST else steps
    texts = (_cut(step).replace("~", "~0").replace("/", "~1") for step in shown)
    # What no UTF-8 can hold, a lone surrogate, is a question mark.
    return "#" + "".join(f"/{quote(t, safe='~', errors='replace')}" for t in texts)


def leaves(value: object) -> Iterator[tuple[Trail, object]]:
    """Yield what is in *value*, however deep: the way there, and the text or number."""
    levels: list[Iterator[tuple[Trail, object]]] = [iter([(None, value)])]
    while levels:
        trail, found = next(levels[-1], (None, levels))
        if found is levels:
            levels.pop()
        elif isinstance(found, Mapping):
            levels.append(_inside(trail, found.items()))
        elif isinstance(found, list | tuple):
            levels.append(_inside(trail, enumerate(found)))
        else:
            yield trail, found


def _inside(
    trail: Trail, items: Iterable[tuple[str | int, object]]
) -> Iterator[tuple[Trail, object]]:
    return (((trail, step), item) for step, item in items)


def steps_of(trail: Trail) -> list[str | int]:
    """Return the steps of *trail*, from the first to the last."""
    steps = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    return steps[::-1]


def _steps_from(here: object) -> Container[object]:
    """Return the steps that lead on from *here*."""
    if isinstance(here, list):
        return range(len(here))
    return here if isinstance(here, Mapping) else ()


def _sentence(error: Mapping[str, Any]) -> str:
    """Return pydantic's message without what it quotes of the input."""
    message, context = str(error["msg"]), error.get("ctx") or {}
    if "tag" in context:
        return "Input tag is not one of the expected ones"
    cause = context.get("error")
    if isinstance(cause, str):  # what a parser says of the input; a ValueError is kept
        message = message.replace(cause, "").rstrip(" ,:")
    given, is_worded = error.get("input"), error["type"] in _WORDED
    if not is_worded and not isinstance(given, str):
        return message  # pydantic's own words, of a whole object
    if (is_worded and len(message) > _LONGEST_SENTENCE) or _quotes(message, given):
        return _UNFIT
    return message or _UNFIT


def _quotes(message: str, given: object) -> bool:
    """Tell whether *message* has a text or a long number of *given* in it.

    Where there are more of them than are looked for, it may.
    """
    lowered, found = message.casefold(), leaves(given)
    some = islice(found, _MOST_QUOTED)
    forms = {form for _, leaf in some for form in _forms(leaf, len(message))}
    return any(_has_word(lowered, form.casefold()) for form in forms) or (
        next(found, None) is not None
    )


def _has_word(message: str, word: str) -> bool:
    """Tell whether *word* is in *message*, if it is short as a word of its own."""
    place = message.find(word)
    if len(word) > _LONGEST_WORD:
        return place >= 0
    while place >= 0:
        end = place + len(word)
        around = message[place - 1 : place] + message[end : end + 1]
        if not any(one.isalnum() or one == "_" for one in around):
            return True
        place = message.find(word, place + 1)
    return False


def _forms(leaf: object, longest: int) -> Iterator[str]:
    """Yield how a message of *longest* characters may have quoted *leaf*."""
    if isinstance(leaf, str):
        text = leaf.strip()
        if 0 < len(text) <= longest:
            yield from (text, repr(text)[1:-1])
    elif type(leaf) in {int, float} and len(str(leaf)) > _HARMLESS_DIGITS:
        yield str(leaf)
