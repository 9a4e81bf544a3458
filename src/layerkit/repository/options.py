"""Options of verbs: what only a repository with a home takes, and others refuse."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, Final, cast

from typing_extensions import TypeVar

from layerkit.core.errors import NotSupportedError

V = TypeVar("V", bound=Callable[..., Awaitable[Any]])

OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "get_by_id": frozenset({"lock"}),
    "find": frozenset({"lock"}),
    "find_one": frozenset({"lock"}),
    "update": frozenset({"expected_version", "when"}),
    "delete": frozenset({"expected_version", "when"}),
}
"""What the verbs of ``Repository`` take besides, and six verbs alone do not have."""


def refusing(verb: V) -> V:
    """Return *verb* so that it refuses the options that it does not have.

    A caller who passes one gets NotSupportedError, as for a verb that is not there;
    None asks for nothing.
    """
    name = verb.__name__
    lacking = OPTIONS[name] - signature(verb).parameters.keys()
    if not lacking:
        return verb

    @wraps(verb)
    async def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        asked = [f"{n}=" for n in sorted(lacking) if options.get(n) is not None]
        if asked:
            raise NotSupportedError(
                f"{type(self).__name__}.{name} takes no {', '.join(asked)}: that needs "
                "a Repository with a home"
            )
        given = {n: value for n, value in options.items() if n not in lacking}
        return await verb(self, *args, **given)

    return cast(V, wrapped)
