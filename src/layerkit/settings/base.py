"""Settings: the configuration of an application, from its environment."""

import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import Signature
from typing import Any, Final, Self, TypeVar, overload

from pydantic import (
    BaseModel,
    PrivateAttr,
    PydanticUserError,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from layerkit.core.errors import SettingsError
from layerkit.core.logging import get_logger
from layerkit.core.redaction import redacted
from layerkit.settings.checks import SECRET_LENGTH, Finding, is_weak, spells_production
from layerkit.settings.sources import Trail, keys_of, recorded, trail

S = TypeVar("S", bound="Settings")

logger = get_logger("layerkit.settings")


@dataclass(frozen=True, slots=True)
class Explained:
    """Show one setting: its name, its value with secrets as ``***``, and its source.

    Attributes:
        source: ``argument``, ``environment``, ``file``, ``.env``, ``secrets`` or
            ``default``.
        variable: The variable that it was read from: one of several aliases, say.
    """

    name: str
    value: object
    source: str
    variable: str | None = None


class Settings(BaseSettings):
    """Hold the settings of an application; subclass it to add fields.

    A field is set by, first of all, an argument; then the environment variable of its
    very name, behind ``env_prefix``, or of its alias; then the file that
    ``<NAME>_FILE`` names; then ``.env`` in the working directory; then its default.
    Lists, tuples and sets may be written ``a, b``. Secrets are shown nowhere: not by
    ``repr``, as JSON, in errors or in debug logs.

    Raises:
        SettingsError: Something is missing or wrong; the text names the variables and
            never a value.
    """

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        hide_input_in_errors=True,
    )

    APP_NAME: str = "Application"
    APP_VERSION: str = "1.0.0"
    ENVIRONMENT: str = "development"
    DEBUG: bool = False
    SECRET_KEY: SecretStr
    DATABASE_URL: str
    DATABASE_POOL_SIZE: int = 20
    DATABASE_MAX_OVERFLOW: int = 30
    REDIS_URL: str = "redis://localhost:6379"
    REDIS_PASSWORD: SecretStr | None = None
    ACCESS_TOKEN_EXPIRE_MINUTES: int = 30
    REFRESH_TOKEN_EXPIRE_DAYS: int = 7
    FEATURE_REGISTRATION: bool = True
    FEATURE_EMAIL_VERIFICATION: bool = True
    SMTP_SERVER: str | None = None
    SMTP_PORT: int | None = None
    SMTP_USERNAME: str | None = None
    SMTP_PASSWORD: SecretStr | None = None

    _trail: Trail = PrivateAttr(default_factory=Trail)

    def __init__(self, **values: Any) -> None:
        current = Trail()
        token = trail.set(current)
        problems: dict[str, str] = {}
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = _problems(error, current, type(self))
        except (SettingsError, PydanticUserError):
            raise
        except UnicodeDecodeError:  # pydantic makes another error of a validator's
            problems = {"the settings": _NO_TEXT}
        except Exception as error:  # noqa: BLE001 - a user's validator raises what it likes, and its text may hold the value; raised below without
            problems = _raised(error, current, type(self))
        finally:
            trail.reset(token)
        misses = current.misses(str(self.model_config.get("env_prefix", "")))
        if problems:  # raised out here: the error holds the values
            for name in problems.keys() & misses.keys():
                problems[name] += f" ({misses[name]} is set: is it meant?)"
            title = f"{type(self).__name__} can't be read from the environment"
            raise SettingsError(_listed(title, problems), variables=problems)
        for name, miss in misses.items():
            logger.warning("%s is set and unknown: is %s meant?", miss, name)
        self._trail = current

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in the order of their weight."""
        given = (init_settings, dotenv_settings, file_secret_settings)
        return recorded(settings_cls, *given)

    @property
    def is_development(self) -> bool:
        """True where ENVIRONMENT is ``development``."""
        return self.ENVIRONMENT == "development"

    @property
    def is_production(self) -> bool:
        """True where ENVIRONMENT is ``production``."""
        return self.ENVIRONMENT == "production"

    def explain(self) -> list[Explained]:
        """Return every setting with its source, secrets as ``***``, in field order."""
        return [
            Explained(
                name,
                redacted(name, getattr(self, name)),
                *self._trail.origins.get(name, ("default", None)),
            )
            for name in type(self).model_fields
        ]

    def findings(self) -> Iterator[Finding]:
        """Yield what is unwise; a subclass adds its own to ``super().findings()``."""
        if is_weak(self.SECRET_KEY.get_secret_value()):
            yield Finding(
                "SECRET_KEY",
                f"is guessable: take {SECRET_LENGTH} or more random characters, "
                "such as secrets.token_urlsafe(48) returns",
            )
        if self.DEBUG:
            yield Finding("DEBUG", "is on: it shows clients what is inside")
        if spells_production(self.ENVIRONMENT) and not self.is_production:
            yield Finding(
                "ENVIRONMENT",
                "looks like production and is spelt otherwise: write production",
            )
        if not self.DATABASE_URL.strip():
            yield Finding("DATABASE_URL", "is empty")
        if self.DATABASE_URL.startswith("memory"):
            yield Finding("DATABASE_URL", "is memory: a restart loses everything")
        if self.DATABASE_URL.startswith("sqlite"):
            yield Finding(
                "DATABASE_URL", "is SQLite: one process at a time may write", False
            )

    def check(self, *more: Callable[[Self], Iterable[Finding]]) -> tuple[Finding, ...]:
        """Return what is unwise in these settings.

        Args:
            more: Further checks, of modules say; each returns its findings.

        Raises:
            SettingsError: In production, where a finding is an error; also where
                ENVIRONMENT is ``prod``, ``Production`` or the like.
        """
        found = (*self.findings(), *(f for check in more for f in check(self)))
        name_of = self._trail.variable_of
        fatal = {name_of(f.variable): f.text for f in found if f.is_error}
        if fatal and spells_production(self.ENVIRONMENT):
            title = f"{type(self).__name__} is not fit for production"
            raise SettingsError(_listed(title, fatal), variables=fatal)
        return found

    @override
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redacted(name or "", value)

    # Not `when_used="json"`: before pydantic 2.14 that drops include= and exclude=.
    @model_serializer(mode="wrap")
    def _redact_json(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if info.mode != "json":
            return values
        return {name: redacted(name, value) for name, value in values.items()}


class _GetSettings:
    """Return one instance a class; see ``get_settings``."""

    # FastAPI reads this where get_settings is a dependency: no query parameters.
    __signature__ = Signature(return_annotation=Settings)

    def __init__(self) -> None:
        self._made: dict[type[Settings], Settings] = {}
        self._lock = threading.RLock()

    @overload
    def __call__(self) -> Settings: ...

    @overload
    def __call__(self, cls: type[S]) -> S: ...

    def __call__(self, cls: type[Settings] = Settings) -> Settings:
        """Return the instance of *cls*, read from the environment on first use.

        Raises:
            SettingsError: Something is missing or wrong; nothing is cached then.
        """
        with self._lock:
            if cls not in self._made:
                self._made[cls] = cls()
            return self._made[cls]

    def cache_clear(self) -> None:
        """Forget all instances, so that the next call reads the environment again."""
        with self._lock:
            self._made.clear()


get_settings = _GetSettings()
"""Return the settings of a class, read once: ``get_settings()``, or of a subclass
``get_settings(AppSettings)``. ``get_settings.cache_clear()`` forgets what was read.
It serves as a FastAPI dependency too.
"""


_NO_TEXT: Final = "lie in a file that is no text in UTF-8: .env, or one of secrets_dir"

_LIMITS: Final = frozenset(
    {"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "expected"}
)
"""What of pydantic's context comes from the field alone, and never from the value."""


def _problems(
    error: ValidationError, found: Trail, cls: type[Settings]
) -> dict[str, str]:
    """Return what is wrong by variable; pydantic's words may quote the value."""
    names = {
        key: found.variable_of(name)
        for name, field in cls.model_fields.items()
        for key in keys_of(name, field)
    }
    problems: dict[str, str] = {}
    for entry in error.errors(include_input=False, include_url=False):
        first, *rest = entry["loc"] or ("the settings",)
        name = "__".join([names.get(str(first), str(first)), *map(str, rest)])
        is_missing = entry["type"] == "missing"
        limits = [f", {n} {v}" for n, v in entry.get("ctx", {}).items() if n in _LIMITS]
        wrong = f"is not valid ({entry['type']}{''.join(limits)})"
        problems.setdefault(name, "is missing" if is_missing else wrong)
    return problems


def _raised(error: Exception, found: Trail, cls: type[Settings]) -> dict[str, str]:
    """Return what a validator raised beside ValueError, by variable, not its words."""
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    checks = [(way, getattr(f, "__code__", None)) for way, f in _checks(cls)]
    known = {code for _, code in checks}
    outermost = next((code for code in frames if code in known), "")
    names = [
        "__".join((found.variable_of(first), *rest))
        for (first, *rest), code in checks
        if code == outermost
    ]
    wrong = f"is not valid ({type(error).__name__} in {frames[-1].co_name})"
    return dict.fromkeys(names or ["the settings"], wrong)


def _checks(cls: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the validators of the fields of *cls*, and the way to each field."""
    for decorated in cls.__pydantic_decorators__.field_validators.values():
        yield from (((name,), decorated.func) for name in decorated.info.fields)
    for name, field in cls.model_fields.items():
        yield from (((name,), getattr(m, "func", None)) for m in field.metadata)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (((name, *way), check) for way, check in _checks(kind))


def _listed(title: str, problems: dict[str, str]) -> str:
    lines = (f"\n  - {name} {text}" for name, text in problems.items())
    return f"{title}:{''.join(lines)}"
