"""The import guard of the packages that need an extra."""

from importlib import import_module

from layerkit.core.errors import MissingExtraError


def require_extra(module: str, *, package: str, extra: str) -> None:
    """Import *module*, or say which pip line brings it.

    Args:
        module: The third-party module that *package* is built on.
        package: The layerkit package that is being imported.
        extra: The extra whose installation brings *module*.

    Raises:
        MissingExtraError: *module* is not installed.
        ModuleNotFoundError: *module* is there, and something that it imports is not.
    """
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise MissingExtraError(package, needs=module, extra=extra) from error
