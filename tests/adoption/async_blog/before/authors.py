"""The routes of authors."""

from fastapi import APIRouter, HTTPException
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from tests.adoption.async_blog.before.database import SessionDep
from tests.adoption.async_blog.before.models import Author
from tests.adoption.async_blog.before.schemas import AuthorIn, AuthorOut
from tests.adoption.async_blog.before.tenancy import TenantDep

router = APIRouter(prefix="/authors", tags=["authors"])


async def find(session: AsyncSession, tenant: str, author_id: int) -> Author:
    mine = Author.tenant == tenant
    author = await session.scalar(select(Author).where(Author.id == author_id, mine))
    if author is None:
        raise HTTPException(404, "there is no such author")
    return author


@router.post("", status_code=201)
async def create_author(
    body: AuthorIn, session: SessionDep, tenant: TenantDep
) -> AuthorOut:
    author = Author(tenant=tenant, **body.model_dump())
    session.add(author)
    try:
        await session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "this email is taken") from error
    return AuthorOut(id=author.id, email=author.email, name=author.name, posts=0)


@router.get("/{author_id}")
async def get_author(
    author_id: int, session: SessionDep, tenant: TenantDep
) -> AuthorOut:
    author = await find(session, tenant, author_id)
    posts = await author.awaitable_attrs.posts
    shown = sum(post.deleted_at is None for post in posts)
    return AuthorOut(id=author.id, email=author.email, name=author.name, posts=shown)


@router.delete("/{author_id}", status_code=204)
async def delete_author(author_id: int, session: SessionDep, tenant: TenantDep) -> None:
    await session.delete(await find(session, tenant, author_id))
