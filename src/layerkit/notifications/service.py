"""NotificationService: one message, several channels and recipients."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from typing_extensions import override

from layerkit.core.errors import UsageError
from layerkit.notifications.base import Delivery, Notification, NotificationInterface


class NotificationService(NotificationInterface):
    """Send over several channels, each with an outcome of its own.

    A channel that fails or is slow neither stops the others nor makes them send again.
    The service is a channel itself, so it goes wherever one is wanted.

    Args:
        channels: The channels by name.

    Raises:
        UsageError: There is no channel.
    """

    _is_shared: ClassVar = True  # a factory makes one for all requests, as a rule

    def __init__(self, channels: Mapping[str, NotificationInterface]) -> None:
        if not channels:
            raise UsageError("NotificationService needs one channel or more, got none")
        self._channels = dict(channels)

    async def notify(
        self,
        recipients: str | Iterable[str],
        message: str,
        type: str,  # noqa: A002 - as in send_notification
        *,
        channels: Iterable[str] | None = None,
    ) -> list[Delivery]:
        """Send *message* to each of *recipients* over each channel, now.

        Channels work side by side; within one, recipients come one after the other.
        Inside a unit of work call it after the commit:
        ``uow.after_commit(lambda: notifications.notify(...))``.

        Args:
            recipients: One address, or several; one given twice gets one message.
            message: What is said.
            type: What sort of message it is, such as ``welcome``.
            channels: The names of the channels to use; all when not given.

        Returns:
            One outcome for each channel and recipient, channel by channel. A
            recipient's notification has the same id on all channels. What fails is
            logged and is in the outcome; nothing is raised for it.

        Raises:
            UsageError: A channel has no such name; nothing is sent then.
        """
        names = list(self._channels) if channels is None else list(channels)
        unknown = [name for name in names if name not in self._channels]
        if unknown:
            raise UsageError(
                f"no channel named {', '.join(map(repr, unknown))}: "
                f"there are {', '.join(map(repr, self._channels))}"
            )
        addresses = [recipients] if isinstance(recipients, str) else recipients
        notifications = [
            Notification(recipient=address, message=message, type=type)
            for address in dict.fromkeys(addresses)
        ]
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(self._send_all(name, notifications))
                for name in dict.fromkeys(names)
            ]
        return [delivery for task in running for delivery in task.result()]

    @override
    async def send_notification(self, recipient: str, message: str, type: str) -> bool:
        """Send *message* to *recipient* over all channels; True where all have."""
        outcome = await self.notify(recipient, message, type)
        return all(delivery.ok for delivery in outcome)

    async def _send_all(
        self, name: str, notifications: list[Notification]
    ) -> list[Delivery]:
        channel = self._channels[name]
        return [
            replace(await channel.deliver(notification), channel=name)
            for notification in notifications
        ]
