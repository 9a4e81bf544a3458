"""Which web pages may open a websocket: browsers say where they are (RFC 6454)."""

from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from layerkit.core.errors import UsageError

Origin: TypeAlias = tuple[str, str, int | None]
"""Scheme, host and port; scheme and host in lower case, the port the scheme's own."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def parse_origins(origins: Iterable[str]) -> frozenset[Origin]:
    """Return *origins* as they are compared.

    Raises:
        UsageError: One is not ``scheme://host`` or ``scheme://host:port``, or *origins*
            is a single text.
    """
    if isinstance(origins, str):
        raise UsageError(f"allowed_origins takes several: [{origins!r}]")
    parsed = set()
    for origin in origins:
        found = parse_origin(origin)
        if found is None:
            raise UsageError(
                f"{origin!r} is no origin: write scheme, host and, unless it is the "
                "scheme's own, port, such as 'https://app.example.org'"
            )
        parsed.add(found)
    return frozenset(parsed)


def parse_origin(origin: str) -> Origin | None:
    """Return *origin* as it is compared, or None where it is not an origin."""
    try:
        parts = urlsplit(origin)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    bare = f"{parts.scheme}://{parts.netloc}".lower() == origin.lower()
    if not bare or parts.hostname is None or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port
