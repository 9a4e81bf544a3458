"""The routes of posts: a service on the session of the request."""

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Query

from layerkit import ALL, field
from tests.adoption.async_blog.after.database import SessionDep
from tests.adoption.async_blog.after.repositories import (
    AuthorRepository,
    PostRepository,
    TagRepository,
)
from tests.adoption.async_blog.after.schemas import (
    AuthorFigures,
    PostChange,
    PostIn,
    PostOut,
    PostsOut,
)
from tests.adoption.async_blog.after.services import PostService
from tests.adoption.async_blog.after.tenancy import TenantDep

router = APIRouter(prefix="/posts", tags=["posts"])


def get_posts(session: SessionDep, tenant: TenantDep) -> PostService:
    mine = field("tenant") == tenant
    return PostService(
        PostRepository(session).scoped(mine),
        AuthorRepository(session).scoped(mine),
        TagRepository(session).scoped(mine),
    )


Posts: TypeAlias = Annotated[PostService, Depends(get_posts)]


@router.post("", status_code=201)
async def create_post(body: PostIn, posts: Posts) -> PostOut:
    return PostOut.model_validate(await posts.publish(body))


@router.get("")
async def list_posts(
    posts: Posts,
    *,
    page: int = Query(1, ge=1),
    size: int = Query(10, ge=1, le=50),
    author_id: int | None = None,
    q: str | None = None,
) -> PostsOut:
    where = ALL
    if author_id is not None:
        where &= field("author_id") == author_id
    if q is not None:
        where &= field("title").icontains(q)
    found = await posts.posts.paginate(
        where,
        order_by=field("likes").desc(),
        size=size,
        offset=(page - 1) * size,
        total="exact",
    )
    items = [PostOut.model_validate(post) for post in found.items]
    return PostsOut(items=items, page=page, total=found.total)


@router.get("/by-author")
async def count_posts(posts: Posts) -> list[AuthorFigures]:
    return [
        AuthorFigures(
            author_id=row.by["author_id"], posts=row.count, likes=row.sum["likes"]
        )
        for row in await posts.posts.aggregate(by="author_id", sum="likes")
    ]


@router.get("/{slug}")
async def get_post(slug: str, posts: Posts) -> PostOut:
    return PostOut.model_validate(await posts.named(slug))


@router.patch("/{slug}")
async def change_post(slug: str, body: PostChange, posts: Posts) -> PostOut:
    post = await posts.named(slug)
    return PostOut.model_validate(await posts.update_entity(post.id, body))


@router.post("/{slug}/like")
async def like_post(slug: str, posts: Posts) -> PostOut:
    return PostOut.model_validate(await posts.like(slug))


@router.delete("/{slug}", status_code=204)
async def hide_post(slug: str, posts: Posts) -> None:
    await posts.delete_entity((await posts.named(slug)).id)


@router.post("/{slug}/restore")
async def restore_post(slug: str, posts: Posts) -> PostOut:
    return PostOut.model_validate(await posts.restore(slug))
