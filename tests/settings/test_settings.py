"""Settings: fields, sources, errors."""

import logging
import pickle
import traceback
from pathlib import Path
from typing import Any, assert_type

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import AnyUrl, BaseModel, Field, PostgresDsn, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict, utils

from layerkit.core import SettingsError
from layerkit.settings import Explained, Settings, get_settings
from tests.settings.conftest import SetEnvironment

DSN = "postgresql://app:hunter2@db/app"
SECRET = "hunter2-and-more"


class AppSettings(Settings):
    HOSTS: list[str] = Field(default_factory=list)
    PORTS: set[int] | None = None
    LIMITS: dict[str, int] = Field(default_factory=dict)
    SHORT: str = Field("a", max_length=3)

    @field_validator("SHORT")
    @classmethod
    def check_short(cls, value: str) -> str:
        if value == "bad":
            raise ValueError(f"not {value}")
        return value


def settings(**values: Any) -> AppSettings:
    return AppSettings(**{"SECRET_KEY": SECRET, "DATABASE_URL": DSN} | values)


@pytest.mark.usefixtures("environment")
def test_the_fields_have_the_textbooks_names_and_defaults() -> None:
    given = Settings(SECRET_KEY=SECRET, DATABASE_URL=DSN)

    assert isinstance(given.SECRET_KEY, SecretStr)
    assert given.SECRET_KEY.get_secret_value() == SECRET
    assert given.model_dump(exclude={"SECRET_KEY"}) == {
        "APP_NAME": "Application",
        "APP_VERSION": "1.0.0",
        "ENVIRONMENT": "development",
        "DEBUG": False,
        "DATABASE_URL": DSN,
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


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("name", "is_development", "is_production"),
    [("development", True, False), ("production", False, True), ("test", False, False)],
)
def test_the_environment_is_known_by_its_name(
    name: str, is_development: bool, is_production: bool
) -> None:
    given = settings(ENVIRONMENT=name)

    assert given.is_development is is_development
    assert given.is_production is is_production


# Sources


def test_variables_are_read_by_their_very_names(environment: SetEnvironment) -> None:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN, DEBUG="true", app_name="other")

    given = Settings()

    assert given.DEBUG is True
    assert given.DATABASE_URL == DSN
    assert given.APP_NAME == "Application"


def test_argument_comes_before_environment_before_file_before_dotenv(
    environment: SetEnvironment, tmp_path: Path
) -> None:
    names = ["APP_NAME", "APP_VERSION", "ENVIRONMENT", "SMTP_SERVER"]
    lines = [f"{name}=dotenv" for name in names]
    Path(".env").write_text("\n".join([*lines, "OTHER=x"]))
    (tmp_path / "secret").write_text("file\n")
    environment(
        SECRET_KEY=SECRET,
        DATABASE_URL=DSN,
        APP_NAME="variable",
        APP_VERSION="variable",
        ENVIRONMENT_FILE=str(tmp_path / "secret"),
    )

    given = AppSettings(APP_NAME="argument")

    assert [getattr(given, name) for name in names] == [
        *("argument", "variable", "file", "dotenv")
    ]
    sources = {row.name: row.source for row in given.explain()}
    assert [sources[name] for name in names] == [
        *("argument", "environment", "file", ".env")
    ]
    assert sources["DEBUG"] == "default"


def test_another_env_file_can_be_named(environment: SetEnvironment) -> None:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN)
    Path("test.env").write_text("APP_NAME=test")

    assert Settings(_env_file="test.env").APP_NAME == "test"


def test_a_directory_of_secrets_can_be_named(
    environment: SetEnvironment, tmp_path: Path
) -> None:
    environment(DATABASE_URL=DSN)
    (tmp_path / "SECRET_KEY").write_text(SECRET)

    given = Settings(_secrets_dir=tmp_path)

    assert given.SECRET_KEY.get_secret_value() == SECRET
    assert {r.name: r.source for r in given.explain()}["SECRET_KEY"] == "secrets"


def test_a_prefix_holds_for_variables_and_files(
    environment: SetEnvironment, tmp_path: Path
) -> None:
    class Prefixed(Settings):
        model_config = SettingsConfigDict(env_prefix="SHOP_")

    (tmp_path / "key").write_text(SECRET)
    environment(SHOP_DATABASE_URL=DSN, SHOP_SECRET_KEY_FILE=str(tmp_path / "key"))

    assert Prefixed().SECRET_KEY.get_secret_value() == SECRET


def test_a_pointer_that_is_a_field_itself_points_at_nothing(
    environment: SetEnvironment,
) -> None:
    class Certificates(Settings):
        CERT: str = "none"
        CERT_FILE: str = ""

    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN, CERT_FILE="/nowhere.pem")

    given = Certificates()

    assert (given.CERT, given.CERT_FILE) == ("none", "/nowhere.pem")


def test_a_variable_and_its_file_at_once_are_refused(
    environment: SetEnvironment,
) -> None:
    environment(SECRET_KEY=SECRET, SECRET_KEY_FILE="/run/key", DATABASE_URL=DSN)

    with pytest.raises(SettingsError) as caught:
        Settings()

    assert caught.value.message == (
        "SECRET_KEY and SECRET_KEY_FILE are both set: keep one"
    )
    assert caught.value.variables == ("SECRET_KEY", "SECRET_KEY_FILE")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * 1_048_577])
def test_a_file_that_can_not_be_read_is_named_by_its_variable(
    environment: SetEnvironment, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "hunter2"
    if content is not None:
        path.write_bytes(content)
    environment(SECRET_KEY_FILE=str(path), DATABASE_URL=DSN)

    with pytest.raises(SettingsError, match="SECRET_KEY_FILE names a file") as caught:
        Settings()

    assert "hunter2" not in caught.value.message
    assert caught.value.variables == ("SECRET_KEY_FILE",)


# Lists


@pytest.mark.defect("F23")
@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("a", ["a"]),
        ("a, b ,c,", ["a", "b", "c"]),
        ("", []),
        ('["a", "b,c"]', ["a", "b,c"]),
    ],
)
def test_a_list_may_be_written_with_commas_or_as_json(
    environment: SetEnvironment, text: str, hosts: list[str]
) -> None:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN, HOSTS=text, PORTS="1,2")
    Path(".env").write_text('LIMITS={"a": 1}')

    given = AppSettings()

    assert hosts == given.HOSTS
    assert {1, 2} == given.PORTS
    assert given.LIMITS == {"a": 1}


# What is missing or wrong


@pytest.mark.usefixtures("environment")
def test_missing_variables_are_named_all_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings()

    assert caught.value.message == (
        "Settings can't be read from the environment:"
        "\n  - SECRET_KEY is missing\n  - DATABASE_URL is missing"
    )
    assert caught.value.variables == ("SECRET_KEY", "DATABASE_URL")


@pytest.mark.defect("F20")
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("DATABASE_POOL_SIZE", "hunter2", "is not valid (int_parsing)"),
        ("DEBUG", "hunter2", "is not valid (bool_parsing)"),
        ("DATABASE_POOL_SIZE", "", "is not valid (int_parsing)"),
        ("DATABASE_POOL_SIZE", "9" * 5000, "is not valid (int_parsing"),
        ("DATABASE_POOL_SIZE", "1.5hunter2", "is not valid (int_parsing"),
        ("SHORT", "hunter2" * 10_000, "(string_too_long, max_length 3)"),
        ("SHORT", "hunter2", "(string_too_long, max_length 3)"),
        ("SHORT", "bad", "is not valid (value_error)"),
        ("LIMITS", "hunter2", "is not valid (JSON expected)"),
        ("HOSTS", "[hunter2", "is not valid (JSON expected)"),
        ("LIMITS", '{"a": "hunter2"}', "is not valid"),
    ],
)
def test_an_error_names_the_variable_and_never_a_value(
    environment: SetEnvironment, name: str, value: str, problem: str
) -> None:
    environment(**{"SECRET_KEY": SECRET, "DATABASE_URL": DSN, name: value})

    with pytest.raises(SettingsError) as caught:
        AppSettings()

    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert name in error.message
    assert problem in error.message
    assert "hunter2" not in shown
    assert error.variables[0].startswith(name)
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.usefixtures("environment")
@pytest.mark.defect("F20")
def test_validating_a_mapping_shows_no_value_either() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.model_validate({"SECRET_KEY": SECRET, "DEBUG": "hunter2"})

    assert caught.value.variables == ("DEBUG", "DATABASE_URL")


@pytest.mark.usefixtures("environment")
def test_a_rule_over_all_fields_is_reported_without_a_name() -> None:
    class Ruled(Settings):
        def model_post_init(self, context: Any, /) -> None:  # type: ignore[explicit-override] # kept short
            super().model_post_init(context)
            Strict.model_validate({})

    class Strict(BaseModel):
        needed: int

    with pytest.raises(SettingsError, match="needed is missing"):
        Ruled(SECRET_KEY=SECRET, DATABASE_URL=DSN)


@pytest.mark.defect("F22")
@pytest.mark.parametrize("miss", ["DATABSE_URL", "database_url"])
def test_a_near_miss_is_shown_beside_what_is_missing(
    environment: SetEnvironment, miss: str
) -> None:
    environment(**{"SECRET_KEY": SECRET, miss: DSN})

    with pytest.raises(SettingsError) as caught:
        Settings()

    assert f"DATABASE_URL is missing ({miss} is set: is it meant?)" in str(caught.value)


@pytest.mark.defect("F22")
def test_a_near_miss_of_an_optional_variable_is_logged(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN, REDIS_PASWORD="hunter2")

    Settings()

    assert [record.getMessage() for record in caplog.records] == [
        "REDIS_PASWORD is set and unknown: is REDIS_PASSWORD meant?"
    ]


def test_variables_that_resemble_nothing_are_left_alone(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN, PATH="/bin", HOME="/root")

    Settings()

    assert caplog.records == []


# Redaction


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (DSN, "postgresql://app:***@db/app"),
        ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
        ("mysql://app:hunter2@p@ss@db", "mysql://app:***@db"),
        (
            "postgresql://db/app?password=hunter2&x=1",
            "postgresql://db/app?password=***&x=1",
        ),
        ("sqlite+aiosqlite:///app.db", "sqlite+aiosqlite:///app.db"),
    ],
)
def test_addresses_are_shown_without_their_passwords(url: str, shown: str) -> None:
    given = settings(DATABASE_URL=url)

    assert url == given.DATABASE_URL
    assert f"DATABASE_URL={shown!r}" in repr(given)
    assert f'"DATABASE_URL":"{shown}"' in given.model_dump_json()


@pytest.mark.usefixtures("environment")
def test_secrets_are_shown_nowhere() -> None:
    class Secretive(Settings):
        API_KEY: str = "hunter2"
        EMPTY_TOKEN: str = ""
        BACKENDS: dict[str, str] = Field(
            default_factory=lambda: {"password": "hunter2", "name": "x"}
        )
        REPLICAS: tuple[str, ...] = (DSN,)

    given = Secretive(
        SECRET_KEY="hunter2", DATABASE_URL=DSN, SMTP_PASSWORD=SecretStr("hunter2")
    )

    for shown in (
        repr(given),
        str(given),
        given.model_dump_json(),
        str(given.explain()),
    ):
        assert "hunter2" not in shown
    assert "EMPTY_TOKEN=''" in repr(given)
    assert "'name': 'x'" in repr(given)


class Mail(BaseModel):
    host: str = "mail"
    password: str = "hunter2"
    relays: tuple[AnyUrl, ...] = (AnyUrl("smtp://app:hunter2@relay"),)


@pytest.mark.defect("F20")
@pytest.mark.usefixtures("environment")
def test_secrets_of_nested_models_and_of_other_types_are_shown_nowhere() -> None:
    class Nested(Settings):
        MAIL: Mail = Mail()
        BACKUP: PostgresDsn = PostgresDsn("postgresql://app:hunter2@db/app")
        SIGNING_TOKEN: bytes = b"hunter2"
        SALT: bytes = b"plain"
        DB_PASS: str = "hunter2"
        AGES: dict[str, int] = Field(default_factory=lambda: {"a": 1})

    given = Nested(SECRET_KEY="hunter2", DATABASE_URL=DSN)

    rows = {row.name: row.value for row in given.explain()}
    for shown in (repr(given), given.model_dump_json(), str(rows)):
        assert "hunter2" not in shown
    assert rows["MAIL"] == {
        "host": "mail", "password": "***", "relays": ["smtp://app:***@relay"],
    }  # fmt: skip
    assert rows["BACKUP"] == "postgresql://app:***@db/app"
    assert (rows["SIGNING_TOKEN"], rows["SALT"]) == ("***", b"plain")
    assert rows["AGES"] == {"a": 1}


@pytest.mark.usefixtures("environment")
def test_explain_shows_value_and_source_of_every_setting() -> None:
    rows = settings().explain()

    assert [row.name for row in rows] == list(AppSettings.model_fields)
    assert rows[4] == Explained("SECRET_KEY", "***", "argument")
    assert rows[0] == Explained("APP_NAME", "Application", "default")


@pytest.mark.skipif(
    not hasattr(utils, "logger"), reason="pydantic-settings logs since 2.15"
)
@pytest.mark.defect("F21")
def test_debug_logs_show_names_alone(
    environment: SetEnvironment, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    Path(".env").write_text("SMTP_PASSWORD=hunter2")
    (tmp_path / "REDIS_PASSWORD").write_text("hunter2")
    environment(PYDANTIC_SETTINGS_DEBUG="1", SECRET_KEY="hunter2")

    with caplog.at_level(logging.DEBUG, "pydantic_settings"):
        Settings(DATABASE_URL=DSN, _secrets_dir=tmp_path)

    assert "EnvSource: <SECRET_KEY>" in caplog.text
    assert "FileSource: <nothing>" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.usefixtures("environment")
def test_settings_can_be_pickled_for_other_processes() -> None:
    assert pickle.loads(pickle.dumps(settings())) == settings()  # noqa: S301 - our own


# get_settings


def test_get_settings_reads_once_a_class(environment: SetEnvironment) -> None:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN)
    get_settings.cache_clear()

    plain, own = get_settings(), get_settings(AppSettings)

    assert_type(plain, Settings)
    assert_type(own, AppSettings)
    assert get_settings() is plain
    assert get_settings(Settings) is plain
    assert get_settings(AppSettings) is own
    assert type(own) is AppSettings
    get_settings.cache_clear()
    assert get_settings() is not plain
    get_settings.cache_clear()


def test_a_failed_reading_is_not_cached(environment: SetEnvironment) -> None:
    get_settings.cache_clear()
    with pytest.raises(SettingsError):
        get_settings()

    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN)

    assert get_settings().DATABASE_URL == DSN
    get_settings.cache_clear()


async def test_get_settings_serves_as_a_fastapi_dependency(
    environment: SetEnvironment,
) -> None:
    environment(SECRET_KEY=SECRET, DATABASE_URL=DSN)
    get_settings.cache_clear()
    app = FastAPI()

    @app.get("/")
    async def read(given: Settings = Depends(get_settings)) -> str:  # noqa: B008 - FastAPI's way
        return given.APP_NAME

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")

    assert answer.json() == "Application"
    assert app.openapi()["paths"]["/"]["get"].get("parameters") is None
    get_settings.cache_clear()
