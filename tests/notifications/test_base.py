"""One channel: what it sends and reports."""

import asyncio

import pytest
from typing_extensions import override

from layerkit.core.errors import UnavailableError
from layerkit.notifications import Delivery, Notification, NotificationInterface
from layerkit.testing import MockNotification


class Refusing(NotificationInterface):
    @override
    async def send_notification(self, recipient: str, message: str, type: str) -> bool:
        return False


def welcome() -> Notification:
    return Notification(recipient="ada@example.org", message="Hello", type="welcome")


def test_channel_without_send_notification_can_not_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        NotificationInterface()  # type: ignore[abstract]  # the subject of the test


def test_each_notification_has_an_id_of_its_own() -> None:
    assert welcome().id != welcome().id


async def test_deliver_sends_the_three_textbook_values() -> None:
    channel = MockNotification()

    delivery = await channel.deliver(welcome())

    [sent] = channel.sent
    assert (sent.recipient, sent.message, sent.type) == (
        "ada@example.org",
        "Hello",
        "welcome",
    )
    assert delivery.ok
    assert delivery.status == "sent"
    assert delivery.error is None


async def test_deliver_reports_what_it_delivered_and_where() -> None:
    notification = welcome()

    delivery = await MockNotification().deliver(notification)

    assert delivery == Delivery(
        notification=notification, channel="MockNotification", status="sent"
    )


async def test_deliver_reports_what_the_channel_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    channel = MockNotification()
    error = UnavailableError("server is down")
    channel.fail_next(error)
    notification = welcome()

    delivery = await channel.deliver(notification)

    assert not delivery.ok
    assert delivery.status == "failed"
    assert delivery.error is error
    assert caplog.messages == [
        f"MockNotification failed: notification {notification.id} of type 'welcome'"
    ]
    assert "server is down" in caplog.text


async def test_deliver_reports_a_refusal_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    delivery = await Refusing().deliver(welcome())

    assert not delivery.ok
    assert delivery.error is None
    assert "Refusing refused: notification" in caplog.text


async def test_log_shows_neither_recipient_nor_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    channel = MockNotification()
    channel.fail_next(UnavailableError())

    await channel.deliver(welcome())
    await Refusing().deliver(welcome())

    shown = caplog.text
    assert "ada@example.org" not in shown
    assert "Hello" not in shown


async def test_channel_that_awaits_something_cancelled_has_failed() -> None:
    class Cancelled(NotificationInterface):
        @override
        async def send_notification(
            self, recipient: str, message: str, type: str
        ) -> bool:
            answer = asyncio.get_running_loop().create_future()
            answer.cancel()
            return bool(await answer)

    delivery = await Cancelled().deliver(welcome())

    assert delivery.status == "failed"
    assert isinstance(delivery.error, asyncio.CancelledError)


async def test_cancelling_a_delivery_is_no_failure_of_the_channel() -> None:
    called = asyncio.Event()

    class Stalled(NotificationInterface):
        @override
        async def send_notification(
            self, recipient: str, message: str, type: str
        ) -> bool:
            called.set()
            await asyncio.Event().wait()
            return True

    delivering = asyncio.create_task(Stalled().deliver(welcome()))
    await called.wait()

    delivering.cancel()

    with pytest.raises(asyncio.CancelledError):
        await delivering
