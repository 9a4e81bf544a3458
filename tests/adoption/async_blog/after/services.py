"""The rules of the blog."""

from layerkit import BaseService, Inc, NotFoundError, field
from tests.adoption.async_blog.after.models import Author, Post
from tests.adoption.async_blog.after.repositories import (
    AuthorRepository,
    PostRepository,
    TagRepository,
)
from tests.adoption.async_blog.after.schemas import PostIn


class AuthorService(BaseService[Author, int]):
    def __init__(self, authors: AuthorRepository, posts: PostRepository) -> None:
        super().__init__(authors)
        self.posts = posts

    async def number_of_posts(self, author: Author) -> int:
        return await self.posts.count(field("author_id") == author.id)


class PostService(BaseService[Post, int]):
    def __init__(
        self, posts: PostRepository, authors: AuthorRepository, tags: TagRepository
    ) -> None:
        super().__init__(posts)
        self.posts, self.authors, self.tags = posts, authors, tags

    async def publish(self, body: PostIn) -> Post:
        async with self.unit_of_work():
            if not await self.authors.exists(body.author_id):
                raise NotFoundError(entity=Author)
            tags = await self.tags.named(body.tags)
            given = body.model_dump(exclude={"tags"})
            return await self.posts.create(Post(slug=body.slug, tags=tags, **given))

    async def named(self, slug: str) -> Post:
        post = await self.posts.find_one(field("slug") == slug)
        if post is None:
            raise NotFoundError(entity=Post)
        return post

    async def like(self, slug: str) -> Post:
        return await self.update_entity((await self.named(slug)).id, {"likes": Inc(1)})

    async def restore(self, slug: str) -> Post:
        hidden = (field("slug") == slug) & field("deleted_at").is_not_null()
        post = await self.posts.with_deleted().find_one(hidden)
        restored = post and await self.posts.restore(post.id)
        if restored is None:
            raise NotFoundError(entity=Post)
        return restored
