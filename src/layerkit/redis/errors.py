"""What redis-py raises, as errors of layerkit; no address and no password in them."""

from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import TimeoutError as LateAnswerError

from layerkit.core.errors import (
    AppException,
    TimeoutExceededError,
    UnavailableError,
    UsageError,
)
from layerkit.core.redaction import redacted_text

DRIVER_ERRORS: Final = (RedisError, OSError)
"""What a command may raise."""

_DENIED: Final = (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
)
_DENIED_IN_SCRIPT: Final = ("ACL failure in script", "can't run this command")
"""What Valkey and Redis say where the user may run a script, and not what is in it."""
_LATE: Final = (LateAnswerError, TimeoutError)
_LOST: Final = (*_LATE, LostConnectionError, OSError)
_BUSY: Final = (BusyLoadingError, MaxConnectionsError)
_FULL: Final = (OutOfMemoryError, ReadOnlyError, ClusterDownError)
_UNABLE: Final = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY", "TRYAGAIN", "OOM")
_UNKNOWN: Final = (
    "the connection to Redis was lost during the commit: whether it is stored is "
    "unknown. Read it back before you repeat it"
)


def translate(error: Exception, *, commits: bool = False) -> AppException:
    """Return the error of ours that says what *error* does.

    Args:
        error: One of ``DRIVER_ERRORS``.
        commits: True where the command was to store a unit of work.
    """
    text = str(error)
    if isinstance(error, _DENIED) or any(words in text for words in _DENIED_IN_SCRIPT):
        denied = UnavailableError(
            "Redis refused the client's user, password or permissions: check the "
            "client that the RedisDatabase was given"
        )
        denied.public = False
        denied.retryable = False
        return denied
    if isinstance(error, _BUSY):
        return UnavailableError("Redis has no place for the client yet; try again")
    if isinstance(error, _LOST):
        return _lost(error, commits=commits)
    if isinstance(error, _FULL) or text.startswith(_UNABLE):
        return UnavailableError("Redis does not take what is written at present")
    if "WRONGTYPE" in text:
        return UsageError(
            "a key of the RedisDatabase's prefix holds something else: give it a "
            "prefix of its own"
        )
    return UsageError(f"Redis refused a command: {redacted_text(text)}")


def _lost(error: Exception, *, commits: bool) -> AppException:
    timed_out = isinstance(error, _LATE)
    if commits:
        lost: AppException
        lost = (
            TimeoutExceededError(_UNKNOWN) if timed_out else UnavailableError(_UNKNOWN)
        )
        lost.retryable = False
        return lost
    if timed_out:
        late = TimeoutExceededError("Redis did not answer in time; try again")
        late.retryable = True
        return late
    return UnavailableError("Redis can't be reached; try again")
