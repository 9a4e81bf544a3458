"""NotificationInterface: one channel, and what it sends and reports."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from layerkit.core.logging import get_logger
from layerkit.core.types import uuid7
from layerkit.unit_of_work.shield import is_being_cancelled

logger = get_logger("layerkit.notifications")


@dataclass(frozen=True, kw_only=True)
class Notification:
    """Say something to one recipient.

    Attributes:
        recipient: An address, as the channel has it: an e-mail address, a URL, ...
        message: What is said.
        type: What sort of message it is, such as ``welcome``; picks a template, say.
        id: The same however often the message is tried, so a receiver can tell.
    """

    recipient: str
    message: str
    type: str
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Tell how one notification fared on one channel.

    Attributes:
        notification: What was to be sent.
        channel: Where.
        status: ``sent`` once the channel has taken it over, which is not yet read.
        error: What the channel raised; None where it was sent, or refused without one.
    """

    notification: Notification
    channel: str
    status: Literal["sent", "failed"]
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        """True where the notification was sent."""
        return self.status == "sent"


class NotificationInterface(ABC):
    """Send messages over one channel; one's own channel gives ``send_notification``.

    Inside a unit of work, send after the commit:
    ``uow.after_commit(lambda: mail.send_notification(...))``.
    """

    @abstractmethod
    async def send_notification(
        self,
        recipient: str,
        message: str,
        type: str,  # noqa: A002 - the published name
    ) -> bool:
        """Send *message* to *recipient*.

        Args:
            recipient: One address, as the channel has it.
            message: What is said.
            type: What sort of message it is, such as ``welcome``.

        Returns:
            True once the channel has taken the message over, False where it refused.

        Raises:
            AppException: It could not be sent.
        """

    async def deliver(self, notification: Notification) -> Delivery:
        """Send *notification* and return how it fared; a failure is logged.

        The log line names the channel, the type and the id, not recipient or message.

        Raises:
            CancelledError: The caller was cancelled; the message may have gone out.
        """
        channel = type(self).__name__
        failed = Delivery(notification=notification, channel=channel, status="failed")
        try:
            if await self.send_notification(
                notification.recipient, notification.message, notification.type
            ):
                return replace(failed, status="sent")
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            logger.exception("%s failed: %s", channel, _named(notification))
            return replace(failed, error=error)
        logger.error("%s refused: %s", channel, _named(notification))
        return failed


def _named(notification: Notification) -> str:
    return f"notification {notification.id} of type {notification.type!r}"
