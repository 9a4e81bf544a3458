"""Where settings come from, and a record of which came from where."""

import os
from collections.abc import Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    SecretsSettingsSource,
)
from pydantic_settings.sources import PydanticBaseSettingsSource
from typing_extensions import override

from layerkit.core.errors import SettingsError

_LARGEST_FILE: Final = 1_048_576
_SEQUENCES = (list, tuple, set, frozenset)


@dataclass(slots=True)
class Trail:
    """Record what the sources of one settings object held.

    Attributes:
        origins: For each field that was set, the source that won.
        names: Every name that a source holds, whether it is a field or not.
    """

    origins: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


trail: ContextVar[Trail] = ContextVar("layerkit_settings_trail")


class _Values(dict[str, Any]):
    """Show names alone: pydantic-settings logs values when it debugs."""

    @override
    def __repr__(self) -> str:
        return f"<{', '.join(self) or 'nothing'}>"


class _Recorded(PydanticBaseSettingsSource):
    """Leave a trail of what the source held."""

    label: ClassVar[str]

    @override
    def __call__(self) -> dict[str, Any]:
        values = super().__call__()  # type: ignore[safe-super] # the source mixed in
        current = trail.get()
        current.names |= set(getattr(self, "env_vars", values))
        for name in values:
            current.origins.setdefault(name, self.label)
        return _Values(values)


class InitSource(_Recorded, InitSettingsSource):
    """Read the keyword arguments."""

    label = "argument"


class EnvSource(_Recorded, EnvSettingsSource):
    """Read environment variables; a list may be written ``a, b`` or as JSON."""

    label = "environment"

    @override
    def decode_complex_value(
        self, field_name: str, field: FieldInfo, value: Any
    ) -> Any:
        text = str(value).strip()
        if not text.startswith(("[", "{", '"')) and _is_list(field.annotation):
            return [item.strip() for item in text.split(",") if item.strip()]
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            problem = f"{field_name} is not valid (JSON expected)"
        # Out of the except block: the decoder's error holds the value.
        raise SettingsError(problem, variables=(field_name,))


class DotEnvSource(EnvSource, DotEnvSettingsSource):
    """Read the ``.env`` file."""

    label = ".env"


class FileSource(EnvSource):
    """Read ``X`` from the file that the variable ``X_FILE`` names, as Docker does."""

    label = "file"

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        names = [self.env_prefix + name for name in settings_cls.model_fields]
        self.env_vars = _read_files(names, os.environ)


class SecretsSource(_Recorded, SecretsSettingsSource):
    """Read the files of ``secrets_dir``, where there is one."""

    label = "secrets"


def _read_files(
    names: Collection[str], environment: Mapping[str, str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        pointer = f"{name}_FILE"
        if pointer in names or pointer not in environment:
            continue
        if name in environment:
            raise SettingsError(
                f"{name} and {pointer} are both set: keep one",
                variables=(name, pointer),
            )
        try:
            found[name] = _content(Path(environment[pointer]))
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{pointer} names a file that can't be read ({type(error).__name__})",
                variables=(pointer,),
            ) from None
    return found


def _content(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)  # no more: /dev/zero never ends
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"longer than {_LARGEST_FILE} bytes")
    return content.decode("utf-8").rstrip("\r\n")


def _is_list(annotation: object) -> bool:
    origin = get_origin(annotation) or annotation
    if origin in _SEQUENCES:
        return True
    # `list[str] | None` and its like; of `dict[str, list[str]]` the outside counts.
    is_class = isinstance(origin, type) and origin.__name__ != "UnionType"
    return not is_class and any(map(_is_list, get_args(annotation)))


def near_misses(wanted: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Return for each name in *wanted* the one in *names* that may be meant for it."""
    from difflib import get_close_matches

    by_upper = {name.upper(): name for name in names}
    misses = {}
    for name in wanted:
        for close in get_close_matches(name, by_upper, n=1, cutoff=0.85):
            misses[name] = by_upper[close]
    return misses
