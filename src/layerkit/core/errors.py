"""The exception hierarchy: all that layerkit raises, and the root for one's own errors.

    AppException 500
    ├── ValidationError 422            bad data
    ├── UnauthorizedError 401
    ├── ForbiddenError 403
    ├── NotFoundError 404
    ├── ConflictError 409
    │   ├── AlreadyExistsError         a unique rule is taken
    │   ├── StaleDataError             the version moved on
    │   └── BusinessRuleError
    ├── PreconditionFailedError 412
    ├── RateLimitedError 429
    ├── NotSupportedError 501
    ├── UnavailableError 503           retryable
    ├── TimeoutExceededError 504
    └── UsageError 500                 a mistake in the calling code
        ├── UnitOfWorkError
        ├── WiringError
        ├── SettingsError
        └── MissingExtraError          also a ModuleNotFoundError

A backend translates what its driver raises into one of these at its edge, so no
driver's exception reaches a service.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, ClassVar, Literal, TypeAlias

from typing_extensions import override

from layerkit.core.codes import claim_code, names_in
from layerkit.core.logging import get_logger
from layerkit.core.serialization import json_ready

JSONObject: TypeAlias = dict[str, Any]
"""A JSON object: what ``to_dict()`` and ``to_problem()`` return."""

Facts: TypeAlias = Mapping[str, object]
"""What an error tells a client besides its message, by name."""

ConflictKind: TypeAlias = Literal[
    "unique", "foreign_key", "serialization", "deadlock", "guard", "count"
]
"""What a ConflictError is about; ``None`` where an application raises its own."""

UnavailableKind: TypeAlias = Literal["lock_timeout", "disconnected", "unreachable"]
"""What an UnavailableError is about: locked by another, cut off, or never reached."""

Translate: TypeAlias = Callable[[str, JSONObject, str], str | None]
"""Return the message of an error in the words of a locale, given its ``code``, its
``params`` and the locale; None keeps the message as it is."""

_INTERNAL = "Internal server error"

logger = get_logger("layerkit.errors")


class AppException(Exception):  # noqa: N818 - the published name of the root
    """Carry a message for people, a stable code for programs and an HTTP status.

    Args:
        message: What happened, in words that may be shown to a client.
        status_code: The HTTP status, 400 to 599.
        detail: JSON-ready facts for the client; ``{}`` when not given.

    Attributes:
        code: Stable, UPPER_SNAKE; clients switch on it, so it never changes.
        title: The same for every error of the class (RFC 9457, section 3.1.4).
        template: The message with the names of attributes in braces, for ``text()``
            and for translators; None where each message is written by hand.
        retryable: True where the same call may succeed when it is repeated.
        retry_after: How long a client should wait before it tries again.
        public: False where the message is for developers; ``to_dict()`` and
            ``to_problem()`` then show a fixed text in its place.
        logged: What logs say in place of message and detail, where these quote what a
            client sent; None where they don't.

    Raises:
        UsageError: At the definition of a subclass: its code belongs to another class
            or is not UPPER_SNAKE, or its template has more than names in its braces.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    title: ClassVar[str] = _INTERNAL
    template: ClassVar[str | None] = None
    public: bool = True
    logged: str | None = None

    retryable: bool = False
    retry_after: timedelta | None = None

    def __init__(
        self, message: str, status_code: int = 500, detail: Facts | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.detail: JSONObject = dict(detail or {})

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        problem = claim_code(vars(cls)["code"], cls) if "code" in vars(cls) else None
        try:
            names_in(cls.template or "")
        except ValueError as error:
            problem = f"{cls.__qualname__}.template can't be used: {error}"
        if problem:
            raise UsageError(problem)

    @override
    def __str__(self) -> str:
        return self.message

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with args alone, which loses keyword arguments.
        return _remade, (type(self), *self.args), self.__dict__

    @property
    def params(self) -> JSONObject:
        """What changes in the message: the attributes that ``template`` names.

        JSON-ready, and without those that are None or empty. Nothing else of the error
        gets to a translator.
        """
        given = {n: getattr(self, n, None) for n in names_in(self.template or "")}
        return {name: json_ready(v) for name, v in given.items() if _is_given(v)}

    def text(self) -> str:
        """Return the message that ``template`` makes; ``title`` where a value is unset.

        A class with a template sets its attributes first:
        ``self.item = item; super().__init__(self.text())``.
        """
        params = self.params
        if self.template is None or len(params) < len(names_in(self.template)):
            return self.title
        words = {
            name: ", ".join(map(str, value)) if isinstance(value, list) else value
            for name, value in params.items()
        }
        return self.template.format_map(words)

    def to_dict(
        self, *, translate: Translate | None = None, locale: str = ""
    ) -> JSONObject:
        """Return ``{"error": message, "detail": facts}``, the textbook's envelope.

        Args:
            translate: Puts the message into the words of *locale*.
            locale: Which, such as ``de`` or ``pt-BR``; only *translate* reads it.
        """
        facts = json_ready(self.detail if self.public else {})
        return {"error": self._shown(translate, locale), "detail": facts}

    def to_problem(
        self,
        *,
        base_uri: str | None = None,
        translate: Translate | None = None,
        locale: str = "",
    ) -> JSONObject:
        """Return the members of an RFC 9457 problem.

        ``detail`` is the message, as the RFC wants it; the facts travel as ``context``.

        Args:
            base_uri: Where your problem types are described: ``type`` is this and the
                code. Left out, ``type`` is ``about:blank`` and ``title`` the phrase of
                the status (section 4.2.1).
            translate: Puts the message into the words of *locale*.
            locale: Which, such as ``de`` or ``pt-BR``; only *translate* reads it.
        """
        problem: JSONObject = {
            "type": f"{base_uri}{self.code}" if base_uri else "about:blank",
            "title": self.title if base_uri else phrase_of(self.status_code),
            "status": self.status_code,
            "detail": self._shown(translate, locale),
            "code": self.code,
            "retryable": self.retryable,
        }
        if self.public and self.detail:
            problem["context"] = json_ready(self.detail)
        return problem

    def _shown(self, translate: Translate | None, locale: str) -> str:
        """Return the message for a client, translated where that works."""
        message = json_ready(self.message) if self.public else self.title
        if translate is None:
            return str(message)
        try:
            params = self.params if self.public else {}
            return translate(self.code, params, locale) or str(message)
        except Exception:
            logger.exception("%s could not be translated to %r", self.code, locale)
            return str(message)


def phrase_of(status_code: int) -> str:
    """Return what HTTP calls a status; "Error" for one that is not registered."""
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return "Error"


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, str | tuple) and not value)


claim_code(AppException.code, AppException)


def _remade(cls: type[AppException], *args: object) -> AppException:
    return cls.__new__(cls, *args)


class ValidationError(AppException):
    """Report data that breaks a rule: 422.

    Args:
        message: Which rule, in words for the sender of the data.
        detail: JSON-ready facts; never the rejected value.
        fields: The names of the fields at fault; they join ``detail``.
    """

    code = "VALIDATION_ERROR"
    title = "Invalid input"

    def __init__(
        self, message: str, detail: Facts | None = None, *, fields: Iterable[str] = ()
    ) -> None:
        self.fields = tuple(fields)
        facts = {"fields": list(self.fields)} if self.fields else {}
        super().__init__(message, 422, {**facts, **(detail or {})})


class UnauthorizedError(AppException):
    """Report a caller who has not proved who they are: 401."""

    code = "UNAUTHORIZED"
    title = "Unauthorized"

    def __init__(self, message: str = "Unauthorized") -> None:
        super().__init__(message, 401)


class ForbiddenError(AppException):
    """Report a caller who is known but may not do this: 403."""

    code = "FORBIDDEN"
    title = "Forbidden"

    def __init__(self, message: str = "Forbidden") -> None:
        super().__init__(message, 403)


class NotFoundError(AppException):
    """Report that a thing is not there: 404.

    Args:
        message: Left out, it is made from *entity* and *entity_id*.
        entity: The class, or its name, of what was looked for.
        entity_id: The identity that was asked for.
    """

    code = "NOT_FOUND"
    title = "Resource not found"
    template = "no {entity} with id {entity_id}"

    def __init__(
        self,
        message: str | None = None,
        *,
        entity: type | str | None = None,
        entity_id: object = None,
    ) -> None:
        self.entity = entity.__name__ if isinstance(entity, type) else entity
        self.entity_id = entity_id
        detail: JSONObject = {}
        if self.entity is not None:
            detail = {"entity": self.entity, "id": json_ready(entity_id)}
        super().__init__(message or self.text(), 404, detail)


class ConflictError(AppException):
    """Report that the state of things does not allow this: 409.

    Args:
        message: What is in the way, without the colliding value.
        kind: What sort of rule it was; ``None`` for an application's own.
        constraint: The database's name of the rule; for logs, never for clients.
        fields: The fields that the rule covers.
    """

    code = "CONFLICT"
    title = "Conflict"

    def __init__(
        self,
        message: str,
        *,
        kind: ConflictKind | None = None,
        constraint: str | None = None,
        fields: Iterable[str] = (),
    ) -> None:
        self.kind = kind
        self.constraint = constraint
        self.fields = tuple(fields)
        # A unit of work that lost a race is worth repeating as a whole.
        self.retryable = kind in {"serialization", "deadlock"}
        detail: JSONObject = {"kind": kind} if kind else {}
        if self.fields:
            detail["fields"] = list(self.fields)
        super().__init__(message, 409, detail)


class AlreadyExistsError(ConflictError):
    """Report that a unique rule is taken: 409.

    The text names the fields and never the value, so that nobody can list accounts by
    it.
    """

    code = "ALREADY_EXISTS"
    title = "Already exists"
    template = "{fields} already exists"

    def __init__(
        self,
        message: str | None = None,
        *,
        kind: ConflictKind | None = "unique",
        constraint: str | None = None,
        fields: Iterable[str] = (),
    ) -> None:
        self.fields = tuple(fields)
        super().__init__(
            message or self.text(), kind=kind, constraint=constraint, fields=self.fields
        )


class StaleDataError(ConflictError):
    """Report that what was read has been changed by another since: 409.

    Args:
        message: What is stale.
        kind: ``serialization`` where the unit of work itself had read it, so that it
            reads it again when repeated; ``None`` where a caller named the version.
    """

    code = "STALE_DATA"
    title = "Stale data"
    template = "The data was changed by another; read it again"

    def __init__(
        self, message: str | None = None, *, kind: ConflictKind | None = None
    ) -> None:
        super().__init__(message or self.text(), kind=kind)


class BusinessRuleError(ConflictError):
    """Report that a rule of the domain forbids this in the present state: 409."""

    code = "BUSINESS_RULE"
    title = "Business rule violated"


class PreconditionFailedError(AppException):
    """Report that a condition of the request, such as If-Match, does not hold: 412."""

    code = "PRECONDITION_FAILED"
    title = "Precondition failed"

    def __init__(self, message: str = "Precondition failed") -> None:
        super().__init__(message, 412)


class _RetryLater(AppException):
    """What clients may repeat, with an optional time to wait."""

    _status: ClassVar[int]
    retryable = True

    def __init__(
        self, message: str | None = None, *, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message or self.title, self._status)
        self.retry_after = retry_after


class RateLimitedError(_RetryLater):
    """Report that the caller asked too often: 429."""

    code = "RATE_LIMITED"
    title = "Too many requests"
    _status = 429


class NotSupportedError(AppException):
    """Report that this backend can't do what was asked: 501."""

    code = "NOT_SUPPORTED"
    title = "Not supported"

    def __init__(self, message: str = "Not supported") -> None:
        super().__init__(message, 501)


class UnavailableError(_RetryLater):
    """Report that something needed is down, locked or out of reach: 503.

    Attributes:
        kind: Which of these, where it is known.
    """

    code = "UNAVAILABLE"
    title = "Service unavailable"
    _status = 503

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: timedelta | None = None,
        kind: UnavailableKind | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.kind = kind


class TimeoutExceededError(AppException):
    """Report that the time allowed ran out: 504."""

    code = "TIMEOUT_EXCEEDED"
    title = "Timeout exceeded"

    def __init__(self, message: str = "Timeout exceeded") -> None:
        super().__init__(message, 504)


class UsageError(AppException):
    """Report a mistake in the calling code; clients see a plain 500.

    Args:
        message: What was asked, what was found, what to do.
        value: What was given, where it is a value that does not fit.
        expected: What would have fit, in words that clients may see: where the client
            has sent the value, ``layerkit.fastapi`` answers 422 with them.
    """

    code = "USAGE_ERROR"
    public = False

    def __init__(
        self, message: str, *, value: object = None, expected: str | None = None
    ) -> None:
        self.value, self.expected = value, expected
        super().__init__(message, 500)


class UnitOfWorkError(UsageError):
    """Report a unit of work that is used against its rules, or is past use."""

    code = "UNIT_OF_WORK_ERROR"


class WiringError(UsageError):
    """Report services that can't be put together: missing, cyclic or captive needs.

    Args:
        message: All problems in words.
        problems: One sentence each.
    """

    code = "WIRING_ERROR"

    def __init__(self, message: str, *, problems: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class SettingsError(UsageError):
    """Report settings that are missing or wrong, by variable name and never by value.

    Args:
        message: All problems in words.
        variables: The names of the variables at fault.
    """

    code = "SETTINGS_ERROR"

    def __init__(self, message: str, *, variables: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.variables = tuple(variables)


class MissingExtraError(UsageError, ModuleNotFoundError):
    """Report an optional package that is not installed, with the pip line that adds it.

    It is an ImportError too, so ``except ImportError`` and ``pytest.importorskip`` see
    it.

    Args:
        package: The layerkit package that was imported, such as ``layerkit.redis``.
        needs: The module that is missing; ImportError's ``name``.
        extra: The extra that brings it.
    """

    code = "MISSING_EXTRA"

    def __init__(self, package: str, *, needs: str, extra: str) -> None:
        super().__init__(f"{package} needs {needs!r}: pip install 'layerkit[{extra}]'")
        self.name = needs
        self.extra = extra

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        # ImportError keeps `name` outside of __dict__.
        return _remade, (type(self), *self.args), {**vars(self), "name": self.name}
