"""The pydantic bases."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, assert_type
from uuid import UUID

import pydantic
import pytest
from pydantic import Field, model_serializer, model_validator

from layerkit.core import (
    BaseSchema,
    CreateSchema,
    ResponseSchema,
    UpdateSchema,
    UsageError,
)


class Role(Enum):
    ADMIN = "admin"


class UserCreate(CreateSchema):
    name: str
    role: Role = Role.ADMIN


class UserUpdate(UpdateSchema):
    name: str = ""
    nick: str | None = None


class UserOut(ResponseSchema[int]):
    name: str


@dataclass
class User:
    id: int
    name: str


def test_schemas_read_attributes() -> None:
    shown = UserOut.model_validate(User(1, "Ada"))

    assert (shown.id, shown.name) == (1, "Ada")
    assert (shown.created_at, shown.updated_at) == (None, None)
    assert_type(shown.id, int)
    assert_type(shown.created_at, datetime | None)


def test_schemas_validate_assignment() -> None:
    shown = UserOut(id=1, name="Ada")

    with pytest.raises(pydantic.ValidationError):
        shown.id = "x"  # type: ignore[assignment] # that is the point


def test_schemas_hold_enums_by_their_values() -> None:
    created = UserCreate(name="Ada", role=Role.ADMIN)

    assert vars(created) == {"name": "Ada", "role": "admin"}


def test_schemas_ignore_the_unknown_unless_they_take_input() -> None:
    class Plain(BaseSchema):
        name: str

    assert Plain.model_validate({"name": "Ada", "x": 1}).name == "Ada"
    for schema in (UserCreate, UserUpdate):
        with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
            schema.model_validate({"name": "Ada", "x": 1})


def test_an_update_distinguishes_what_was_given_from_what_was_left_out() -> None:
    assert UserUpdate().changes() == {}
    assert UserUpdate(nick=None).changes() == {"nick": None}
    assert UserUpdate(nick="A", name="Ada").changes() == {"name": "Ada", "nick": "A"}


def test_an_update_counts_what_was_assigned_later() -> None:
    update = UserUpdate()

    update.nick = "A"

    assert update.changes() == {"nick": "A"}


def test_an_update_with_a_required_field_is_refused_at_its_definition() -> None:
    with pytest.raises(UsageError) as caught:

        class Wrong(UpdateSchema):
            name: str
            nick: str | None

    assert caught.value.message.startswith(
        "Wrong is an UpdateSchema with required fields: name, nick. Give each a default"
    )


def test_a_response_without_a_type_of_id_takes_the_usual_ones() -> None:
    class Out(ResponseSchema):
        pass

    for value in (1, "a", UUID(int=1)):
        assert Out(id=value).id == value


# Stamps in a response


@dataclass
class Dated(User):
    created_at: datetime | None = None
    updated_at: datetime | None = None


MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def test_stamps_that_the_entity_lacks_are_left_out() -> None:
    shown = UserOut.model_validate(User(1, "Ada"))

    assert shown.model_dump() == {"id": 1, "name": "Ada"}
    assert shown.model_dump_json() == '{"id":1,"name":"Ada"}'
    assert shown.created_at is None


def test_stamps_that_the_entity_has_are_shown_null_or_not() -> None:
    shown = UserOut.model_validate(Dated(1, "Ada", updated_at=MOMENT))

    assert shown.model_dump() == {
        "id": 1,
        "created_at": None,
        "updated_at": MOMENT,
        "name": "Ada",
    }


def test_stamps_are_left_out_inside_of_other_schemas_too() -> None:
    class Team(BaseSchema):
        users: list[UserOut]

    team = Team(users=[UserOut(id=1, name="Ada"), UserOut(id=2, name="Bob")])

    assert team.model_dump() == {
        "users": [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}]
    }


def test_a_stamp_that_is_assigned_later_is_shown() -> None:
    shown = UserOut(id=1, name="Ada")

    shown.created_at = None

    assert shown.model_dump() == {"id": 1, "created_at": None, "name": "Ada"}


def test_a_stamp_that_a_subclass_fills_is_shown() -> None:
    class Out(ResponseSchema[int]):
        created_at: datetime | None = Field(default_factory=lambda: MOMENT)

    assert Out(id=1).model_dump() == {"id": 1, "created_at": MOMENT}


@pytest.mark.parametrize("by_alias", [True, False])
def test_stamps_are_left_out_under_an_alias_too(by_alias: bool) -> None:
    class Out(ResponseSchema[int]):
        created_at: Annotated[
            datetime | None, Field(serialization_alias="createdAt")
        ] = None

    assert Out(id=1).model_dump(by_alias=by_alias) == {"id": 1}
    shown = Out(id=1, created_at=MOMENT).model_dump(by_alias=True)
    assert shown == {"id": 1, "createdAt": MOMENT}


def test_a_field_that_a_subclass_leaves_out_itself_stays_out() -> None:
    class Out(ResponseSchema[int]):
        updated_at: datetime | None = Field(default=None, exclude=True)

    assert Out(id=1).model_dump() == {"id": 1}


def test_a_serializer_of_ones_own_replaces_the_rule() -> None:
    class Out(ResponseSchema[int]):
        @model_serializer
        def show(self) -> dict[str, Any]:
            return {"key": self.id, "created_at": self.created_at}

    assert Out(id=1).model_dump() == {"key": 1, "created_at": None}


class CheckedOut(UserOut):
    @model_validator(mode="after")
    def check(self) -> "CheckedOut":
        return self


@pytest.mark.parametrize("schema", [UserOut, CheckedOut])
def test_the_fields_of_a_response_are_in_its_json_schema(schema: type[UserOut]) -> None:
    shown = schema.model_json_schema(mode="serialization")

    assert list(shown["properties"]) == ["id", "created_at", "updated_at", "name"]
    assert shown["required"] == ["id", "name"]
    assert shown == schema.model_json_schema(mode="validation")
