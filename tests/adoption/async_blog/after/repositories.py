"""The repositories of the blog: no verb without a tenant."""

from sqlalchemy.orm import selectinload

from layerkit import field
from layerkit.sql import SQLRepository
from tests.adoption.async_blog.after.models import Author, Post, Tag


class AuthorRepository(SQLRepository[Author, int]):
    scoped_by = ("tenant",)


class TagRepository(SQLRepository[Tag, int]):
    scoped_by = ("tenant",)

    async def named(self, names: list[str]) -> list[Tag]:
        known = {tag.name: tag for tag in await self.find(field("name").in_(names))}
        new = [{"name": name} for name in sorted({*names} - {*known})]
        made = await self.create_many(new, returning=True)
        return sorted([*known.values(), *made], key=lambda tag: tag.name)


class PostRepository(SQLRepository[Post, int]):
    scoped_by = ("tenant",)
    load = (selectinload(Post.tags),)
