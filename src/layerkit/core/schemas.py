"""Pydantic bases for what goes in and out of an application."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic
from uuid import UUID

import pydantic
from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError, ValidationError

ID = TypeVar("ID", default=int | str | UUID)

_MOST_ERRORS: Final = 100  # of one refusal: a client may send a million wrong items


class BaseSchema(pydantic.BaseModel):
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
        fields = cls.model_fields.items()
        required = [name for name, field in fields if field.is_required()]
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
    """Show an entity: its id and, where it has them, its stamps.

    A stamp that nothing has set is left out; one of an entity that has the field, and
    None in it, is shown as null. A ``model_serializer`` of a subclass replaces that.
    """

    id: ID
    created_at: datetime | None = None
    updated_at: datetime | None = None

    # OpenAPI would show the annotation of what a function returns, not the fields.
    _show = model_serializer(mode="wrap")(lambda self, show: _shown(self, show))  # noqa: PLW0108 - a lambda has no annotations


def _shown(
    schema: ResponseSchema[Any], show: SerializerFunctionWrapHandler
) -> dict[str, Any]:
    """Return what *show* makes of *schema*, without stamps that nothing has set."""
    shown: dict[str, Any] = show(schema)
    for name in {"created_at", "updated_at"} - schema.model_fields_set:
        if getattr(schema, name) is None:
            shown.pop(name, None)
            shown.pop(type(schema).model_fields[name].serialization_alias or name, None)
    return shown


def refusal(
    message: str, *errors: pydantic.ValidationError, named: Callable[[str], str] = str
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
    ][:_MOST_ERRORS]
    fields = dict.fromkeys(named(str(e["loc"][0])) for e in details if e["loc"])
    messages = [
        {"field": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in details
    ]
    return ValidationError(message, {"errors": messages}, fields=fields)
