"""The textbook's settings, to the letter."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from layerkit.settings import Settings, get_settings

DEFAULTS = {
    "APP_NAME": "Application",
    "APP_VERSION": "1.0.0",
    "ENVIRONMENT": "development",
    "DEBUG": False,
    "DATABASE_POOL_SIZE": 20,
    "DATABASE_MAX_OVERFLOW": 30,
    "REDIS_URL": "redis://localhost:6379",
    "REDIS_PASSWORD": None,
    "ACCESS_TOKEN_EXPIRE_MINUTES": 30,
    "REFRESH_TOKEN_EXPIRE_DAYS": 7,
    "FEATURE_REGISTRATION": True,
    "FEATURE_EMAIL_VERIFICATION": True,
    "SMTP_SERVER": None,
    "SMTP_PORT": None,
    "SMTP_USERNAME": None,
    "SMTP_PASSWORD": None,
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", "k" * 40)
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db/shop")
    get_settings.cache_clear()


def test_every_field_has_the_textbooks_default() -> None:
    settings = Settings()

    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert settings.is_development
    assert not settings.is_production


def test_secrets_are_secret_and_addresses_are_shown_without_theirs() -> None:
    settings = Settings()

    assert isinstance(settings.SECRET_KEY, SecretStr)
    assert settings.DATABASE_URL == "postgresql://app:hunter2@db/shop"
    assert "hunter2" not in repr(settings)
    assert "kkkk" not in repr(settings)
    assert "***" in repr(settings)


def test_settings_are_cached_until_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_settings()
    monkeypatch.setenv("APP_NAME", "Shop")
    assert get_settings() is first

    get_settings.cache_clear()

    assert get_settings().APP_NAME == "Shop"


def test_a_dotenv_file_is_read_and_names_are_case_sensitive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("APP_NAME=FromFile\n", encoding="utf-8")
    monkeypatch.setenv("app_version", "9.9.9")

    settings = Settings()

    assert (settings.APP_NAME, settings.APP_VERSION) == ("FromFile", "1.0.0")


def test_subclasses_add_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    class ShopSettings(Settings):
        CURRENCY: str = "EUR"

    monkeypatch.setenv("CURRENCY", "SEK")

    assert get_settings(ShopSettings).CURRENCY == "SEK"
