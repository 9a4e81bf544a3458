"""How far tests search: a little, or far where HYPOTHESIS_PROFILE is full."""

import os
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

IS_FULL = os.environ.get("HYPOTHESIS_PROFILE") == "full"
SERVERS = ("sqlite", "postgresql", "mariadb")


def examples(quick: int, *, full: int) -> int:
    """Return how many examples a search looks at."""
    return full if IS_FULL else quick


def on_servers(
    first: Iterable[Any], second: Iterable[Any]
) -> Sequence[tuple[Any, ...]]:
    """Pair each value with each, on a server; the full profile pairs on all of them.

    The servers take turns such that each value of either list meets each server.
    """
    pairs = product(enumerate(first), enumerate(second), enumerate(SERVERS))
    return [
        (server, one, other)
        for (n, one), (m, other), (turn, server) in pairs
        if IS_FULL or (n + m) % len(SERVERS) == turn
    ]
