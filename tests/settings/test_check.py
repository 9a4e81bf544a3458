"""Findings: what is unwise, and fatal in production."""

from collections.abc import Iterator
from typing import Any

import pytest
from typing_extensions import override

from layerkit.core import SettingsError
from layerkit.settings import Finding, Settings

STRONG = "kT9v-Q2xL7mZ4pR8sW1yB6nC3dF5gH0jEaUo"

pytestmark = pytest.mark.usefixtures("environment")


def settings(**values: Any) -> Settings:
    given = {"SECRET_KEY": STRONG, "DATABASE_URL": "postgresql://db/app"}
    return Settings(**given | values)


def test_sound_settings_have_no_findings() -> None:
    assert settings(ENVIRONMENT="production").check() == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "changeme"),
        ("SECRET_KEY", "ab" * 20),
        ("SECRET_KEY", "your-secret-key-here-change-it-in-production"),
        ("DEBUG", True),
        ("DATABASE_URL", " "),
        ("DATABASE_URL", "memory://"),
    ],
)
def test_an_unsafe_setting_is_found_and_fatal_in_production(
    name: str, value: object
) -> None:
    [finding] = settings(**{name: value}).check()
    assert (finding.variable, finding.is_error) == (name, True)

    with pytest.raises(SettingsError, match="not fit for production") as caught:
        settings(ENVIRONMENT="production", **{name: value}).check()

    assert caught.value.variables == (name,)
    assert str(value).strip() in {"", "True"} or str(value) not in str(caught.value)


def test_a_warning_is_found_and_fatal_nowhere() -> None:
    given = settings(ENVIRONMENT="production", DATABASE_URL="sqlite+aiosqlite:///a.db")

    [finding] = given.check()

    assert (finding.variable, finding.is_error) == ("DATABASE_URL", False)


def test_subclasses_and_modules_add_findings() -> None:
    class Shop(Settings):
        CURRENCY: str = ""

        @override
        def findings(self) -> Iterator[Finding]:
            yield from super().findings()
            if not self.CURRENCY:
                yield Finding("CURRENCY", "is empty")

    def check_mail(given: Settings) -> list[Finding]:
        return [] if given.SMTP_SERVER else [Finding("SMTP_SERVER", "is empty", False)]

    shop = Shop(SECRET_KEY=STRONG, DATABASE_URL="postgresql://db")

    assert shop.check(check_mail) == (
        Finding("CURRENCY", "is empty"),
        Finding("SMTP_SERVER", "is empty", is_error=False),
    )


@pytest.mark.parametrize("name", ["prod", "Production", " production", "PRD", "live"])
def test_an_environment_that_is_all_but_production_counts_as_it(name: str) -> None:
    with pytest.raises(SettingsError, match="ENVIRONMENT looks like production"):
        settings(ENVIRONMENT=name).check()


@pytest.mark.parametrize("name", ["staging", "test", "preproduction", ""])
def test_another_environment_is_left_alone(name: str) -> None:
    assert settings(ENVIRONMENT=name).check() == ()
