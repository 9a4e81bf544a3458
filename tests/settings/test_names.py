"""Settings by the real names of their variables, and lists of every kind."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from layerkit.core import SettingsError
from layerkit.settings import Explained, Finding, Settings
from tests.settings.conftest import SetEnvironment

DSN = "postgresql://db/app"
SECRET = "hunter2-and-more"


@pytest.fixture
def environment(environment: SetEnvironment) -> SetEnvironment:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN)
    environment(APP_SECRET_KEY=SECRET, APP_DATABASE_URL=DSN)
    return environment


def upper(name: str) -> str:
    return f"X_{name}"


class Mail(BaseModel):
    HOST: str = "mail"
    PORTS: list[int] = Field(default_factory=list)
    PASSWORD: SecretStr | None = None


class Aliased(Settings):
    model_config = SettingsConfigDict(env_nested_delimiter="__", populate_by_name=True)

    CHOICE: int = Field(0, validation_alias=AliasChoices("B1", "B2"))
    PLAIN: int = Field(0, alias="C1")
    PART: int = Field(0, validation_alias=AliasPath("D1", 1))
    MAIL: Mail = Mail()


class Prefixed(Settings):
    model_config = SettingsConfigDict(env_prefix="APP_", env_nested_delimiter="__")

    CHOICE: int = Field(0, validation_alias=AliasChoices("B1", "B2"))
    MAIL: Mail = Mail()


class Generated(Settings):
    model_config = SettingsConfigDict(alias_generator=upper)

    COUNT: int = 0


class Insensitive(Settings):
    model_config = SettingsConfigDict(env_prefix="app_", case_sensitive=False)


def row(settings: Settings, name: str) -> Explained:
    return next(each for each in settings.explain() if each.name == name)


@pytest.mark.parametrize(
    ("cls", "name", "variable", "value"),
    [
        (Aliased, "CHOICE", "B1", "7"),
        (Aliased, "CHOICE", "B2", "7"),
        (Aliased, "PLAIN", "C1", "7"),
        (Aliased, "PLAIN", "PLAIN", "7"),
        (Aliased, "PART", "D1", "[1, 7]"),
        (Aliased, "MAIL", "MAIL", '{"HOST": "x"}'),
        (Aliased, "MAIL", "MAIL__HOST", "x"),
        (Prefixed, "APP_NAME", "APP_APP_NAME", "x"),
        (Prefixed, "CHOICE", "B2", "7"),
        (Prefixed, "MAIL", "APP_MAIL__HOST", "x"),
        (Insensitive, "APP_NAME", "app_app_name", "x"),
    ],
)
def test_explain_says_which_variable_a_setting_came_from(
    environment: SetEnvironment,
    cls: type[Settings],
    name: str,
    variable: str,
    value: str,
) -> None:
    environment(**{variable: value})

    found = row(cls(), name)

    assert (found.source, found.variable) == ("environment", variable)


def test_explain_says_which_variable_of_a_generated_alias_was_read(
    environment: SetEnvironment,
) -> None:
    environment(X_SECRET_KEY=SECRET, X_DATABASE_URL=DSN, X_COUNT="7")

    found = row(Generated(), "COUNT")

    assert found == Explained("COUNT", 7, "environment", "X_COUNT")


@pytest.mark.usefixtures("environment")
def test_explain_knows_arguments_by_alias_and_by_name() -> None:
    given = Aliased(B2=7, PLAIN=8)

    assert row(given, "CHOICE") == Explained("CHOICE", 7, "argument")
    assert row(given, "PLAIN") == Explained("PLAIN", 8, "argument")
    assert row(given, "PART") == Explained("PART", 0, "default")


@pytest.mark.usefixtures("environment")
def test_explain_names_the_variable_of_other_sources(tmp_path: Path) -> None:
    Path(".env").write_text("B2=7")
    (tmp_path / "APP_SMTP_SERVER").write_text("mail")

    assert row(Aliased(), "CHOICE") == Explained("CHOICE", 7, ".env", "B2")
    found = row(Prefixed(_secrets_dir=tmp_path), "SMTP_SERVER")
    assert (found.value, found.source) == ("mail", "secrets")


@pytest.mark.parametrize(
    ("cls", "pointer", "name"),
    [
        (Prefixed, "APP_SMTP_PASSWORD_FILE", "SMTP_PASSWORD"),
        (Prefixed, "B2_FILE", "CHOICE"),
        (Aliased, "C1_FILE", "PLAIN"),
        (Insensitive, "App_Smtp_Password_File", "SMTP_PASSWORD"),
    ],
)
def test_a_file_is_named_by_the_real_name_of_the_variable(
    environment: SetEnvironment,
    tmp_path: Path,
    cls: type[Settings],
    pointer: str,
    name: str,
) -> None:
    (tmp_path / "secret").write_text("7")
    environment(**{pointer: str(tmp_path / "secret")})

    found = row(cls(), name)

    assert (found.source, found.value in {7, "***"}) == ("file", True)


# Errors


@pytest.mark.parametrize(
    ("cls", "variables", "problem"),
    [
        (Prefixed, {"APP_DEBUG": "x"}, "APP_DEBUG is not valid (bool_parsing)"),
        (Prefixed, {"B2": "x"}, "B2 is not valid (int_parsing)"),
        (Aliased, {"C1": "x"}, "C1 is not valid (int_parsing)"),
        (Aliased, {"D1": '["a", "b"]'}, "D1__1 is not valid (int_parsing)"),
        (Aliased, {"D1": "x"}, "D1 is not valid (JSON expected)"),
        (Aliased, {"MAIL__PORTS": "1, x"}, "MAIL__PORTS__1 is not valid (int_parsing)"),
        (Aliased, {"MAIL": "x"}, "MAIL is not valid (JSON expected)"),
        (Prefixed, {"APP_MAIL__PORTS": "[x"}, "APP_MAIL__PORTS is not valid (JSON"),
        (Prefixed, {"APP_MAIL__PORTS": "x"}, "APP_MAIL__PORTS__0 is not"),
    ],
)  # fmt: skip
def test_an_error_names_the_variable_that_was_read(
    environment: SetEnvironment,
    cls: type[Settings],
    variables: dict[str, str],
    problem: str,
) -> None:
    environment(**variables)

    with pytest.raises(SettingsError) as caught:
        cls()

    assert problem in caught.value.message
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("cls", "variables"),
    [
        (Prefixed, ("APP_SECRET_KEY", "APP_DATABASE_URL")),
        (Generated, ("X_SECRET_KEY", "X_DATABASE_URL")),
    ],
)
def test_what_is_missing_is_named_as_it_is_to_be_set(
    monkeypatch: pytest.MonkeyPatch,
    environment: SetEnvironment,
    cls: type[Settings],
    variables: tuple[str, ...],
) -> None:
    environment()
    for name in ("SECRET_KEY", "APP_SECRET_KEY", "APP_DATABASE_URL"):
        monkeypatch.delenv(name)

    with pytest.raises(SettingsError) as caught:
        cls()

    assert caught.value.variables == variables
    assert f"{variables[0]} is missing" in caught.value.message


def test_a_finding_is_fatal_by_the_name_of_the_variable(
    environment: SetEnvironment,
) -> None:
    environment(APP_ENVIRONMENT="production")

    with pytest.raises(SettingsError) as caught:
        Prefixed().check(lambda _: [Finding("OTHER", "is odd")])

    assert caught.value.variables == ("APP_SECRET_KEY", "OTHER")


def test_a_secret_that_is_no_list_is_refused_without_its_text(
    environment: SetEnvironment, tmp_path: Path
) -> None:
    class Limited(Settings):
        LIMITS: dict[str, int] = Field(default_factory=dict)

    environment()
    (tmp_path / "LIMITS").write_text("hunter2")

    with pytest.raises(SettingsError, match="LIMITS is not valid") as caught:
        Limited(_secrets_dir=tmp_path)

    assert caught.value.__context__ is None


# Near misses


@pytest.mark.parametrize(
    ("cls", "miss", "meant"),
    [
        (Prefixed, "APP_REDIS_PASWORD", "APP_REDIS_PASSWORD"),
        (Prefixed, "app_redis_password", "APP_REDIS_PASSWORD"),
        (Aliased, "SMTP_SERVR", "SMTP_SERVER"),
        (Insensitive, "APP_SMTP_SERVR", "app_smtp_server"),
    ],
)
def test_a_variable_that_is_spelt_wrongly_is_warned_of(
    environment: SetEnvironment,
    caplog: pytest.LogCaptureFixture,
    cls: type[Settings],
    miss: str,
    meant: str,
) -> None:
    environment(**{miss: "hunter2"})

    cls()

    assert len(caplog.records) == 1
    assert f"is {meant} meant?" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("cls", "variables"),
    [
        (Prefixed, {"SMTP_SERVR": "x", "DATABASE_POOL_SIZE": "5"}),
        (Prefixed, {"APP_HOME": "x", "OTHER_REDIS_PASSWORD": "x"}),
        (Aliased, {"B2": "1", "B3X": "2", "MAIL__HOST": "x"}),
    ],
)
def test_a_variable_of_somebody_else_is_not_warned_of(
    environment: SetEnvironment,
    caplog: pytest.LogCaptureFixture,
    cls: type[Settings],
    variables: dict[str, str],
) -> None:
    environment(**variables)

    cls()

    assert caplog.records == []


def test_a_variable_that_is_read_is_not_taken_for_its_neighbour(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    class Neighbours(Settings):
        LARGEST_LIMIT_A: int = 0
        LARGEST_LIMIT_B: int = 0

    environment(LARGEST_LIMIT_A="1")

    Neighbours()

    assert caplog.records == []


# Lists


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Sequence[str], "a, b", ["a", "b"]),
        (Sequence[str] | None, "a, b", ["a", "b"]),
        (list[str] | None, "a", ["a"]),
        (list, "a,b", ["a", "b"]),
        (list[int], "1", [1]),
        (list[int], "[1, 2]", [1, 2]),
        (tuple[str, ...], "a, b", ("a", "b")),
        (tuple[int, str], "1, b", (1, "b")),
        (set[int], "1, 2", {1, 2}),
        (frozenset[int], "1, 2", frozenset({1, 2})),
        (AbstractSet[str], "a, b", frozenset({"a", "b"})),
        (Collection[str], "a, b", ["a", "b"]),
        (list[str] | str, "a, b", ["a", "b"]),
        (dict[str, int] | str, "a", "a"),
        (Annotated[str | list[str], NoDecode], "a, b", "a, b"),
        (str, "a, b", "a, b"),
        (bytes, "a, b", b"a, b"),
    ],
)
def test_a_list_of_any_kind_may_be_written_with_commas(
    environment: SetEnvironment, annotation: Any, text: str, value: object
) -> None:
    class Listed(Settings):
        ITEMS: annotation

    environment(ITEMS=text)

    given = Listed().ITEMS

    assert given == value
    assert type(given) is type(value)


def test_lists_in_nested_settings_and_secrets_may_be_written_with_commas(
    environment: SetEnvironment, tmp_path: Path
) -> None:
    class Nested(Aliased):
        TAGS: dict[str, str] = Field(default_factory=dict)
        HOSTS: Sequence[str] = ()

    (tmp_path / "HOSTS").write_text("a, b\n")
    environment(MAIL__PORTS="1, 2", TAGS__A="x, y")

    given = Nested(_secrets_dir=tmp_path)

    assert given.MAIL.PORTS == [1, 2]
    assert given.TAGS == {"A": "x, y"}
    assert given.HOSTS == ["a", "b"]
