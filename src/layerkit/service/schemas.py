"""Mappings as the schemas that hooks ask for."""

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_type_hints

import pydantic
from pydantic import BaseModel

from layerkit.core.schemas import refusal


def as_asked(service: type, hook: str, data: object) -> Any:
    """Return a mapping as the schema that a hook names for its data; others as given.

    Args:
        service: The class that has the hook.
        hook: Its name; the data is its last parameter.
        data: What a caller has passed.

    Raises:
        ValidationError: The schema refuses the mapping.
    """
    if not isinstance(data, Mapping) or (schema := _asked(service, hook)) is None:
        return data
    try:
        return schema.model_validate(data)
    except pydantic.ValidationError as error:
        refused = refusal(f"a {schema.__name__} can't be made", error)
        raise refused from error


@lru_cache(maxsize=1024)
def _asked(service: type, hook: str) -> type[BaseModel] | None:
    function = getattr(service, hook)
    try:
        hints = get_type_hints(function)
    except NameError:  # a text that names a class of an enclosing function
        return None
    asked = hints.get(list(inspect.signature(function).parameters)[-1])
    is_schema = isinstance(asked, type) and issubclass(asked, BaseModel)
    return asked if is_schema else None
