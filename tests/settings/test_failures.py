"""What can't be read is told by its name; no secret is in the error or behind it."""

import traceback
from pathlib import Path
from typing import Annotated, Any, Self

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from layerkit.core import SettingsError
from layerkit.settings import Settings
from tests.settings.conftest import SetEnvironment

SECRET = "hunter2-and-more"
LOOKED_UP = {"": ""}


def look_up(value: str) -> str:
    return LOOKED_UP[value]


class Access(BaseModel):
    USER: str = "app"
    PASSWORD: SecretStr = SecretStr("")
    KEY_FILE: str = ""

    @field_validator("USER")
    @classmethod
    def check_user(cls, value: str) -> str:
        return look_up(value) if value.startswith("hunter2") else value


class Application(Settings):
    model_config = SettingsConfigDict(env_nested_delimiter="__")

    NEST: Access = Access()
    PLACES: dict[str, str] = Field(default_factory=dict)
    PLAN: str = ""
    ROOM: Annotated[str, AfterValidator(look_up)] = ""

    TEAM: str = ""

    @model_validator(mode="after")
    def look_up_team(self) -> Self:
        LOOKED_UP[self.TEAM]
        return self

    @field_validator("PLAN")
    @classmethod
    def check_plan(cls, value: str) -> str:
        return look_up(value)


@pytest.fixture
def environment(environment: SetEnvironment) -> SetEnvironment:
    environment(SECRET_KEY="s" * 40, DATABASE_URL="sqlite://")
    return environment


def refused() -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        Application()
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    seen: list[BaseException | None] = [caught.value]
    while seen[-1] is not None:
        assert SECRET.encode() not in getattr(seen[-1], "object", b"")
        assert SECRET not in str(seen[-1])
        seen.append(seen[-1].__cause__ or seen[-1].__context__)
    return caught.value


@pytest.mark.usefixtures("environment")
def test_an_env_file_that_is_no_text_is_refused_without_its_bytes() -> None:
    Path(".env").write_bytes(f"PLAN={SECRET}\xe9".encode("latin-1"))

    assert "is no text in UTF-8: .env, or" in str(refused())


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("PLAN", "PLAN is not valid (KeyError in look_up)"),
        ("ROOM", "ROOM is not valid (KeyError in look_up)"),
        ("TEAM", "the settings is not valid (KeyError in look_up_team)"),
        ("NEST__USER", "NEST__USER is not valid (KeyError in look_up)"),
    ],
)
def test_what_a_validator_raises_is_reported_by_its_variable(
    environment: SetEnvironment, variable: str, named: str
) -> None:
    environment(**{variable: SECRET})

    error = refused()

    assert named in str(error)
    assert error.variables == (named.partition(" is")[0],)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("environment")
def test_a_class_that_is_not_fully_defined_is_reported_by_pydantic() -> None:
    class Later(Settings):
        PART: "Undefined"  # type: ignore[name-defined] # noqa: F821 - nowhere defined, which is what is tested

    with pytest.raises(Exception, match="not fully defined"):
        Later()


def test_a_nested_setting_is_read_from_the_file_that_its_pointer_names(
    environment: SetEnvironment, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    environment(NEST__USER="ada", NEST__PASSWORD_FILE=str(file))

    given = Application()

    assert given.NEST.PASSWORD.get_secret_value() == SECRET
    assert given.NEST.USER == "ada"


def test_what_is_a_setting_itself_is_no_pointer(environment: SetEnvironment) -> None:
    environment(NEST__KEY_FILE="a", PLACES__X_FILE="b", NEST__OTHER_FILE="c")

    given = Application()

    assert given.NEST.KEY_FILE == "a"
    assert given.PLACES == {"X_FILE": "b"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NEST__PASSWORD": "x"}, "NEST__PASSWORD and NEST__PASSWORD_FILE are both"),
        ({}, "NEST__PASSWORD_FILE names a file that can't be read"),
    ],
)
def test_a_nested_pointer_is_refused_as_others_are(
    environment: SetEnvironment, variables: dict[str, Any], said: str
) -> None:
    environment(NEST__PASSWORD_FILE="nowhere", **variables)

    assert said in str(refused())
