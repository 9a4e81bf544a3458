"""The routes of posts, which are hidden and not deleted."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from tests.adoption.async_blog.before.database import SessionDep
from tests.adoption.async_blog.before.models import Author, Post, Tag
from tests.adoption.async_blog.before.schemas import (
    AuthorFigures,
    PostChange,
    PostIn,
    PostOut,
    PostsOut,
)
from tests.adoption.async_blog.before.tenancy import TenantDep

router = APIRouter(prefix="/posts", tags=["posts"])


def posts_of(tenant: str, *, hidden: bool = False) -> Select[Any]:
    is_hidden = Post.deleted_at.is_not(None) if hidden else Post.deleted_at.is_(None)
    found = select(Post).where(Post.tenant == tenant, is_hidden)
    return found.options(selectinload(Post.tags))


async def find(
    session: AsyncSession, tenant: str, slug: str, *, hidden: bool = False
) -> Post:
    statement = posts_of(tenant, hidden=hidden).where(Post.slug == slug)
    post: Post | None = await session.scalar(statement)
    if post is None:
        raise HTTPException(404, "there is no such post")
    return post


async def tags_of(session: AsyncSession, tenant: str, names: list[str]) -> list[Tag]:
    mine = select(Tag).where(Tag.tenant == tenant, Tag.name.in_(names))
    known = {tag.name: tag for tag in await session.scalars(mine)}
    return [known.get(n) or Tag(tenant=tenant, name=n) for n in sorted({*names})]


@router.post("", status_code=201)
async def create_post(body: PostIn, session: SessionDep, tenant: TenantDep) -> PostOut:
    author = await session.get(Author, body.author_id)
    if author is None or author.tenant != tenant:
        raise HTTPException(404, "there is no such author")
    given = body.model_dump(exclude={"tags"})
    post = Post(tenant=tenant, slug=body.slug, **given)
    post.tags = await tags_of(session, tenant, body.tags)
    session.add(post)
    try:
        await session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "this slug is taken") from error
    return PostOut.model_validate(post)


@router.get("")
async def list_posts(
    session: SessionDep,
    tenant: TenantDep,
    *,
    page: int = Query(1, ge=1),
    size: int = Query(10, ge=1, le=50),
    author_id: int | None = None,
    q: str | None = None,
) -> PostsOut:
    found = posts_of(tenant)
    if author_id is not None:
        found = found.where(Post.author_id == author_id)
    if q is not None:
        found = found.where(Post.title.icontains(q, autoescape=True))
    counted = select(func.count()).select_from(found.subquery())
    shown = found.order_by(Post.likes.desc(), Post.id)
    rows = await session.scalars(shown.offset((page - 1) * size).limit(size))
    return PostsOut(
        items=[PostOut.model_validate(row) for row in rows],
        page=page,
        total=await session.scalar(counted) or 0,
    )


@router.get("/by-author")
async def count_posts(session: SessionDep, tenant: TenantDep) -> list[AuthorFigures]:
    statement = (
        select(Post.author_id, func.count(), func.sum(Post.likes))
        .where(Post.tenant == tenant, Post.deleted_at.is_(None))
        .group_by(Post.author_id)
        .order_by(Post.author_id)
    )
    rows = await session.execute(statement)
    return [
        AuthorFigures(author_id=author_id, posts=posts, likes=likes)
        for author_id, posts, likes in rows
    ]


@router.get("/{slug}")
async def get_post(slug: str, session: SessionDep, tenant: TenantDep) -> PostOut:
    return PostOut.model_validate(await find(session, tenant, slug))


@router.patch("/{slug}")
async def change_post(
    slug: str, body: PostChange, session: SessionDep, tenant: TenantDep
) -> PostOut:
    post = await find(session, tenant, slug)
    post.body = body.body
    return PostOut.model_validate(post)


@router.post("/{slug}/like")
async def like_post(slug: str, session: SessionDep, tenant: TenantDep) -> PostOut:
    post = await find(session, tenant, slug)
    post.likes += 1
    return PostOut.model_validate(post)


@router.delete("/{slug}", status_code=204)
async def hide_post(slug: str, session: SessionDep, tenant: TenantDep) -> None:
    post = await find(session, tenant, slug)
    post.deleted_at = datetime.now(UTC)


@router.post("/{slug}/restore")
async def restore_post(slug: str, session: SessionDep, tenant: TenantDep) -> PostOut:
    post = await find(session, tenant, slug, hidden=True)
    post.deleted_at = None
    return PostOut.model_validate(post)
