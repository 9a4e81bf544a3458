"""Mail, for as long as there is no mail server."""

from typing_extensions import override

from layerkit import NotificationInterface, get_logger

logger = get_logger("users.mail")


class LoggedMail(NotificationInterface):
    """Write into the log what would be sent."""

    @override
    async def send_notification(self, recipient: str, message: str, type: str) -> bool:
        logger.info("%s: %s", type, message, extra={"recipient": recipient})
        return True
