"""The routes of comments, and a report with joins."""

from fastapi import APIRouter, HTTPException
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tests.adoption.async_blog.after.database import SessionDep
from tests.adoption.async_blog.after.models import Comment, Post, Tag
from tests.adoption.async_blog.after.schemas import CommentIn, CommentOut, TagFigures
from tests.adoption.async_blog.after.tenancy import TenantDep

router = APIRouter(tags=["comments"])


async def find(session: AsyncSession, tenant: str, slug: str) -> Post:
    shown = Post.deleted_at.is_(None)
    mine = select(Post).where(Post.tenant == tenant, Post.slug == slug, shown)
    post = await session.scalar(mine)
    if post is None:
        raise HTTPException(404, "there is no such post")
    return post


@router.post("/posts/{slug}/comments", status_code=201)
async def comment(
    slug: str, body: CommentIn, session: SessionDep, tenant: TenantDep
) -> CommentOut:
    post = await find(session, tenant, slug)
    made = Comment(post_id=post.id, text=body.text)
    session.add(made)
    await session.flush()
    return CommentOut.model_validate(made)


@router.get("/posts/{slug}/comments")
async def list_comments(
    slug: str, session: SessionDep, tenant: TenantDep
) -> list[CommentOut]:
    post = await find(session, tenant, slug)
    return [
        CommentOut.model_validate(comment)
        for comment in await post.awaitable_attrs.comments
    ]


@router.get("/tags")
async def count_tags(session: SessionDep, tenant: TenantDep) -> list[TagFigures]:
    statement = (
        select(Tag.name, func.count())
        .join(Post.tags)
        .where(Post.tenant == tenant, Post.deleted_at.is_(None))
        .group_by(Tag.name)
        .order_by(Tag.name)
    )
    rows = await session.execute(statement)
    return [TagFigures(tag=tag, posts=posts) for tag, posts in rows]
