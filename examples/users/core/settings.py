"""The settings of the application, read from its environment."""

from layerkit.settings import Settings


class AppSettings(Settings):
    """Add what this application needs to layerkit's settings.

    ``DATABASE_URL`` picks where users are kept: ``memory://``, ``sqlite:///users.db``
    or ``postgresql://user:password@host/name``.
    """

    APP_NAME: str = "Users"
    HOST: str = "127.0.0.1"
    PORT: int = 8000
    ALLOWED_ORIGINS: tuple[str, ...] = (
        "http://127.0.0.1:8000",
        "http://localhost:8000",
    )
    """The web pages that may open a websocket."""
