"""What patterns declare to the factory, so that it knows none of them by name.

A type that is provided by whatever is one, under any key, is a port, and said to be one
here. A class with ``_is_shared = True`` is a singleton, as a rule, whatever it is
called; ``_not_injected()`` of a class names parameters that keep their defaults.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Port:
    """Say who provides a type of which an application has one, as a rule.

    Attributes:
        fits: Tells whether a class is one.
        missing: What to say where nothing is registered that is one.
    """

    fits: Callable[[type], bool]
    missing: str


PORTS: Final[dict[object, Port]] = {}
"""The ports by the type that a parameter asks for."""
