"""Access to users, in any home."""

from examples.users.core.models import User
from layerkit import Repository, field


class UserRepository(Repository[User, int]):
    """Store and find users."""

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this e-mail, given in lower case, or None."""
        return await self.find_one(field("email") == email)
