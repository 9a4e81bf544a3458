"""The welcome that a new user gets."""

from examples.users.core.events import UserCreated
from examples.users.repositories.users import UserRepository
from layerkit import Event, NotificationInterface


async def welcome(
    event: Event[UserCreated], users: UserRepository, mail: NotificationInterface
) -> None:
    """Welcome the user that *event* tells of, unless it is gone already."""
    user = await users.get_by_id(event.data.id)
    if user is not None:
        await mail.send_notification(user.email, f"Welcome, {user.name}!", "welcome")
