"""NotificationService: several channels, an outcome for each."""

import asyncio

import pytest
from typing_extensions import override

from layerkit.core.errors import UnavailableError, UsageError
from layerkit.notifications import NotificationInterface, NotificationService
from layerkit.testing import MockNotification
from layerkit.unit_of_work import plain_unit_of_work


class Stalled(NotificationInterface):
    """A channel that answers once it is let go."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.released = asyncio.Event()

    @override
    async def send_notification(self, recipient: str, message: str, type: str) -> bool:
        self.called.set()
        await self.released.wait()
        return True


class Releasing(NotificationInterface):
    """A channel that lets another one go."""

    def __init__(self, other: Stalled) -> None:
        self.other = other

    @override
    async def send_notification(self, recipient: str, message: str, type: str) -> bool:
        self.other.released.set()
        return True


@pytest.fixture
def mail() -> MockNotification:
    return MockNotification()


@pytest.fixture
def chat() -> MockNotification:
    return MockNotification()


@pytest.fixture
def service(mail: MockNotification, chat: MockNotification) -> NotificationService:
    return NotificationService({"mail": mail, "chat": chat})


def recipients(channel: MockNotification) -> list[str]:
    return [notification.recipient for notification in channel.sent]


async def test_each_recipient_is_notified_over_each_channel(
    service: NotificationService, mail: MockNotification, chat: MockNotification
) -> None:
    outcome = await service.notify(["ada", "bob"], "Hello", "welcome")

    assert recipients(mail) == recipients(chat) == ["ada", "bob"]
    assert [(d.channel, d.notification.recipient, d.status) for d in outcome] == [
        ("mail", "ada", "sent"),
        ("mail", "bob", "sent"),
        ("chat", "ada", "sent"),
        ("chat", "bob", "sent"),
    ]


async def test_single_text_is_one_recipient(
    service: NotificationService, mail: MockNotification
) -> None:
    await service.notify("ada", "Hello", "welcome")

    assert recipients(mail) == ["ada"]


async def test_recipient_given_twice_gets_one_message(
    service: NotificationService, mail: MockNotification
) -> None:
    await service.notify(["ada", "bob", "ada"], "Hello", "welcome")

    assert recipients(mail) == ["ada", "bob"]


async def test_only_the_named_channels_are_used_and_each_once(
    service: NotificationService, mail: MockNotification, chat: MockNotification
) -> None:
    outcome = await service.notify("ada", "Hi", "welcome", channels=["chat", "chat"])

    mail.assert_nothing_sent()
    assert recipients(chat) == ["ada"]
    assert len(outcome) == 1


async def test_unknown_channel_is_refused_before_anything_is_sent(
    service: NotificationService, mail: MockNotification
) -> None:
    with pytest.raises(UsageError, match=r"no channel named 'fax'.*'mail', 'chat'"):
        await service.notify("ada", "Hello", "welcome", channels=["mail", "fax"])

    mail.assert_nothing_sent()


def test_service_without_a_channel_is_refused() -> None:
    with pytest.raises(UsageError, match="one channel or more"):
        NotificationService({})


async def test_notification_of_a_recipient_has_one_id_on_all_channels(
    service: NotificationService,
) -> None:
    ada_by_mail, bob_by_mail, ada_by_chat, _ = await service.notify(
        ["ada", "bob"], "Hello", "welcome"
    )

    assert ada_by_mail.notification.id == ada_by_chat.notification.id
    assert ada_by_mail.notification.id != bob_by_mail.notification.id


@pytest.mark.defect("N3")
async def test_failing_channel_stops_no_other_and_repeats_nothing(
    service: NotificationService, mail: MockNotification, chat: MockNotification
) -> None:
    error = UnavailableError("mail is down")
    mail.fail_next(error)

    outcome = await service.notify(["ada", "bob"], "Hello", "welcome")

    assert recipients(mail) == ["bob"]
    assert recipients(chat) == ["ada", "bob"]
    assert [delivery.status for delivery in outcome] == [
        "failed",
        "sent",
        "sent",
        "sent",
    ]
    assert outcome[0].error is error


@pytest.mark.defect("N3")
async def test_slow_channel_does_not_hold_up_the_others() -> None:
    slow = Stalled()
    service = NotificationService({"slow": slow, "quick": Releasing(slow)})

    async with asyncio.timeout(5):
        outcome = await service.notify("ada", "Hello", "welcome")

    assert [delivery.ok for delivery in outcome] == [True, True]


async def test_cancelled_notify_cancels_its_channels() -> None:
    slow = Stalled()
    service = NotificationService({"slow": slow})
    notifying = asyncio.create_task(service.notify("ada", "Hello", "welcome"))
    await slow.called.wait()

    notifying.cancel()

    with pytest.raises(asyncio.CancelledError):
        await notifying


async def test_service_is_a_channel_that_has_sent_where_all_have(
    service: NotificationService, mail: MockNotification, chat: MockNotification
) -> None:
    channel: NotificationInterface = service

    assert await channel.send_notification("ada", "Hello", "welcome") is True
    chat.fail_next(UnavailableError())
    assert await channel.send_notification("bob", "Hello", "welcome") is False

    assert recipients(mail) == ["ada", "bob"]
    assert recipients(chat) == ["ada"]


@pytest.mark.defect("N4")
async def test_nothing_goes_out_when_the_unit_rolls_back(
    service: NotificationService, mail: MockNotification
) -> None:
    async def register(*, fail: bool) -> None:
        async with plain_unit_of_work() as unit:
            unit.after_commit(lambda: service.notify("ada", "Hello", "welcome"))
            if fail:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        await register(fail=True)
    mail.assert_nothing_sent()

    await register(fail=False)
    assert recipients(mail) == ["ada"]
