"""Where entities live: the port of a home, and what memory is built on."""

__all__: list[str] = []
