"""Keys: what a provider is registered under, and what a parameter asks for."""

import functools
import types
from typing import Annotated, Any, NewType, TypeAlias, Union, get_args, get_origin

Key: TypeAlias = object
"""A class, a parametrized generic such as ``Repository[User, int]``, or a NewType."""

_TOO_COMMON = (
    *(bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object),
    *(set, str, tuple, type, type(None)),
)
_FRAMEWORKS = {"fastapi", "starlette"}
_OF_REQUEST = {"Request", "HTTPConnection", "WebSocket", "Response", "BackgroundTasks"}
_PER_REQUEST = ("Repository", "Service")  # what is called so, as a rule


def describe(key: object) -> str:
    """Return *key* as a person would write it, without module names."""
    origin, arguments = get_origin(key), get_args(key)
    if is_union(key):
        return " | ".join(describe(member) for member in arguments)
    if origin is Annotated:
        return describe(arguments[0])
    if origin is not None:
        return f"{describe(origin)}[{', '.join(map(describe, arguments))}]"
    if key is type(None):
        return "None"
    if isinstance(key, functools.partial):
        return describe(key.func)
    if isinstance(key, type):
        return key.__qualname__.rpartition("<locals>.")[2]
    name = getattr(key, "__qualname__", None) or getattr(key, "__name__", None)
    return str(name).rpartition("<locals>.")[2] if name else repr(key)


def unfit(key: object) -> str | None:
    """Return why *key* can't be a key, or None where it can."""
    if is_union(key):
        return f"{describe(key)} is several types: name one with key="
    if not is_hashable(key):
        return f"{key!r} can't be looked up, for something in it has no hash"
    if key in _TOO_COMMON or get_origin(key) in _TOO_COMMON:
        return (
            f"{describe(key)} would fit too many parameters: make a type of your own, "
            'such as NewType("Dsn", str), and give it as key='
        )
    if isinstance(key, type | NewType) or get_origin(key) is not None:
        return None
    return f"{key!r} is not a type: give one with key="


def is_hashable(key: object) -> bool:
    """Tell whether *key* has a hash; an Annotated needs metadata that has one."""
    try:
        hash(key)
    except TypeError:
        return False
    return True


def is_union(annotation: object) -> bool:
    """Tell whether *annotation* is ``X | Y``, in either spelling."""
    return get_origin(annotation) in {Union, types.UnionType}


def alternatives(annotation: object) -> tuple[object, ...]:
    """Return the types that *annotation* allows, one by one; None is not among them."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if not is_union(annotation):
        return (annotation,)
    members = (m for m in get_args(annotation) if m is not type(None))
    return tuple(each for member in members for each in alternatives(member))


def class_of(key: object) -> type | None:
    """Return the class behind *key*: itself or, of a parametrized one, its origin."""
    origin = get_origin(key) or key
    if origin is Annotated:
        return class_of(get_args(key)[0])
    return origin if isinstance(origin, type) else None


def is_per_request(key: object) -> bool:
    """Tell whether *key* is a class that is made for each request, as a rule.

    One with ``_is_shared`` says otherwise.
    """
    cls = class_of(key)
    return not getattr(cls, "_is_shared", False) and any(
        base.__name__.endswith(_PER_REQUEST) for base in getattr(cls, "__mro__", ())
    )


def is_of_request(key: object) -> bool:
    """Tell whether *key* is what a web framework makes for each request."""
    cls = class_of(key)
    module = getattr(cls, "__module__", "").partition(".")[0]
    return module in _FRAMEWORKS and getattr(cls, "__name__", "") in _OF_REQUEST


def implements(key: object, wanted: object) -> bool:
    """Tell whether the class *key* derives from the class or parametrized *wanted*."""
    cls, base = class_of(key), class_of(wanted)
    if cls is None or base is None or key is wanted:
        return False
    # Through the MRO: issubclass() raises for a Protocol that has attributes.
    if base not in cls.__mro__:
        return False
    if get_origin(wanted) is None:
        return True
    known = type_arguments(key, base)
    parameters = getattr(base, "__parameters__", ())
    return get_args(wanted) == tuple(known.get(p, p) for p in parameters)


def type_arguments(key: object, base: type) -> dict[Any, Any]:
    """Return what the type variables of *base* stand for in *key*, a class below it."""
    cls = get_origin(key) or key
    given = dict(zip(getattr(cls, "__parameters__", ()), get_args(key), strict=False))
    if cls is base:
        return given
    if not isinstance(cls, type):  # NamedTuple is a function
        return {}
    for parent in vars(cls).get("__orig_bases__", cls.__bases__):
        known = type_arguments(parent, base)
        if known:
            return {v: substitute(to, given) for v, to in known.items()}
    return {}


def substitute(annotation: Any, arguments: dict[Any, Any]) -> Any:
    """Return *annotation* with its type variables replaced, or by their defaults."""
    if is_hashable(annotation) and annotation in arguments:
        return arguments[annotation]
    has_default = getattr(annotation, "has_default", None)
    if has_default is not None and has_default():
        return annotation.__default__
    parameters = getattr(annotation, "__parameters__", ())
    if isinstance(annotation, type) or not parameters:
        return annotation
    return annotation[tuple(substitute(p, arguments) for p in parameters)]
