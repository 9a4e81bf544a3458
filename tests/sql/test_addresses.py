"""Addresses whose password nobody has escaped: all of it is the password's."""

import logging

import pytest

from layerkit.core import JSONFormatter
from layerkit.core.errors import UnavailableError
from layerkit.sql import Database


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("postgresql://bob:pa@ss-x@h:1/shop", ("bob", "pa@ss-x", "h", "shop")),
        ("postgresql://bob:pa@ss-x/y@h/shop", ("bob", "pa@ss-x/y", "h", "shop")),
        ("postgresql://bob:a@b%25@c@[::1]:5/d", ("bob", "a@b%@c", "::1", "d")),
        ("postgresql://bob:pa%40ss-x@h/shop", ("bob", "pa@ss-x", "h", "shop")),
        ("mysql://bob@corp@h/shop", ("bob@corp", None, "h", "shop")),
        ("postgresql://bob:p@h/shop?application_name=a@b", ("bob", "p", "h", "shop")),
        ("sqlite:///a@b.db", (None, None, None, "a@b.db")),
        ("postgresql://h/shop", (None, None, "h", "shop")),
    ],
)
def test_a_password_ends_at_the_last_at(
    address: str, meant: tuple[str | None, ...]
) -> None:
    url = Database(address).engine.url

    assert (url.username, url.password, url.host, url.database) == meant


@pytest.mark.parametrize("server", ["postgresql", "postgresql+psycopg", "mysql"])
async def test_no_part_of_a_password_is_in_the_log_of_an_error(server: str) -> None:
    database = Database(f"{server}://bob:pa@ss-x@127.0.0.1:1/shop")

    with pytest.raises(UnavailableError) as refused:
        await database.ping()

    error = (type(refused.value), refused.value, refused.value.__traceback__)
    record = logging.LogRecord("app", logging.ERROR, "", 1, "failed", None, error)
    assert "127.0.0.1" in JSONFormatter().format(record)
    assert "ss-x" not in JSONFormatter().format(record)
