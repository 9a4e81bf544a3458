"""Where entities live: the port of a home, and what memory stands on."""

__all__: list[str] = []
