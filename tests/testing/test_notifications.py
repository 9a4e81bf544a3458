"""MockNotification: a channel that keeps what it is given."""

import pytest

from layerkit.core.errors import UnavailableError
from layerkit.notifications import NotificationInterface
from layerkit.testing import MockNotification


@pytest.fixture
def mail() -> MockNotification:
    return MockNotification()


async def test_sent_holds_what_was_sent_in_its_order(mail: MockNotification) -> None:
    channel: NotificationInterface = mail

    assert await channel.send_notification("ada@example.org", "Hello", "welcome")
    assert await channel.send_notification("bob@example.org", "Bye", "goodbye")

    assert [(n.recipient, n.message, n.type) for n in mail.sent] == [
        ("ada@example.org", "Hello", "welcome"),
        ("bob@example.org", "Bye", "goodbye"),
    ]


async def test_assert_sent_returns_the_first_match(mail: MockNotification) -> None:
    await mail.send_notification("ada@example.org", "Hello", "welcome")
    await mail.send_notification("ada@example.org", "Bye", "goodbye")
    await mail.send_notification("bob@example.org", "Bye", "goodbye")

    assert mail.assert_sent() is mail.sent[0]
    assert mail.assert_sent(to="ada@example.org", type="welcome") is mail.sent[0]
    assert mail.assert_sent(type="goodbye") is mail.sent[1]
    assert mail.assert_sent(to="bob@example.org") is mail.sent[2]


@pytest.mark.parametrize(
    ("to", "kind"),
    [("eve@example.org", None), (None, "goodbye"), ("ada@example.org", "goodbye")],
)
async def test_assert_sent_fails_and_lists_what_was_sent(
    mail: MockNotification, to: str | None, kind: str | None
) -> None:
    await mail.send_notification("ada@example.org", "Hello", "welcome")

    with pytest.raises(AssertionError, match=r"sent: 'welcome' to 'ada@example\.org'"):
        mail.assert_sent(to=to, type=kind)


def test_assert_sent_fails_when_nothing_was_sent(mail: MockNotification) -> None:
    with pytest.raises(AssertionError, match="anyone of type any; sent: nothing"):
        mail.assert_sent()


async def test_assert_nothing_sent_fails_once_something_was(
    mail: MockNotification,
) -> None:
    mail.assert_nothing_sent()
    await mail.send_notification("ada@example.org", "Hello", "welcome")

    with pytest.raises(AssertionError, match=r"sent: 'welcome' to 'ada@example\.org'"):
        mail.assert_nothing_sent()


async def test_what_was_told_to_fail_is_not_sent(mail: MockNotification) -> None:
    mail.fail_next(UnavailableError(), method="send_notification")

    with pytest.raises(UnavailableError):
        await mail.send_notification("ada@example.org", "Hello", "welcome")

    mail.assert_nothing_sent()
