"""Users over HTTP."""

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Path

from examples.users.core.schemas import UserCreate, UserOut, UserUpdate
from examples.users.core.settings import AppSettings
from examples.users.services.users import UserService
from layerkit import (
    AlreadyExistsError,
    ForbiddenError,
    NotFoundError,
    PreconditionFailedError,
    ValidationError,
    field,
)
from layerkit.fastapi import (
    ETag,
    FilterBy,
    IfMatch,
    Inject,
    Listing,
    PageOut,
    listing,
    problems,
)

router = APIRouter(prefix="/users", tags=["users"])

UserId: TypeAlias = Annotated[int, Path(ge=1, le=2**31 - 1)]
UserListing: TypeAlias = Annotated[
    Listing,
    Depends(
        listing(
            sort=("id", "email", "name"),
            filters={
                "email": FilterBy(str, lambda email: field("email") == email.lower()),
                "name": FilterBy(str, field("name").icontains),
                "is_active": bool,
            },
        )
    ),
]


def registration_is_open(settings: Inject[AppSettings]) -> None:
    """Refuse the request while FEATURE_REGISTRATION is off."""
    if not settings.FEATURE_REGISTRATION:
        raise ForbiddenError("Registration is closed")


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(registration_is_open)],
    responses=problems(AlreadyExistsError, ForbiddenError, ValidationError),
)
async def create_user(body: UserCreate, users: Inject[UserService]) -> UserOut:
    """Register a user."""
    return UserOut.model_validate(await users.register(body))


@router.get("", responses=problems(ValidationError))
async def list_users(
    wanted: UserListing, users: Inject[UserService]
) -> PageOut[UserOut]:
    """List users by page, filtered and sorted."""
    page = await users.search(
        wanted.where,
        wanted.order_by,
        wanted.limit,
        offset=wanted.offset,
        cursor=wanted.cursor,
    )
    return PageOut[UserOut].model_validate(page)


@router.get("/{user_id}", responses=problems(NotFoundError))
async def get_user(user_id: UserId, users: Inject[UserService], etag: ETag) -> UserOut:
    """Show one user, or answer 304 to who has this version already."""
    user = await users.get_entity(user_id)
    etag.send(user.version)
    return UserOut.model_validate(user)


@router.patch(
    "/{user_id}",
    responses=problems(
        NotFoundError, AlreadyExistsError, PreconditionFailedError, ValidationError
    ),
)
async def update_user(
    user_id: UserId,
    body: UserUpdate,
    users: Inject[UserService],
    if_match: IfMatch,
    etag: ETag,
) -> UserOut:
    """Change some fields of a user; with If-Match, of the version that was read."""
    user = await users.update_entity(user_id, body, expected_version=if_match.version)
    etag.send(user.version)
    return UserOut.model_validate(user)


@router.delete(
    "/{user_id}",
    status_code=204,
    responses=problems(NotFoundError, PreconditionFailedError),
)
async def delete_user(
    user_id: UserId, users: Inject[UserService], if_match: IfMatch
) -> None:
    """Remove a user; with If-Match, in the version that was read."""
    await users.delete_entity(user_id, expected_version=if_match.version)
