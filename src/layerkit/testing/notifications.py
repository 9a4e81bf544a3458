"""MockNotification: a channel that keeps what it is given."""

from typing_extensions import override

from layerkit.notifications.base import Notification, NotificationInterface
from layerkit.testing.failures import Failures


class MockNotification(Failures, NotificationInterface):
    """Take every notification, keep it, and fail when told to.

    Attributes:
        sent: The notifications so far, oldest first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Notification] = []

    @override
    async def send_notification(self, recipient: str, message: str, type: str) -> bool:
        self._fail_if_planned("send_notification")
        self.sent.append(Notification(recipient=recipient, message=message, type=type))
        return True

    def assert_sent(
        self,
        *,
        to: str | None = None,
        type: str | None = None,  # noqa: A002 - as in send_notification
    ) -> Notification:
        """Return the first notification that was sent to *to* and is of *type*.

        Args:
            to: The recipient; any when not given.
            type: The type; any when not given.

        Raises:
            AssertionError: None was sent; the text lists what was.
        """
        for notification in self.sent:
            if to in {None, notification.recipient} and (
                type in {None, notification.type}
            ):
                return notification
        raise AssertionError(
            f"nothing was sent to {to or 'anyone'} of type {type or 'any'}; "
            f"sent: {self._list_sent()}"
        )

    def assert_nothing_sent(self) -> None:
        """Raise where a notification was sent.

        Raises:
            AssertionError: The text lists what was sent.
        """
        if self.sent:
            raise AssertionError(f"sent: {self._list_sent()}")

    def _list_sent(self) -> str:
        listed = ", ".join(f"{each.type!r} to {each.recipient!r}" for each in self.sent)
        return listed or "nothing at all"
