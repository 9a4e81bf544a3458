"""What clients send and get."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def in_utc(time: datetime) -> datetime:
    """Return *time* with the zone that SQLite forgets."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class Schema(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class AuthorIn(Schema):
    email: str = Field(pattern=r"^\S+@\S+$")
    name: str


class AuthorOut(AuthorIn):
    id: int
    posts: int


class PostIn(Schema):
    author_id: int
    title: str = Field(min_length=1)
    body: str
    tags: list[str] = []

    @property
    def slug(self) -> str:
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


class PostChange(Schema):
    body: str


class PostOut(Schema):
    slug: str
    author_id: int
    title: str
    body: str
    likes: int
    created_at: Annotated[datetime, AfterValidator(in_utc)]
    tags: list[Annotated[str, BeforeValidator(lambda tag: tag.name)]]


class PostsOut(Schema):
    items: list[PostOut]
    page: int
    total: int


class CommentIn(Schema):
    text: str = Field(min_length=1)


class CommentOut(CommentIn):
    id: int


class AuthorFigures(Schema):
    author_id: int
    posts: int
    likes: int


class TagFigures(Schema):
    tag: str
    posts: int
