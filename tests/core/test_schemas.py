"""The pydantic bases."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import assert_type
from uuid import UUID

import pydantic
import pytest

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


def test_an_update_tells_what_was_given_from_what_was_left_out() -> None:
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
