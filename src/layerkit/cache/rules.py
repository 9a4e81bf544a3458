"""What a key and an expiry may be, the same on every backend."""

import math
import re
from datetime import timedelta
from typing import Final, TypeAlias

from layerkit.core.errors import UsageError

Expire: TypeAlias = float | timedelta | None
"""How long a value is kept: seconds or a timedelta; None until it is evicted."""

LONGEST_KEY: Final = 250

# C0, DEL and C1 (Unicode category Cc), and lone surrogates, which UTF-8 can't hold.
_REFUSED: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_SECONDS: Final = timedelta.max.total_seconds()


def check_key(key: object) -> str:
    """Return *key* where it can be one.

    Raises:
        UsageError: It is not text of 1 to 250 characters without control characters.
    """
    if not isinstance(key, str):
        raise UsageError(f"a cache key is text, got {type(key).__name__}: str(key)?")
    if not 0 < len(key) <= LONGEST_KEY:
        raise UsageError(
            f"a cache key has 1 to {LONGEST_KEY} characters, got {len(key)}: "
            "shorten it, or use a digest of its long part"
        )
    if _REFUSED.search(key):
        raise UsageError(
            f"the cache key {key!r} has a control character or a lone surrogate: "
            "escape what goes into the key"
        )
    return key


def to_milliseconds(expire: object) -> int | None:
    """Return *expire* in milliseconds, rounded up; None stays None.

    Raises:
        UsageError: It is zero, negative, NaN or infinite, more than ``timedelta.max``,
            or neither a number nor a timedelta.
    """
    if expire is None:
        return None
    seconds = expire.total_seconds() if isinstance(expire, timedelta) else expire
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not 0 < seconds <= _LONGEST_SECONDS
    ):
        raise UsageError(
            f"expire={expire!r} is no time to keep a value: "
            "pass seconds above zero, a timedelta, or None to keep it"
        )
    # A few units in the last place must not cost a whole millisecond.
    return max(1, math.ceil(round(seconds * 1000, 6)))
