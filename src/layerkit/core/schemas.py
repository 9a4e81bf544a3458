"""Pydantic bases for what goes in and out of an application."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic
from uuid import UUID

import pydantic
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError, ValidationError

ID = TypeVar("ID", default=int | str | UUID)

_MOST_ERRORS: Final = 100  # of one refusal: a client may send a million wrong items


class BaseSchema(BaseModel):
    """Read attributes of objects, validate assignment, hold enums by their values."""

    model_config = ConfigDict(
        from_attributes=True,
        validate_assignment=True,
        use_enum_values=True,
        hide_input_in_errors=True,  # a traceback of its error ends up in logs
    )


class CreateSchema(BaseSchema):
    """Take the data of a new entity; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")


class UpdateSchema(BaseSchema):
    """Take a partial change; every field of a subclass needs a default.

    Raises:
        UsageError: A subclass declares a required field, so it could not be left out.
    """

    model_config = ConfigDict(extra="forbid")

    @override
    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        required = [
            name for name, field in cls.model_fields.items() if field.is_required()
        ]
        if required:
            names = ", ".join(required)
            raise UsageError(
                f"{cls.__name__} is an UpdateSchema with required fields: {names}. "
                "Give each a default, such as `name: str | None = None`"
            )

    def changes(self) -> dict[str, Any]:
        """Return the fields that were given, by name; a given null is among them."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class ResponseSchema(BaseSchema, Generic[ID]):
    """Show an entity: its id and, where it has them, its stamps."""

    id: ID
    created_at: datetime | None = None
    updated_at: datetime | None = None


def refusal(
    message: str,
    *errors: pydantic.ValidationError,
    named: Callable[[str], str] = str,
) -> ValidationError:
    """Return pydantic's refusals as ours: fields and messages, never the input.

    It lists a hundred of them at most.

    Args:
        message: What can't be made or changed.
        errors: What pydantic has raised.
        named: Returns the field that pydantic calls so.
    """
    details = [
        entry
        for error in errors
        for entry in error.errors(
            include_url=False, include_context=False, include_input=False
        )
    ]
    details = details[:_MOST_ERRORS]
    fields = dict.fromkeys(named(str(e["loc"][0])) for e in details if e["loc"])
    messages = [
        {"field": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in details
    ]
    return ValidationError(message, {"errors": messages}, fields=fields)
