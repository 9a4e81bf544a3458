"""The routes of authors: a service of the factory, of the tenant of the request."""

from fastapi import APIRouter, Depends, Request

from layerkit import field
from layerkit.fastapi import Inject
from layerkit.sql import Database
from tests.adoption.async_blog.after.repositories import (
    AuthorRepository,
    PostRepository,
)
from tests.adoption.async_blog.after.schemas import AuthorIn, AuthorOut
from tests.adoption.async_blog.after.services import AuthorService
from tests.adoption.async_blog.after.tenancy import get_tenant

router = APIRouter(
    prefix="/authors", tags=["authors"], dependencies=[Depends(get_tenant)]
)


def service_of_tenant(request: Request, database: Database) -> AuthorService:
    # `get_tenant` refuses the request where there is no such tenant.
    mine = field("tenant") == request.headers.get("x-tenant", "")
    authors = AuthorRepository(database).scoped(mine)
    return AuthorService(authors, PostRepository(database).scoped(mine))


@router.post("", status_code=201)
async def create_author(body: AuthorIn, authors: Inject[AuthorService]) -> AuthorOut:
    author = await authors.create_entity(body)
    return AuthorOut(id=author.id, email=author.email, name=author.name, posts=0)


@router.get("/{author_id}")
async def get_author(author_id: int, authors: Inject[AuthorService]) -> AuthorOut:
    author = await authors.get_entity(author_id)
    shown = await authors.number_of_posts(author)
    return AuthorOut(id=author.id, email=author.email, name=author.name, posts=shown)


@router.delete("/{author_id}", status_code=204)
async def delete_author(author_id: int, authors: Inject[AuthorService]) -> None:
    await authors.delete_entity(author_id)
