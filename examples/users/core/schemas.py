"""What goes in and out over HTTP."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, EmailStr, SecretStr, StringConstraints

from layerkit import BaseSchema, CreateSchema, UpdateSchema


def check_printable(text: str) -> str:
    """Refuse line breaks, control characters and the like, which forge what is shown.

    Raises:
        ValueError: There is one.
    """
    if not text.isprintable():
        raise ValueError("has characters that can't be printed")
    return text


# Lower case on the way in, so that the unique rule of the table holds for any spelling.
Email: TypeAlias = Annotated[EmailStr, AfterValidator(str.lower)]
Name: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(check_printable),
]


class UserCreate(CreateSchema):
    """Take a registration; SecretStr keeps the password out of logs and errors."""

    email: Email
    name: Name
    password: SecretStr


class UserUpdate(UpdateSchema):
    """Take a change of some fields."""

    email: Email | None = None
    name: Name | None = None
    is_active: bool | None = None


class UserOut(BaseSchema):
    """Show a user. Only what is named here goes out, so no password hash does."""

    id: int
    email: str
    name: str
    is_active: bool
