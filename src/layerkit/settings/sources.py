"""Where settings come from, and a record of which came from where."""

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, get_args, get_origin

from pydantic import AliasChoices, AliasPath
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from pydantic_settings.sources import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseEnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)
from typing_extensions import override

from layerkit.core.errors import SettingsError

_LARGEST_FILE: Final = 1_048_576


@dataclass(slots=True)
class Trail:
    """Record what the sources of one settings object held.

    Attributes:
        origins: For each field that was set, the source that won, and the variable.
        variables: For each field, the variables that it is read from.
        names: Every name that a source holds, whether it is a field or not.
    """

    origins: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    variables: dict[str, list[str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def variable_of(self, name: str) -> str:
        """Return the variable of a field: the one that was read, or the first."""
        source, read = self.origins.get(name, ("", None))
        known = self.variables.get(name, [name])
        if source == "argument":
            return name
        return read if read in known else known[0]

    def misses(self, prefix: str) -> dict[str, str]:
        """Return what is set and unknown, by the unset variable that it resembles.

        What does not begin with *prefix* is not meant for what does.
        """
        from difflib import get_close_matches

        prefix = prefix.upper()
        known = {each for names in self.variables.values() for each in names}
        unknown = {each.upper(): each for each in self.names - known}
        unset = self.variables.keys() - self.origins.keys()
        found = {}
        for variable in sorted(map(self.variable_of, unset)):
            begin = prefix if variable.upper().startswith(prefix) else ""
            wanted = variable.upper().removeprefix(begin)
            rests = [n.removeprefix(begin) for n in unknown if n.startswith(begin)]
            for rest in get_close_matches(wanted, rests, n=1, cutoff=0.85):
                found[variable] = unknown[begin + rest]
        return found


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
        for name, info in self.settings_cls.model_fields.items():
            if any(key in values for key in keys_of(name, info)):
                variable = self._variable(name, info)
                current.origins.setdefault(name, (self.label, variable))
        return _Values(values)

    def _variable(self, _name: str, _field: FieldInfo) -> str | None:
        """Return the variable that a field is set by; None where none is set."""
        return None


class InitSource(_Recorded, InitSettingsSource):
    """Read the keyword arguments."""

    label = "argument"


class _Decoded(_Recorded, PydanticBaseEnvSettingsSource):
    """Read texts; a list may be written ``a, b`` or as JSON."""

    @override
    def field_is_complex(self, field: FieldInfo) -> bool:
        return _is_list(field.annotation) or super().field_is_complex(field)

    @override
    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        text = str(value).strip()
        # pydantic-settings passes no field for what is in a dict.
        is_list = _is_list(getattr(field, "annotation", None))
        is_raw = super().decode_complex_value(field_name, field, "0") == "0"  # NoDecode
        if is_list and not is_raw and not text.startswith(("[", "{", '"')):
            return [item.strip() for item in text.split(",") if item.strip()]
        return super().decode_complex_value(field_name, field, value)

    @override
    def prepare_field_value(
        self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool
    ) -> Any:
        try:
            return super().prepare_field_value(
                field_name, field, value, value_is_complex
            )
        except ValueError:
            name = self._variable(field_name, field) or field_name
        # Out of the except block: the decoder's error holds the value.
        raise SettingsError(f"{name} is not valid (JSON expected)", variables=(name,))

    def variables(self, name: str, field: FieldInfo) -> list[str]:
        """Return the names of the variables that *field* is read from."""
        return [variable for _, variable, _ in self._extract_field_info(field, name)]


class EnvSource(_Decoded, EnvSettingsSource):
    """Read environment variables."""

    label = "environment"

    @override
    def __call__(self) -> dict[str, Any]:
        current = trail.get()
        current.names |= set(self.env_vars)
        for name, info in self.settings_cls.model_fields.items():
            current.variables[name] = self.variables(name, info)
        return super().__call__()

    @override
    def _variable(self, name: str, field: FieldInfo) -> str | None:
        delimiter = self.env_nested_delimiter or "__"
        found = (
            each
            for variable in self.variables(name, field)
            for each in self.env_vars
            if each == variable or each.startswith(f"{variable}{delimiter}")
        )
        return next(found, None)


class DotEnvSource(EnvSource, DotEnvSettingsSource):
    """Read the ``.env`` file."""

    label = ".env"


class FileSource(EnvSource):
    """Read ``X`` from the file that the variable ``X_FILE`` names, as Docker does."""

    label = "file"

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        suffix = "_FILE" if self.case_sensitive else "_file"
        contents: dict[str, str | None] = {}
        for pointer, path in self.env_vars.items():
            name = pointer.removesuffix(suffix)
            if path is None or name == pointer or not self._is_setting(name):
                continue
            if self._is_setting(pointer):
                continue  # a KEY_FILE that is a field of its own points at nothing
            if name in self.env_vars:
                raise SettingsError(
                    f"{name} and {pointer} are both set: keep one",
                    variables=(name, pointer),
                )
            contents[name] = _content(pointer, Path(path))
        self.env_vars = contents

    def _is_setting(self, variable: str) -> bool:
        """Tell whether *variable* is read for a field, or for one inside of a field."""
        delimiter = self.env_nested_delimiter
        for name, info in self.settings_cls.model_fields.items():
            for known in self.variables(name, info):
                if variable == known:
                    return True
                start = f"{known}{delimiter}"
                if delimiter and variable.startswith(start):
                    way = variable.removeprefix(start)
                    # maxsplit: since pydantic-settings 2.8
                    keys = way.split(delimiter, getattr(self, "maxsplit", -1))
                    if self._leads_to_field(info, keys):
                        return True
        return False

    def _leads_to_field(self, info: FieldInfo, keys: list[str]) -> bool:
        here: FieldInfo | None = info
        for key in keys:
            here = self.next_field(here, key, self.case_sensitive)
        return here is not None


class SecretsSource(_Decoded, SecretsSettingsSource):
    """Read the files of ``secrets_dir``, where there is one."""

    label = "secrets"


def recorded(
    settings_cls: type[BaseSettings], arguments: Any, dotenv: Any, secrets: Any
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return the sources in the order of their weight, each leaving a trail.

    Args:
        settings_cls: The class of the settings.
        arguments: What pydantic-settings reads them by; as it says, of the base of all
            sources, and in truth of its InitSettingsSource.
        dotenv: The same of its DotEnvSettingsSource.
        secrets: The same of its SecretsSettingsSource.
    """
    return (
        InitSource(settings_cls, init_kwargs=arguments.init_kwargs),
        EnvSource(settings_cls),
        FileSource(settings_cls),
        DotEnvSource(settings_cls, env_file=dotenv.env_file),
        SecretsSource(settings_cls, secrets_dir=secrets.secrets_dir),
    )


def keys_of(name: str, field: FieldInfo) -> list[str]:
    """Return what pydantic calls a field: its name, and the begins of its aliases."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    heads = (c.path[0] if isinstance(c, AliasPath) else c for c in choices if c)
    return [name, *map(str, heads)]


def _content(pointer: str, path: Path) -> str:
    """Return the text in the file at *path*, which the variable *pointer* names.

    Raises:
        SettingsError: It can't be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)  # no more: /dev/zero never ends
        text = content.decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = type(error).__name__
    else:
        if len(content) <= _LARGEST_FILE:
            return text
        reason = f"longer than {_LARGEST_FILE} bytes"
    raise SettingsError(
        f"{pointer} names a file that can't be read ({reason})", variables=(pointer,)
    )


def _is_list(annotation: object) -> bool:
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and origin.__name__ != "UnionType":
        is_other = issubclass(origin, (str, bytes, bytearray, Mapping))
        return issubclass(origin, Collection) and not is_other
    # `list[str] | None` and its like; of `dict[str, list[str]]` the outside counts.
    return any(map(_is_list, get_args(annotation)))
