"""The rules about users."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from examples.users.core.models import User
from examples.users.core.passwords import PasswordHasher, check_password
from examples.users.core.schemas import UserCreate
from examples.users.repositories.users import UserRepository
from layerkit import ALL, AlreadyExistsError, BaseService, EventBus, Page
from layerkit.repository import OrderBy, Specification


class UserService(BaseService[User, int]):
    """Register users; ``user.created`` is published once one is stored.

    Getting, changing and removing them is inherited.
    """

    entity_name = "user"

    def __init__(
        self, users: UserRepository, events: EventBus, passwords: PasswordHasher
    ) -> None:
        super().__init__(users, events=events)
        self.users = users
        self.passwords = passwords

    async def register(self, data: UserCreate) -> User:
        """Store a new user and return it.

        Raises:
            ValidationError: The password is weak.
            AlreadyExistsError: The e-mail is taken.
        """
        check_password(data.password, data.email)
        # Before the unit of work begins: nobody should wait for its locks meanwhile.
        password_hash = await self.passwords.hash(data.password)
        return await self.create_entity(
            {"email": data.email, "name": data.name, "password_hash": password_hash}
        )

    async def search(
        self,
        where: Specification = ALL,
        order_by: OrderBy = (),
        limit: int = 50,
        *,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> Page[User]:
        """Return a page of users, with the number on all pages."""
        return await self.users.paginate(
            where,
            order_by=order_by,
            size=limit,
            offset=offset,
            cursor=cursor,
            total="exact",
        )

    @override
    async def _validate_create_data(self, data: Mapping[str, Any]) -> None:
        # Of two that register at once both get past this: the unique rule stops one.
        if await self.users.get_by_email(data["email"]) is not None:
            raise AlreadyExistsError("E-mail already registered", fields=("email",))
