"""How a double is told to fail."""

from layerkit.core.errors import UsageError


class Failures:
    """Let the methods of a double raise what a test says; mix it into a double."""

    def __init__(self) -> None:
        self._planned: list[tuple[str | None, Exception]] = []

    def fail_next(
        self, error: Exception, *, method: str | None = None, times: int = 1
    ) -> None:
        """Raise *error* from the next calls, before they do anything.

        Args:
            error: What is raised.
            method: The method that fails, such as ``set``; any when not given.
            times: How many calls fail; plans are used up in the order they were made.

        Raises:
            UsageError: The double has no such method.
        """
        if method is not None and not callable(getattr(self, method, None)):
            raise UsageError(f"{type(self).__name__} has no method {method!r} to fail")
        self._planned.extend([(method, error)] * times)

    def _fail_if_planned(self, method: str) -> None:
        """Raise what is planned for *method*; a double calls this first."""
        for index, (planned, error) in enumerate(self._planned):
            if planned in {None, method}:
                del self._planned[index]
                raise error
