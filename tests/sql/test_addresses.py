"""Addresses whose password nobody has escaped: all of it is the password's."""

import asyncio
import logging

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import sessionmaker

from layerkit.core import JSONFormatter
from layerkit.core.errors import UnavailableError, UsageError
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


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("postgresql://bob:p@ss#x/y?z@h:1/d", ("bob", "p@ss#x/y?z", "h", "d")),
        ("postgresql://bob:p?z@h/d?ssl=x", ("bob", "p?z", "h", "d")),
        ("mysql://bob:p@s?1=x?@h:1/d", ("bob", "p@s?1=x?", "h", "d")),
        ("postgresql://bob:p@h/d?", ("bob", "p", "h", "d")),
    ],
)
def test_a_question_mark_that_no_name_follows_is_the_passwords(
    address: str, meant: tuple[str | None, ...]
) -> None:
    url = Database(address).engine.url

    assert (url.username, url.password, url.host, url.database) == meant


async def test_what_a_question_mark_parts_off_a_password_is_not_in_an_error() -> None:
    with pytest.raises(UnavailableError) as refused:
        await Database("postgresql://bob:p@ss#x/y?z@127.0.0.1:1/shop").ping()

    assert "at 127.0.0.1:1/shop" in str(refused.value)
    assert "ss#" not in str(refused.value)


@pytest.mark.parametrize("port", [99999, -1, 0, 65536])
@pytest.mark.parametrize("server", ["postgresql", "postgresql+psycopg", "mysql"])
def test_a_port_that_there_is_not_is_refused_at_once(server: str, port: int) -> None:
    address = f"{server}://bob:s3cr3t@127.0.0.1:{port}/shop"

    with pytest.raises(UsageError, match="1 to 65535") as refused:
        Database(address)

    assert "s3cr3t" not in str(refused.value)


def test_a_port_of_an_engine_is_looked_at_too() -> None:
    engine = create_async_engine("postgresql+asyncpg://127.0.0.1:99999/shop")

    with pytest.raises(UsageError, match="99999"):
        Database(engine)

    assert Database("postgresql://h:65535/d").engine.url.port == 65535


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://bob:s3cr3t@127.0.0.1:1/d?foo=s3cr3t", "take foo in"),
        ("mysql://bob:s3cr3t@127.0.0.1:1/d?foo=s3cr3t", "take foo in"),
        ("mysql+aiomysql://bob:s3cr3t@127.0.0.1:1/d?foo=s3cr3t", "take foo in"),
        ("postgresql://bob@/d?host=127.0.0.1&port=99999", "take something"),
        ("postgresql://bob:s3cr3t@/d?host=h&port=s3cr3t", "not usable here"),
        ("mysql://bob@h/d?connect_timeout=s3cr3t", "take something"),
        ("postgresql://bob:p@127.0.0.1:1/d?s3cr3t=y@h", "take something"),
    ],
)
async def test_a_parameter_that_the_driver_does_not_take_is_a_usage_error(
    address: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        await Database(address).ping()

    error = (type(refused.value), refused.value, refused.value.__traceback__)
    record = logging.LogRecord("app", logging.ERROR, "", 1, "failed", None, error)
    assert "s3cr3t" not in str(refused.value)
    assert "s3cr3t" not in JSONFormatter().format(record)


@pytest.mark.parametrize("driver", ["asyncmy", "aiomysql"])
async def test_a_value_that_a_driver_may_not_take_is_an_error_of_ours(
    driver: str,
) -> None:
    with pytest.raises((UsageError, UnavailableError)) as refused:
        await Database(f"mysql+{driver}://bob@127.0.0.1:1/d?ssl=s3cr3t").ping()

    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("driver", ["asyncmy", "aiomysql", "pymysql"])
async def test_a_server_of_another_kind_is_unavailable(driver: str) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 200)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"mysql+{driver}://bob@127.0.0.1:{port}/shop"
        if driver == "pymysql":
            engine = create_engine(url)
            ping = asyncio.to_thread(asyncio.run, _ping(engine))
        else:
            ping = Database(url).ping()

        with pytest.raises(UnavailableError, match="its address") as refused:
            await ping

    assert refused.value.kind == "unreachable"


async def _ping(engine: Engine) -> None:
    await Database(sessionmaker(engine)).ping()
