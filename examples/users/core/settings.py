"""The settings of the application, read from its environment."""

from typing import Annotated

from pydantic import Field, SecretStr

from layerkit.settings import Settings


class AppSettings(Settings):
    """Add what this application needs to layerkit's settings.

    ``DATABASE_URL`` picks where users are kept: ``memory://``, ``sqlite:///users.db``
    or ``postgresql://user:password@host/name``.
    """

    APP_NAME: str = "Users"
    HOST: str = "127.0.0.1"
    PORT: Annotated[int, Field(ge=0, le=65_535)] = 8000
    SECRET_KEY: Annotated[SecretStr, Field(min_length=16)]
    """What the cursors of pages are signed with."""
    ALLOWED_ORIGINS: tuple[str, ...] = (
        "http://127.0.0.1:8000",
        "http://localhost:8000",
    )
    """The web pages that may open a websocket."""
