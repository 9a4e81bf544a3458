"""Names of base classes that a subclass takes by accident are refused."""

from collections.abc import Collection
from types import FunctionType

from layerkit.core.errors import UsageError


def refuse_accidents(cls: type, steps: Collection[str]) -> None:
    """Refuse a method of *cls* that takes the place of one of ours by its name alone.

    A step is there to be written, and what is marked with ``override`` is meant; a
    helper that happens to have the name would be called in place of ours.

    Args:
        cls: A new class.
        steps: What subclasses are to write.

    Raises:
        UsageError: There is one; it names the steps.
    """
    ours = [base for base in cls.__mro__[1:] if base.__module__.startswith("layerkit.")]
    for name, given in vars(cls).items():
        is_meant = getattr(getattr(given, "fget", given), "__override__", False)
        if is_meant or name in steps or name.startswith("__"):
            continue
        for base in ours:
            if isinstance(vars(base).get(name), FunctionType | property):
                raise UsageError(
                    f"{cls.__name__}.{name} takes the place of {base.__name__}.{name}, "
                    "which is no step of a home: give it another name, or mark it with "
                    f"typing.override. The steps are {', '.join(sorted(steps))}"
                )
